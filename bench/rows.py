"""What the service must reach, measured row by row. Ratios are medians of those of each round."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench import kernel
from bench.data import TEN_THOUSAND, THOUSAND, USER, meeting
from bench.load import Client, Load, Poll, load
from bench.patience import polling
from bench.rig import ENCODINGS, GZIP, Bench
from bench.rounds import figures, only, ratio, turns
from bench.servers import Server, transactions

LARGEST_UNCHANGED = 1_000  # octets
BACKGROUND_SECONDS = 10
QUIET_SECONDS = 1.5  # after which PostgreSQL has counted all that was asked
MIB = 1 << 20


@dataclass(frozen=True)
class Found:
    """A row: what it says in words, the figure that has a target, and the target with its sense."""

    what: str
    value: float
    unit: str
    target: float
    at_most: bool
    beside: str = ""  # the figures from which it comes

    @property
    def met(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target


def _turns(bench: Bench, ways: Mapping[str, tuple[Server, Sequence[Poll]]], connections: int) -> dict[str, list[Load]]:
    return turns(ways, connections, bench.scale.rounds, bench.scale.seconds)


def unchanged(bench: Bench) -> Iterator[Found]:
    polls = bench.unchanged(bench.planted.many)
    with bench.bare(polls, {}) as bare_server:
        ways = {"service": (bench.service, polls), "bare": (bare_server, polls)}
        for connections, target in ((64, 0.85), (16, 0.60)):
            found = _turns(bench, ways, connections)
            only(found, most=LARGEST_UNCHANGED)
            beside = f"{figures(found)}; {_queries(bench, polls, connections):.2f} queries a poll"
            yield Found(f"304, {connections} connections, requests/s to bare", ratio(found, "service", "bare"), "×",
                        target, at_most=False, beside=beside)  # fmt: skip
        yield Found("304, server CPU a request to bare, 16 connections", ratio(found, "service", "bare", "cpu"), "×",
                    1.5, at_most=True, beside=figures(found))  # fmt: skip


def _queries(bench: Bench, polls: Sequence[Poll], connections: int) -> float:
    """Transactions that PostgreSQL counts for each poll, those for its statistics and of the service itself too."""
    time.sleep(QUIET_SECONDS)
    before = asyncio.run(transactions(bench.dsn))
    sent = load(bench.service, polls, connections, bench.scale.seconds).requests
    time.sleep(QUIET_SECONDS)
    return (asyncio.run(transactions(bench.dsn)) - before) / sent


def size(bench: Bench) -> Iterator[Found]:
    smallest, largest = bench.scale.sizes[0], bench.scale.sizes[-1]
    paths = {f"{each:,}": bench.planted.sized[each] for each in (smallest, largest)}
    ways = {name: (bench.service, bench.unchanged([path])) for name, path in paths.items()}
    found = _turns(bench, ways, 16)
    only(found, most=LARGEST_UNCHANGED)
    value = ratio(found, f"{largest:,}", f"{smallest:,}")
    what = f"304 of a feed of {largest:,} to one of {smallest:,}, requests/s"
    yield Found(what, value, "×", 0.9, at_most=False, beside=figures(found))


def body(bench: Bench) -> Iterator[Found]:
    paths = bench.planted.bodies
    with bench.bare(bench.unchanged(paths), ENCODINGS) as bare_server:
        for name, headers in ENCODINGS.items():
            answer = bench.get(Poll(paths[0], headers))
            polls = [Poll(path, headers) for path in paths]
            found = _turns(bench, {"service": (bench.service, polls), "bare": (bare_server, polls)}, 64)
            only(found, least=len(answer.body) * 0.9)
            is_such = (answer.headers.get("Content-Encoding") == "gzip") == (headers is GZIP)
            note = f"{len(answer.body):,} octets" if is_such else "NOT COMPRESSED"
            cpu = f"{ratio(found, 'service', 'bare', 'cpu'):.2f} × the CPU of bare"
            yield Found(f"body from the cache, {THOUSAND:,} activities, {name}, 64 connections, requests/s to bare",
                        ratio(found, "service", "bare") if is_such else 0, "×", 0.9, at_most=False,
                        beside=f"{figures(found)}; {cpu}; {note}")  # fmt: skip


def change(bench: Bench) -> Iterator[Found]:
    """A cached body costs what it costs bare aiohttp: there may be no cache to compare with."""
    path, calendar = bench.planted.sized[TEN_THOUSAND], f"of-{TEN_THOUSAND}"
    bench.settle(Poll(path))
    with bench.bare(bench.unchanged([path]), ENCODINGS) as bare_server:
        for name, headers in ENCODINGS.items():
            first, again, ready, poll = [], [], [], Poll(path, headers)
            with bench.client() as client, Client(bare_server) as bare_client:
                client.get(poll)
                for number in range(bench.scale.repeats):
                    changed = meeting(calendar, number * 37, f"changed {next(bench.fresh)}")
                    bench.crm.write("upsertActivities", "activities", [changed])
                    first.append(client.get(poll).milliseconds)
                    again.append(client.get(poll).milliseconds)
                    ready.append(bare_client.get(poll).milliseconds)
            beside = f"first {_spread(first)}, then {_spread(again)}, bare {_spread(ready)}"
            yield Found(f"first poll after one change in {TEN_THOUSAND:,}, {name}, above bare aiohttp",
                        median(first) - median(ready), "ms", 10, at_most=True, beside=beside)  # fmt: skip


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.1f} ms ({min(values):.1f} to {max(values):.1f})"


def cold(bench: Bench) -> Iterator[Found]:
    path = bench.planted.sized[TEN_THOUSAND]
    for name, headers in ENCODINGS.items():
        bench.settle(Poll(path, headers))
        found = []
        for _ in range(bench.scale.restarts):
            bench.service.restart()
            found.append(_first(bench, Poll(path, headers)))
        yield Found(f"cold process, fragments stored, {TEN_THOUSAND:,} activities, {name}", median(found), "ms", 60,
                    at_most=True, beside=_spread(found))  # fmt: skip


def _first(bench: Bench, poll: Poll) -> float:
    """Milliseconds of the poll, after one of another link for which connections to the database were made."""
    with bench.client() as client:
        client.get(Poll(bench.planted.many[0]))
        return client.get(poll).milliseconds


def render(bench: Bench) -> Iterator[Found]:
    """A new reminder changes what is rendered of every activity."""
    small = bench.unchanged(bench.planted.many[:200])
    calendar_id = bench.crm.calendar_ids([f"of-{TEN_THOUSAND}"])[f"of-{TEN_THOUSAND}"]
    alone, during, took = [], [], []
    for _ in range(bench.scale.restarts):
        number = next(bench.fresh)
        path = bench.crm.link(USER, calendar_id, f"reminder {number}", reminderMinutes=number + 1)
        found = asyncio.run(polling(bench.service, small, Poll(path)))
        bench.latencies.append(found)
        alone += [each.milliseconds for each in found if not each.during]
        during += [each.milliseconds for each in found if each.during]
        took.append(max(each.at for each in found if each.during) - min(each.at for each in found if each.during))
    value = p99(during) / p99(alone)
    beside = (
        f"alone p50 {median(alone):.1f}, p99 {p99(alone):.1f} ms; during p50 {median(during):.1f},"
        f" p99 {p99(during):.1f}, worst {max(during):.1f} ms; rendering took {median(took):.1f} s"
    )
    yield Found(f"small polls' p99 while {TEN_THOUSAND:,} activities are rendered, to that without", value, "×", 3,
                at_most=True, beside=beside)  # fmt: skip


def p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def memory(bench: Bench) -> Iterator[Found]:
    largest = bench.scale.sizes[-1]
    path = bench.planted.sized[largest]
    length = len(bench.settle(Poll(path)).body)
    bench.service.restart()
    for small in bench.planted.many[:200]:
        bench.get(Poll(small))
    idle = kernel.resident(bench.service.pid)
    kernel.reset_peak(bench.service.pid)
    peaks = {}
    for name, headers in ENCODINGS.items():
        bench.get(Poll(path, headers))
        peaks[name] = kernel.peak(bench.service.pid) - idle
    value = max(peaks.values()) / length
    said = ", ".join(f"after {name} {each / MIB:,.0f} MiB more" for name, each in peaks.items())
    beside = f"body {length / MIB:.1f} MiB, idle {idle / MIB:,.0f} MiB, at the peak {said}"
    yield Found(f"memory over idle while a feed of {largest:,} is served, plain and gzip, to the body", value, "×", 4,
                at_most=True, beside=beside)  # fmt: skip


def garbage(bench: Bench) -> Iterator[Found]:
    polls = [Poll(_spoiled(path)) for path in bench.planted.many]
    with bench.bare([], {}) as bare_server:
        found = _turns(bench, {"service": (bench.service, polls), "bare": (bare_server, polls)}, 64)
    only(found, most=LARGEST_UNCHANGED, refused=True)
    beside = f"{figures(found)}; {_queries(bench, polls, 64):.4f} queries a poll"
    yield Found("garbage tokens, requests/s to bare 404", ratio(found, "service", "bare"), "×", 0.9, at_most=False,
                beside=beside)  # fmt: skip


def _spoiled(path: str) -> str:
    """The same path, but for some letters of its token."""
    letters = list(path)
    chosen = random.Random(path)
    for place in chosen.sample(range(20, 90), 8):
        letters[place] = chosen.choice("abcdefghijklmnopqrstuvwxyz")
    return "".join(letters)


def background(bench: Bench) -> Iterator[Found]:
    found = []
    for _ in range(bench.scale.restarts // 2):
        name = f"bulk-{next(bench.fresh)}"
        bench.crm.add_calendars([name], {name: [USER]})
        path = bench.crm.link(USER, bench.crm.calendar_ids([name])[name])
        bench.crm.fill(name, TEN_THOUSAND)
        time.sleep(BACKGROUND_SECONDS)
        found.append(bench.get(Poll(path)).milliseconds)
    yield Found(f"first poll {BACKGROUND_SECONDS} s after {TEN_THOUSAND:,} activities came", median(found), "ms", 60,
                at_most=True, beside=_spread(found))  # fmt: skip


Row = Callable[[Bench], Iterator[Found]]
ROWS: dict[str, Row] = {
    "304": unchanged, "size": size, "body": body, "change": change, "cold": cold, "render": render, "memory": memory,
    "garbage": garbage, "background": background,
}  # fmt: skip
