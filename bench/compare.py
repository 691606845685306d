"""Other programs with the same events: loaded, seen to serve the same, and measured beside the service."""

import asyncio
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg
from icalendar import Calendar

from bench import kernel
from bench.data import meeting
from bench.environments import HERE, python
from bench.load import TIMEOUT, Client, LoadError, Poll, get, load
from bench.rig import ENCODINGS, GZIP, Bench
from bench.servers import HOST, Server, free_port

SERVICE, BARE = "calendar-feeds", "bare aiohttp"
BEGINNING = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//bench//bench//EN\r\n"
END = b"END:VCALENDAR\r\n"
EVENT = re.compile(rb"^BEGIN:VEVENT\r\n.*?^END:VEVENT\r\n", re.MULTILINE | re.DOTALL)
SLOW = 200  # milliseconds of an answer: slower ones are asked for one by one, for wrk could count none
FEWEST = 2  # answers of one that is slow
TABLES = """
    CREATE TABLE calendars (id integer PRIMARY KEY, token text NOT NULL UNIQUE);
    CREATE TABLE events (
        uid text PRIMARY KEY, calendar_id integer NOT NULL REFERENCES calendars, title text NOT NULL,
        description text NOT NULL, location text NOT NULL, starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL, created_at timestamptz NOT NULL, changed_at timestamptz NOT NULL);
    CREATE INDEX ON events (calendar_id, starts_at)"""


class Event(NamedTuple):
    """What all must say alike of an event."""

    uid: str
    title: str
    location: str
    starts_at: date
    ends_at: date


@dataclass(frozen=True)
class Feed:
    """A calendar of so many events, as the service serves it."""

    size: int
    octets: bytes

    @property
    def components(self) -> list[bytes]:
        return EVENT.findall(self.octets)


@dataclass(frozen=True)
class Measured:
    """Of one way to ask for one feed: milliseconds, microseconds of the server's processor a request, octets."""

    program: str
    size: int
    way: str
    status: int
    per_second: float
    p50: float
    p99: float
    cpu: float
    memory: int  # the most that the server used meanwhile
    octets: int  # of the body


@dataclass(frozen=True)
class Peer:
    name: str
    server: Server
    path: Callable[[int], str]  # of the feed of that size


def events(ics: bytes) -> dict[str, Event]:
    found = Calendar.from_ical(ics).events
    return {
        str(each["UID"]): Event(str(each["UID"]), str(each["SUMMARY"]), str(each["LOCATION"]), each.start, each.end)
        for each in found
    }


# ---- What each needs to have the events


@contextmanager
def radicale(folder: Path, feeds: Sequence[Feed]) -> Iterator[Peer]:
    port, files, rights = free_port(), folder / "radicale", folder / "rights"
    rights.write_text("[all]\nuser: .*\ncollection: .*\npermissions: RrWw\n")
    options = {
        "server-hosts": f"{HOST}:{port}", "server-timeout": TIMEOUT, "auth-type": "none", "rights-type": "from_file",
        "rights-file": rights, "storage-filesystem-folder": files, "logging-level": "warning",
    }  # fmt: skip
    command = [python("peers/radicale"), "-m", "radicale", "--config", ""]
    command += [f"--{name}={value}" for name, value in options.items()]
    with Server("radicale", command, port, folder) as server:
        _write(server, "MKCOL", "/bench/", b"")
        for feed in feeds:
            _write(server, "PUT", f"/bench/c{feed.size}/", feed.octets)
        yield Peer("Radicale", server, "/bench/c{}/".format)


def _write(server: Server, method: str, path: str, octets: bytes) -> None:
    connection = HTTPConnection(HOST, server.port, timeout=TIMEOUT)
    connection.request(method, path, octets, {"Content-Type": "text/calendar; charset=utf-8"})
    answer = connection.getresponse()
    if answer.status != HTTPStatus.CREATED:
        raise LoadError(f"{server.name} answered {answer.status}: {answer.read()[:500]!r}")
    connection.close()


@contextmanager
def xandikos(folder: Path, feeds: Sequence[Feed]) -> Iterator[Peer]:
    port, files, of_its_own = free_port(), folder / "xandikos", python("peers/xandikos")
    files.mkdir()
    for feed in feeds:
        name = f"c{feed.size}"
        create = ["create-collection", "-d", str(files), "--type", "calendar", "--name", name]
        subprocess.run([of_its_own, "-m", "xandikos", *create], check=True, capture_output=True)
        collection = next(path.parent for path in files.rglob(".git") if path.parent.name == name)
        for number, component in enumerate(feed.components):
            (collection / f"{number}.ics").write_bytes(BEGINNING + component + END)
        subprocess.run([of_its_own, HERE / "peers/xandikos/fill.py", collection], check=True, capture_output=True)
    where = collection.parent.relative_to(files)
    serve = ["serve", "-d", str(files), "-l", HOST, "-p", str(port), "--state-dir", str(folder / "state")]
    with Server("xandikos", [of_its_own, "-m", "xandikos", *serve], port, folder) as server:
        yield Peer("Xandikos", server, f"/{where}/c{{}}/".format)


@contextmanager
def naive(folder: Path, dsn: str) -> Iterator[Peer]:
    port = free_port()
    command = [python("peers/naive"), str(HERE / "peers/naive/serve.py"), str(port), dsn]
    with Server("naive", command, port, folder) as server:
        yield Peer("naive", server, "/c{}.ics".format)


