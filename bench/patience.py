"""Small polls at a steady pace while something large is going on, each timed from the moment at which it was due."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from bench.load import TIMEOUT, LoadError, Poll, zipf
from bench.servers import Server

PACE = 0.01  # seconds from one poll to the next
ALONE_SECONDS = 4.0
CONNECTIONS = 16


@dataclass(frozen=True)
class Small:
    at: float  # seconds since the large one began
    milliseconds: float

    @property
    def during(self) -> bool:
        return self.at >= 0


async def polling(server: Server, small: Sequence[Poll], large: Poll) -> list[Small]:
    """How the small ones fared before the large one was sent, and until it was answered."""
    connector, timeout = TCPConnector(limit=CONNECTIONS), ClientTimeout(TIMEOUT)
    async with ClientSession(server.url, connector=connector, timeout=timeout) as session:
        starts = time.perf_counter() + ALONE_SECONDS
        stop = asyncio.Event()
        pace = asyncio.create_task(_pace(session, small, starts, stop))
        await asyncio.sleep(ALONE_SECONDS)
        await _get(session, large, HTTPStatus.OK)
        stop.set()
        return await pace


async def _pace(session: ClientSession, polls: Sequence[Poll], starts: float, stop: asyncio.Event) -> list[Small]:
    order, began, sent = zipf(len(polls)), time.perf_counter(), []
    for number in count():
        due = began + number * PACE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if stop.is_set():
            break
        sent.append(asyncio.create_task(_timed(session, polls[order[number % len(order)]], due, starts)))
    return await asyncio.gather(*sent)


async def _timed(session: ClientSession, poll: Poll, due: float, starts: float) -> Small:
    await _get(session, poll, HTTPStatus.NOT_MODIFIED)
    return Small(due - starts, (time.perf_counter() - due) * 1e3)


async def _get(session: ClientSession, poll: Poll, status: HTTPStatus) -> None:
    async with session.get(poll.path, headers={"Accept-Encoding": "identity", **poll.said()}) as answer:
        await answer.read()
        if answer.status != status:
            raise LoadError(f"The service answered {answer.status} in place of {status}.")
