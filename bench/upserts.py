"""What `upsertActivities` takes beside PostgreSQL alone, and what feeds of other calendars notice of it.

    .venv/bin/python -m bench.upserts

The same activities come into the same tables, with their triggers: by COPY, in one transaction, and by calls of 1,000
over HTTP to a service in a process of its own; then by the same calls again, which change nothing. Another calendar's
feed is polled meanwhile. Each round and way has an account of its own.
"""

import asyncio
import json
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import typer
from aiohttp import ClientSession

from api.api_keys import hash_api_key, make_api_key
from bench.kernel import settle
from bench.servers import free_port, service, service_environment
from db.accounts import add_account
from db.activities import Activity
from db.calendars import add_calendar, grant_access
from db.embedded import postgres
from db.ids import new_id
from db.keys import add_api_key
from db.links import add_link
from db.migrate import migrate
from db.placements import Placement, save_placements
from db.pool import Conn
from db.users import add_user
from feed.tokens import Keyring
from feed.urls import link_url

CALL = 1_000  # activities of a call
POLL_SECONDS = 0.02
POLLED = 500  # activities of the calendar that is polled
NOW = datetime.now(UTC).replace(microsecond=0)
MUTATION = """
    mutation ($input: UpsertActivitiesInput!) {
      upsertActivities(input: $input) { created updated unchanged userErrors { message path } }
    }"""
COLUMNS = ("account_id", "id", "external_id", "owner_id", "type", "title", "description", "location", "url",
           "starts_at", "ends_at", "time_zone", "status", "priority", "participants", "private", "revision",
           "created_at", "changed_at")  # fmt: skip


@dataclass(frozen=True)
class Account:
    id: UUID
    key: str
    owner_id: UUID
    calendars: dict[str, UUID]
    poll_path: str


@dataclass
class Measured:
    copied: list[float]
    pushed: list[float]
    again: list[float]
    idle: list[float]  # polls
    busy: list[float]


# ---- The same activities in both forms


def said(number: int) -> dict[str, Any]:
    """An activity as an integrator says it: eighteen fields, two calendars, two participants."""
    starts_at = NOW + timedelta(hours=number % 2_000)
    return {
        "externalId": f"crm-{number}",
        "calendarExternalIds": ["sales", "anna"],
        "ownerExternalId": "anna",
        "type": "MEETING",
        "title": f"Viewing {number} at the harbour",
        "description": "Two rooms and a balcony, third floor. " * 5,
        "location": "Pier 4, 20457 Hamburg",
        "url": f"https://crm.example.com/deals/{number}",
        "startsAt": starts_at.isoformat(),
        "endsAt": (starts_at + timedelta(hours=1)).isoformat(),
        "timeZone": "Europe/Berlin",
        "status": "CONFIRMED",
        "priority": "HIGH",
        "participants": [{"name": "Ana Pérez", "email": "ana@example.com", "response": "ACCEPTED"}, {"name": "Ben"}],
        "private": False,
    }


def row(account: Account, activity: dict[str, Any]) -> tuple[Any, ...]:
    starts_at = datetime.fromisoformat(activity["startsAt"])
    return (
        account.id, new_id(), activity["externalId"], account.owner_id, activity["type"], activity["title"],
        activity["description"], activity["location"], activity["url"], starts_at, starts_at + timedelta(hours=1),
        activity["timeZone"], activity["status"], activity["priority"], json.dumps(activity["participants"]), False,
        0, NOW, NOW,
    )  # fmt: skip


# ---- Ways to write them


async def copy(conn: Conn, account: Account, activities: Sequence[dict[str, Any]]) -> None:
    rows = [row(account, activity) for activity in activities]
    entries = [(account.id, account.calendars[name], each[1]) for each in rows for name in ("sales", "anna")]
    async with conn.transaction():
        await conn.copy_records_to_table("activities", records=rows, columns=COLUMNS)
        columns = ("account_id", "calendar_id", "activity_id")
        await conn.copy_records_to_table("calendar_entries", records=entries, columns=columns)


async def push(session: ClientSession, account: Account, bodies: Sequence[bytes], count: str) -> None:
    """Send the calls one after the other; all of what they hold must count as that."""
    headers = {"Authorization": f"Bearer {account.key}", "Content-Type": "application/json"}
    for body in bodies:
        async with session.post("/graphql", data=body, headers=headers) as answer:
            payload = (await answer.json())["data"]["upsertActivities"]
            assert payload["userErrors"] == []
            assert [payload[name] for name in ("created", "updated", "unchanged") if name != count] == [0, 0]


# ---- What is polled meanwhile