@contextmanager
def django(folder: Path, dsn: str) -> Iterator[Peer]:
    port, parsed = free_port(), urlsplit(dsn)
    host = parse_qs(parsed.query)["host"][0]
    database = {"NAME": parsed.path[1:], "USER": parsed.username, "HOST": host, "PORT": "5432", "CONN_MAX_AGE": None}
    gunicorn = f"-m gunicorn --workers 2 --threads 2 --no-control-socket --timeout {TIMEOUT} --bind {HOST}:{port}"
    command = [python("peers/django"), *gunicorn.split(), "--chdir", str(HERE / "peers/django"), "feed:application"]
    with Server("django-ical", command, port, folder, {"DATABASE": json.dumps(database)}) as server:
        yield Peer("Django + django-ical", server, "/c{}.ics".format)


async def fill(dsn: str, feeds: Sequence[Feed]) -> str:
    """The DSN of a new database, which has the events in tables such as most would make."""
    admin = await asyncpg.connect(dsn)
    await admin.execute("DROP DATABASE IF EXISTS peers")
    await admin.execute("CREATE DATABASE peers")
    await admin.close()
    dsn = urlunsplit(urlsplit(dsn)._replace(path="/peers"))
    conn = await asyncpg.connect(dsn)
    await conn.execute(TABLES)
    for feed in feeds:
        rows = [_row(feed.size, each) for each in Calendar.from_ical(feed.octets).events]
        await conn.execute("INSERT INTO calendars VALUES ($1, $2)", feed.size, f"c{feed.size}")
        await conn.copy_records_to_table("events", records=rows)
    await conn.execute("ANALYZE")
    await conn.close()
    return dsn


def _row(calendar_id: int, event: Mapping[str, object]) -> tuple[object, ...]:
    texts = [str(event[name]) for name in ("SUMMARY", "DESCRIPTION", "LOCATION")]
    times = [event[name].dt for name in ("DTSTART", "DTEND", "CREATED", "LAST-MODIFIED")]  # type: ignore[attr-defined]
    return (str(event["UID"]), calendar_id, *texts, *times)


# ---- Measuring


def check_service(feed: Feed) -> None:
    """See that the service serves what it was sent, but for what rows have changed since."""
    sent = [meeting(f"of-{feed.size}", number) for number in range(feed.size)]
    wanted = Counter(
        (each["location"], *map(datetime.fromisoformat, (each["startsAt"], each["endsAt"]))) for each in sent
    )
    if Counter(each[2:] for each in events(feed.octets).values()) != wanted:
        raise LoadError(f"The service does not serve the {feed.size:,} meetings that it was sent.")


def check(peer: Peer, feed: Feed) -> None:
    """See that the program serves the same events as the service."""
    served, wanted = events(get(peer.server, Poll(peer.path(feed.size))).body), events(feed.octets)
    if served != wanted:
        differ = next((each for each in wanted.values() if served.get(each.uid) != each), None)
        raise LoadError(f"{peer.name} serves {len(served)} of {len(wanted)} events, differently {differ}")


def measure(peer: Peer, size: int, seconds: float) -> Iterator[Measured]:
    """Whole, gzipped, and with the ETag that the program gave, by one connection."""
    path = peer.path(size)
    etag = get(peer.server, Poll(path)).headers.get("ETag")
    ways = {"whole": Poll(path), "gzip": Poll(path, GZIP)}
    ways |= {"unchanged": Poll(path, {"If-None-Match": etag})} if etag else {}
    for way, poll in ways.items():
        first = get(peer.server, poll, None)
        if way == "gzip" and first.headers.get("Content-Encoding") != "gzip":
            continue
        kernel.reset_peak(peer.server.pid)
        figures = (_by_wrk if first.milliseconds < SLOW else _one_by_one)(peer.server, poll, seconds)
        memory = kernel.peak(peer.server.pid)
        yield Measured(peer.name, size, way, first.status, *figures, memory, len(first.body))


def _by_wrk(server: Server, poll: Poll, seconds: float) -> tuple[float, float, float, float]:
    found = load(server, [poll], 1, seconds)
    return found.per_second, found.p50, found.p99, found.cpu


def _one_by_one(server: Server, poll: Poll, seconds: float) -> tuple[float, float, float, float]:
    """p99 is the slowest of what may be two."""
    found: list[float] = []
    before = kernel.cpu_seconds(server.pid)
    with Client(server) as client:
        while len(found) < FEWEST or sum(found) < seconds * 1e3:
            found.append(client.get(poll, None).milliseconds)
    cpu = (kernel.cpu_seconds(server.pid) - before) / len(found) * 1e6
    return 1e3 / median(found), median(found), max(found), cpu


def compare(bench: Bench) -> Iterator[Measured]:
    """The service, bare aiohttp and the peers, one after the other, with the same feeds."""
    sized, seconds = bench.planted.sized, bench.scale.seconds
    with bench.bare(bench.unchanged([*sized.values()]), ENCODINGS) as server:
        for size in sized:
            yield from measure(Peer(SERVICE, bench.service, sized.__getitem__), size, seconds)
            yield from measure(Peer(BARE, server, sized.__getitem__), size, seconds)
    feeds = [Feed(size, bench.get(Poll(sized[size])).body) for size in bench.scale.compared]
    for feed in feeds:
        check_service(feed)
    dsn = asyncio.run(fill(bench.dsn, feeds))
    for peer_of in (partial(radicale, feeds=feeds), partial(xandikos, feeds=feeds), partial(naive, dsn=dsn),
                    partial(django, dsn=dsn)):  # fmt: skip
        with peer_of(bench.folder) as peer:
            for feed in feeds:
                check(peer, feed)
                yield from measure(peer, feed.size, seconds)