async def poll(session: ClientSession, path: str, found: list[float]) -> None:
    """Poll for ever, as programs do that have the feed already; the milliseconds of each."""
    async with session.get(path) as answer:
        etag = answer.headers["ETag"]
    while True:
        began = perf_counter()
        async with session.get(path, headers={"If-None-Match": etag}) as answer:
            assert answer.status == HTTPStatus.NOT_MODIFIED
        found.append((perf_counter() - began) * 1_000)
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def polling(session: ClientSession, path: str, found: list[float]) -> AsyncIterator[None]:
    task = asyncio.create_task(poll(session, path, found))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


# ---- The service and its account


async def plant(conn: Conn, secret: str) -> Account:
    account_id, key_id = (await add_account(conn, "Harbour Homes", NOW)).account_id, new_id()
    key = make_api_key(account_id, key_id)
    hashed = hash_api_key(key)
    await add_api_key(conn, account_id, key_id, NOW, name="CRM", key_hash=hashed, scopes=["activities:write"])
    anna = await add_user(conn, account_id, NOW, name="Anna Müller", external_id="anna")
    calendars = {
        name: await add_calendar(conn, account_id, NOW, name=name, external_id=name)
        for name in ("sales", "anna", "other")
    }
    await grant_access(conn, account_id, calendars["other"], [anna.id], NOW)
    link = await add_link(conn, account_id, anna.id, calendars["other"], "", "k1", NOW)
    assert link
    path = link_url(Keyring.parse(secret), "", link, "other")
    assert path
    here = frozenset([calendars["other"]])
    meetings = [
        Placement(
            activity=Activity(type="MEETING", status="CONFIRMED", external_id=f"o{number}", starts_at=NOW),
            calendar_ids=here,
        )
        for number in range(POLLED)
    ]
    async with conn.transaction():
        await save_placements(conn, account_id, meetings, NOW)
    return Account(account_id, key, anna.id, calendars, path)


# ---- The rounds


async def seconds(work: Awaitable[None]) -> float:
    began = perf_counter()
    await work
    return perf_counter() - began


async def measure(conn: Conn, session: ClientSession, secret: str, count: int, rounds: int) -> Measured:
    activities = [said(number) for number in range(count)]
    parts = [activities[start : start + CALL] for start in range(0, count, CALL)]
    bodies = [json.dumps({"query": MUTATION, "variables": {"input": {"activities": p}}}).encode() for p in parts]
    found = Measured([], [], [], [], [])
    await copy(conn, await plant(conn, secret), activities)
    await conn.execute("ANALYZE")  # as a database that is in use has statistics
    for _ in range(rounds):
        copied, pushed = await plant(conn, secret), await plant(conn, secret)
        async with polling(session, pushed.poll_path, found.idle):
            await asyncio.sleep(1)
        found.copied.append(await seconds(copy(conn, copied, activities)))
        async with polling(session, pushed.poll_path, found.busy):
            found.pushed.append(await seconds(push(session, pushed, bodies, "created")))
            found.again.append(await seconds(push(session, pushed, bodies, "unchanged")))
    return found


def report(found: Measured, count: int) -> None:
    least = median(found.copied)
    typer.echo(f"{count:,} activities, median of {len(found.copied)} rounds")
    ways = {"COPY": found.copied, "upsertActivities": found.pushed, "the same calls again": found.again}
    for name, each in ways.items():
        typer.echo(f"  {name:24}{median(each):8.2f} s  × {median(each) / least:.2f}")
    for name, polls in {"idle": found.idle, "meanwhile": found.busy}.items():
        late = sorted(polls)[int(len(polls) * 0.99)]
        typer.echo(f"  polls {name:18}{median(polls):8.1f} ms  99 %: {late:.1f} ms  worst: {max(polls):.1f} ms")


async def main(dsn: str, folder: Path, count: int, rounds: int) -> None:
    await migrate(dsn)
    conn, secret = await asyncpg.connect(dsn), secrets.token_hex(32)
    with service(folder, service_environment(dsn, free_port(), secret)) as server:
        async with ClientSession(server.url) as session:
            report(await measure(conn, session, f"k1:{secret}", count, rounds), count)
    await conn.close()


def run(
    count: Annotated[int, typer.Option(min=1_000, help="How many activities, in calls of 1,000.")] = 10_000,
    rounds: Annotated[int, typer.Option(help="How many rounds.")] = 5,
) -> None:
    settle()
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder)) as dsn:
        asyncio.run(main(dsn, Path(folder), count, rounds))


if __name__ == "__main__":
    typer.run(run)
