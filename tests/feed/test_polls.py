"""The log of polls: in memory, written in batches, kept while the database is away; and the alarm that it raises."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from db.audit import Network
from db.embedded import postgres
from db.kept import KeptRecord, save_kept_feed
from db.links import LinkRecord, add_link, reset_links
from db.migrate import migrate
from db.polls import Answer, PollRecord, list_polls
from db.pool import COMMAND_TIMEOUT, Conn, Pool, create_pool
from feed.polls import PollLog, PollSettings
from tests.seed import HOUR, Seed, plant
from tests.waiting import until_somebody_waits

NOW = datetime.now(UTC)  # the log goes by the clock
OFFICE = ip_network("192.0.2.0/24")
THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.5.1"
GOOGLE = "Google-Calendar-Importer"
FEW = PollSettings(alarm_clients=3, alarm_networks=4)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    async with create_pool(dsn) as pool:
        yield pool


@pytest.fixture
async def link(seed: Seed) -> LinkRecord:
    return await new_link(seed)


async def new_link(seed: Seed, name: str = "iPhone") -> LinkRecord:
    link = await add_link(seed.conn, seed.account_id, seed.anna.id, seed.own, name, "k1", NOW - HOUR)
    assert link
    return link


def note(
    polls: PollLog,
    link: LinkRecord,
    user_agent: str | None = THUNDERBIRD,
    network: Network | None = OFFICE,
    answer: Answer = "CALENDAR",
    at: datetime = NOW,
    generation: int | None = 1,
) -> None:
    status = {"CALENDAR": 200, "UNCHANGED": 304, "NOTICE": 200, "GONE": 410, "LIMITED": 429, "UNAVAILABLE": 503}[answer]
    polls.note(link.account_id, link.id, user_agent, network, status, answer, at, generation)


def note_homes(polls: PollLog, link: LinkRecord, homes: int, user_agent: str = THUNDERBIRD) -> None:
    for home in range(homes):
        note(polls, link, user_agent, ip_network(f"10.0.{home}.0/24"))


async def clients(conn: Conn, link: LinkRecord) -> list[tuple[str, int, int, str]]:
    records = await list_polls(conn, link.account_id, [link.id])
    return sorted((record.client, record.polls, record.last_status, record.last_answer) for record in records)


async def networks(conn: Conn) -> list[tuple[str, Network]]:
    rows = await conn.fetch("SELECT client, network FROM feed_networks ORDER BY client, network")
    return [(row["client"], row["network"]) for row in rows]


async def alarm(conn: Conn, link: LinkRecord) -> tuple[bool, str | None]:
    """Whether the link has its alarm, and who paused it."""
    row = await conn.fetchrow("SELECT alarmed_at, paused_at, paused_by FROM feed_links WHERE id = $1", link.id)
    assert row is not None
    assert (row["paused_at"] is None) == (row["paused_by"] is None)
    return row["alarmed_at"] is not None, row["paused_by"]


async def entries(conn: Conn) -> list[tuple[Any, ...]]:
    """What the service itself wrote to the audit log."""
    rows = await conn.fetch(
        "SELECT action, subject_id, actor_type, actor_id, outcome, network, details FROM audit_log"
        " WHERE actor_type = 'SERVICE' ORDER BY action, id"
    )
    return [(*tuple(row)[:6], json.loads(row["details"])) for row in rows]


async def test_polls_are_written_by_client_with_their_networks(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls, home = PollLog(pool, PollSettings()), ip_network("2001:db8:1::/48")
    note(polls, link)
    note(polls, link, network=home, answer="UNCHANGED", at=NOW + timedelta(seconds=1))
    note(polls, link, GOOGLE)
    note(polls, link, None, None)
    assert await clients(seed.conn, link) == []
    await polls.flush()
    assert await clients(seed.conn, link) == [
        ("Google Calendar", 1, 200, "CALENDAR"),
        ("Other", 1, 200, "CALENDAR"),
        ("Thunderbird", 2, 304, "UNCHANGED"),
    ]
    assert await networks(seed.conn) == [
        ("Google Calendar", OFFICE),
        ("Other", ip_network("0.0.0.0/0")),
        ("Thunderbird", OFFICE),
        ("Thunderbird", home),
    ]


async def test_flush_writes_each_poll_once(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, PollSettings())
    note(polls, link)
    await polls.flush()
    await polls.flush()
    assert await clients(seed.conn, link) == [("Thunderbird", 1, 200, "CALENDAR")]


async def test_networks_of_polls_without_the_calendar_are_not_kept(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, PollSettings())
    answers: list[Answer] = ["NOTICE", "GONE", "LIMITED", "UNAVAILABLE"]
    for seconds, answer in enumerate(answers):
        note(polls, link, answer=answer, at=NOW + timedelta(seconds=seconds))
    await polls.flush()
    assert await clients(seed.conn, link) == [("Thunderbird", 4, 503, "UNAVAILABLE")]
    assert await networks(seed.conn) == []


async def test_networks_of_an_url_in_its_grace_are_not_kept(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, PollSettings())
    await reset_links(seed.conn, seed.account_id, [link.id], "k1", NOW, grace_until=NOW + HOUR)
    note(polls, link, GOOGLE, generation=1)
    note(polls, link, THUNDERBIRD, generation=2)
    await polls.flush()
    assert [name for name, *_ in await clients(seed.conn, link)] == ["Google Calendar", "Thunderbird"]
    assert await networks(seed.conn) == [("Thunderbird", OFFICE)]


async def test_no_network_is_kept_where_the_settings_say_so(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    before = PollLog(pool, PollSettings())
    note(before, link)
    await before.flush()
    polls = PollLog(pool, PollSettings(network_days=0, alarm_clients=2, alarm_networks=1))
    note(polls, link, at=datetime.now(UTC))
    note(polls, link, GOOGLE, at=datetime.now(UTC))
    await polls.flush()
    nowhere = ip_network("0.0.0.0/0")
    assert await networks(seed.conn) == [("Google Calendar", nowhere), ("Thunderbird", nowhere)]
    assert [entry[-1] for entry in await entries(seed.conn)] == [{"clients": 2, "networks": 0}]


async def test_old_networks_are_forgotten_once_an_hour_though_nobody_polls(
    seed: Seed, pool: Pool, link: LinkRecord
) -> None:
    writing, later = PollLog(pool, PollSettings()), PollLog(pool, PollSettings(network_days=10))
    old = timedelta(days=10, seconds=1)
    note(writing, link, GOOGLE, at=NOW - old)
    note(writing, link, at=NOW - timedelta(days=9))
    await writing.flush()
    await later.flush()
    assert [name for name, _ in await networks(seed.conn)] == ["Thunderbird"]
    note(writing, link, GOOGLE, at=NOW - old)
    await writing.flush()
    await later.flush()
    assert [name for name, _ in await networks(seed.conn)] == ["Google Calendar", "Thunderbird"]


async def test_feeds_that_were_kept_for_days_that_are_over_everywhere_are_forgotten(
    seed: Seed, pool: Pool, link: LinkRecord
) -> None:
    for days, expected in ((0, 1), (1, 1), (2, 0)):
        day = datetime.now(UTC).date() - timedelta(days=days)
        none: dict[str, Any] = {key: [] for key in ("activity_ids", "sizes", "events", "counts", "deflated")}
        record = KeptRecord(fingerprint=b"x", day=day, versions={}, **none)
        await save_kept_feed(seed.conn, seed.account_id, link.id, record)
        await PollLog(pool, PollSettings()).flush()
        assert await seed.conn.fetchval("SELECT count(*) FROM kept_feeds") == expected


async def test_account_whose_networks_cannot_be_forgotten_holds_up_nothing(seed: Seed, pool: Pool) -> None:
    other, old = await plant(seed.conn, "Other"), NOW - timedelta(days=31)
    links = [await new_link(seed), await new_link(other)]
    before, polls = PollLog(pool, PollSettings(network_days=60)), PollLog(pool, PollSettings())
    for link in links:
        note(before, link, at=old)
    await before.flush()
    note(polls, links[0], GOOGLE)
    async with refused(seed.conn, f"DELETE ON feed_networks FOR EACH ROW WHEN (old.account_id = '{seed.account_id}')"):
        with capture_logs() as logs:
            await polls.flush()
    assert [entry["errors"] for entry in logs] == [["RaiseError"]]
    assert await networks(seed.conn) == [("Google Calendar", OFFICE), ("Thunderbird", OFFICE)]
    assert await seed.conn.fetchval("SELECT account_id FROM feed_networks WHERE last_polled_at = $1", old) == (
        seed.account_id
    )
    await polls.flush()
    assert await networks(seed.conn) == [("Google Calendar", OFFICE)]


@asynccontextmanager
async def refused(conn: Conn, change: str) -> AsyncIterator[None]:
    """While a trigger makes it an error."""
    await conn.execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")
    try:
        await conn.execute(f"CREATE TRIGGER refused BEFORE {change} EXECUTE FUNCTION refuse()")
        yield
    finally:
        await conn.execute("DROP FUNCTION refuse CASCADE")


async def test_polls_are_written_while_running_and_at_the_end(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, PollSettings(), flush_seconds=0.05)
    async with polls.running():
        note(polls, link)
        async with asyncio.timeout(10):
            while not await clients(seed.conn, link):
                await asyncio.sleep(0.02)
    slow = PollLog(pool, PollSettings(), flush_seconds=3_600)
    async with asyncio.timeout(10), slow.running():
        note(slow, link)
    assert await clients(seed.conn, link) == [("Thunderbird", 2, 200, "CALENDAR")]


async def test_polls_noted_during_the_last_flush_are_written_too(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, PollSettings(), flush_seconds=0)
    async with polls.running():
        async with seed.conn.transaction():
            await seed.conn.execute("LOCK TABLE feed_polls IN ACCESS EXCLUSIVE MODE")
            note(polls, link)
            await asyncio.sleep(0.2)  # a flush has begun, and waits
            note(polls, link)
    assert await clients(seed.conn, link) == [("Thunderbird", 2, 200, "CALENDAR")]


async def test_logs_of_several_processes_add_up(seed: Seed, dsn: str) -> None:
    links = [await new_link(seed, f"link {n}") for n in range(20)]

    async def serve(place: int) -> None:
        async with create_pool(dsn) as pool:
            polls = PollLog(pool, FEW)
            for _ in range(10):
                for link in links[::-1] if place % 2 else links:
                    note_homes(polls, link, 3)
                    note(polls, link, GOOGLE)
                await polls.flush()
            while polls._noted:  # on a busy machine a lock may last longer than a flush waits for it
                await polls.flush()

    await asyncio.gather(*(serve(place) for place in range(4)))
    for link in links:
        assert await clients(seed.conn, link) == [
            ("Google Calendar", 40, 200, "CALENDAR"),
            ("Thunderbird", 120, 200, "CALENDAR"),
        ]


async def test_statements_of_a_flush_do_not_grow_with_its_polls(seed: Seed, dsn: str) -> None:
    sent: list[str] = []

    async def listen(conn: Conn) -> None:
        assert isinstance(conn, asyncpg.Connection)
        conn.add_query_logger(lambda record: sent.append(record.query))

    links = [await new_link(seed, f"link {n}") for n in range(20)]
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1, init=listen) as pool:
        polls = PollLog(pool, FEW)
        note(polls, links[0])
        await polls.flush()  # asks for the names of types, too
        sent.clear()
        note(polls, links[0])
        await polls.flush()
        await asyncio.sleep(0)  # the log is written when the loop comes to it
        few = list(sent)
        sent.clear()
        for link in links:
            note_homes(polls, link, 2)
            note(polls, link, GOOGLE, answer="GONE")
        await polls.flush()
        await asyncio.sleep(0)
    assert sent == few
    assert len([text for text in few if "feed_" in text]) == 3


async def test_memory_is_bounded_and_said_once_to_be_full(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, PollSettings(alarm_networks=0), most_keys=200)
    for turn in (1, 2):
        with capture_logs() as logs:
            for place in range(250):
                note(polls, link, network=ip_network(f"10.{place // 250}.{place % 250}.0/24"))
            note(polls, link, network=ip_network("10.0.7.0/24"))  # is known, so it is counted
        told = {"event": "no room for more polls, they are not counted", "keys": 200, "log_level": "warning"}
        assert logs == [told]
        while polls._noted:  # a busy machine may take more than a second for a lock
            await polls.flush()
        assert await clients(seed.conn, link) == [("Thunderbird", turn * 201, 200, "CALENDAR")]


async def test_polls_of_a_link_that_is_gone_hold_up_nothing(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, PollSettings())
    polls.note(uuid4(), uuid4(), THUNDERBIRD, OFFICE, 200, "CALENDAR", NOW)
    polls.note(seed.account_id, uuid4(), THUNDERBIRD, OFFICE, 200, "CALENDAR", NOW)
    note(polls, link)
    with capture_logs() as logs:
        await polls.flush()
    assert logs == []
    assert await clients(seed.conn, link) == [("Thunderbird", 1, 200, "CALENDAR")]


async def test_account_that_cannot_be_written_holds_up_no_other(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    other = await plant(seed.conn, "Other")
    theirs = await new_link(other)
    guard = f"ALTER TABLE feed_polls ADD CONSTRAINT broken CHECK (account_id <> '{seed.account_id}')"
    polls = PollLog(pool, PollSettings())
    note(polls, link)
    note(polls, theirs)
    await seed.conn.execute(guard)
    try:
        with capture_logs() as logs:
            await polls.flush()
            await polls.flush()
    finally:
        await seed.conn.execute("ALTER TABLE feed_polls DROP CONSTRAINT broken")
    assert logs == [
        {
            "event": "polls cannot be written, they are kept for now",
            "errors": ["CheckViolationError"],
            "log_level": "warning",
        }
    ]
    assert await clients(seed.conn, theirs) == [("Thunderbird", 1, 200, "CALENDAR")]
    await polls.flush()
    assert await clients(seed.conn, link) == [("Thunderbird", 1, 200, "CALENDAR")]


@pytest.mark.parametrize(
    ("command_timeout", "error"),
    [(COMMAND_TIMEOUT, "LockNotAvailableError"), (0.9, "TimeoutError")],  # the lock's second is over first, or not
)
async def test_account_that_is_locked_holds_up_no_other(
    seed: Seed, dsn: str, link: LinkRecord, command_timeout: float, error: str
) -> None:
    theirs = await new_link(await plant(seed.conn, "Other"))
    async with asyncpg.create_pool(dsn, min_size=0, command_timeout=command_timeout) as pool:
        polls = PollLog(pool, PollSettings())
        note(polls, link)
        await polls.flush()
        async with locked(seed.conn, link):
            note(polls, link)
            note(polls, theirs)
            with capture_logs() as logs:
                async with asyncio.timeout(8):
                    await polls.flush()
            assert [entry["errors"] for entry in logs] == [[error]]
            assert await clients(seed.conn, theirs) == [("Thunderbird", 1, 200, "CALENDAR")]
        await polls.flush()
    assert await clients(seed.conn, link) == [("Thunderbird", 2, 200, "CALENDAR")]


async def test_account_that_cost_the_connection_is_written_after_the_others(
    seed: Seed, pool: Pool, link: LinkRecord, dsn: str
) -> None:
    theirs, polls = await new_link(await plant(seed.conn, "Other")), PollLog(pool, PollSettings())
    note(polls, link)
    await polls.flush()
    async with locked(seed.conn, link):
        note(polls, link)
        note(polls, theirs)
        flush = asyncio.create_task(polls.flush())
        await until_somebody_waits(dsn)
        await seed.conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        await flush
        assert await clients(seed.conn, theirs) == []
        flush = asyncio.create_task(polls.flush())
        await until_somebody_waits(dsn)
        assert await clients(seed.conn, theirs) == [("Thunderbird", 1, 200, "CALENDAR")]
    await flush
    await polls.flush()
    assert await clients(seed.conn, link) == [("Thunderbird", 2, 200, "CALENDAR")]


@asynccontextmanager
async def locked(conn: Conn, link: LinkRecord) -> AsyncIterator[None]:
    """While another transaction holds what is known of the link's clients."""
    async with conn.transaction():
        await conn.execute("SELECT 1 FROM feed_polls WHERE link_id = $1 FOR UPDATE", link.id)
        yield


async def test_polls_are_kept_while_postgres_is_away_and_written_when_it_is_back(tmp_path: Path) -> None:
    with postgres(tmp_path) as dsn:
        await migrate(dsn)
        conn = await asyncpg.connect(dsn)
        seed = await plant(conn)
        link = await new_link(seed)
        await conn.close()
        async with create_pool(dsn) as pool:
            polls = PollLog(pool, PollSettings())
            note(polls, link)
            await polls.flush()
            postmaster = int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(postmaster, signal.SIGKILL)
            with capture_logs() as logs:
                note(polls, link, answer="UNAVAILABLE", at=NOW + timedelta(seconds=1))
                await polls.flush()
                note(polls, link, at=NOW + timedelta(seconds=2))
                async with asyncio.timeout(30):
                    while await written(pool, link) < 3:
                        await polls.flush()
                        await asyncio.sleep(0.1)
            events = [entry["event"] for entry in logs if entry["event"].startswith("polls")]
            assert events[:1] == ["polls cannot be written, they are kept for now"]
            (record,) = await list_polls_of(pool, link)
            assert (record.polls, record.last_status, record.last_answer) == (3, 200, "CALENDAR")


async def list_polls_of(pool: Pool, link: LinkRecord) -> list[PollRecord]:
    async with pool.acquire() as conn:
        return await list_polls(conn, link.account_id, [link.id])


async def written(pool: Pool, link: LinkRecord) -> int:
    """How many polls are in the database, 0 while it is away."""
    try:
        return sum(record.polls for record in await list_polls_of(pool, link))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return 0


async def test_log_stops_without_a_database_and_says_what_is_lost() -> None:
    async with create_pool("postgresql://nobody@127.0.0.1:1/nothing") as pool:
        polls = PollLog(pool, PollSettings())
        with capture_logs() as logs:
            async with asyncio.timeout(10), polls.running():
                polls.note(uuid4(), uuid4(), THUNDERBIRD, OFFICE, 503, "UNAVAILABLE", NOW)
    assert [(entry["event"], entry.get("keys")) for entry in logs] == [
        ("polls cannot be written, they are kept for now", None),
        ("polls not written", 1),
    ]


async def test_alarm_is_raised_once_and_told_in_the_audit_log(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, FEW)
    note_homes(polls, link, 3)
    await polls.flush()
    assert await alarm(seed.conn, link) == (False, None)
    note_homes(polls, link, 4)
    await polls.flush()
    note_homes(polls, link, 9)
    await polls.flush()
    assert await alarm(seed.conn, link) == (True, None)
    details = {"clients": 1, "networks": 4}
    assert await entries(seed.conn) == [("LINK_ALARMED", link.id, "SERVICE", None, "DONE", None, details)]


async def test_alarm_pauses_the_link_where_the_account_says_so(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    await seed.conn.execute("UPDATE accounts SET pauses_alarmed = true")
    polls = PollLog(pool, FEW)
    for agent in (THUNDERBIRD, GOOGLE, "curl/8"):
        note(polls, link, agent)
    await polls.flush()
    assert await alarm(seed.conn, link) == (True, "ALARM")
    assert await entries(seed.conn) == [
        ("LINK_ALARMED", link.id, "SERVICE", None, "DONE", None, {"clients": 3, "networks": 1}),
        ("LINK_PAUSED", link.id, "SERVICE", None, "DONE", None, {}),
    ]


async def test_alarm_of_a_paused_link_leaves_it_to_who_paused_it(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    await seed.conn.execute("UPDATE accounts SET pauses_alarmed = true")
    await seed.conn.execute("UPDATE feed_links SET paused_at = $1, paused_by = 'OWNER'", NOW - HOUR / 2)
    polls = PollLog(pool, FEW)
    note_homes(polls, link, 4)
    await polls.flush()
    assert await alarm(seed.conn, link) == (True, "OWNER")
    assert await seed.conn.fetchval("SELECT paused_at FROM feed_links") == NOW - HOUR / 2
    assert [entry[0] for entry in await entries(seed.conn)] == ["LINK_ALARMED"]


async def test_networks_of_providers_raise_no_alarm(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, FEW)
    note_homes(polls, link, 50, GOOGLE)
    await polls.flush()
    assert await alarm(seed.conn, link) == (False, None)


async def test_limits_of_zero_raise_no_alarm(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, PollSettings(alarm_clients=0, alarm_networks=0))
    note_homes(polls, link, 50)
    await polls.flush()
    assert await alarm(seed.conn, link) == (False, None)


async def test_alarm_that_two_processes_see_is_raised_by_one(seed: Seed, dsn: str) -> None:
    await seed.conn.execute("UPDATE accounts SET pauses_alarmed = true")
    links = [await new_link(seed, f"link {n}") for n in range(10)]

    async def serve(place: int) -> None:
        async with create_pool(dsn) as pool:
            polls = PollLog(pool, FEW)
            for link in links:
                note_homes(polls, link, 4 + place)
            await polls.flush()

    await asyncio.gather(*(serve(place) for place in range(4)))
    ids: list[UUID] = sorted(link.id for link in links)
    told = await entries(seed.conn)
    assert sorted(entry[1] for entry in told if entry[0] == "LINK_ALARMED") == ids
    assert sorted(entry[1] for entry in told if entry[0] == "LINK_PAUSED") == ids


async def test_link_that_is_reset_before_its_alarm_is_raised_has_none(
    seed: Seed, pool: Pool, link: LinkRecord, dsn: str
) -> None:
    polls = PollLog(pool, FEW)
    note_homes(polls, link, 4)
    async with seed.conn.transaction():
        await reset_links(seed.conn, seed.account_id, [link.id], "k1", NOW + timedelta(seconds=1))
        flush = asyncio.create_task(polls.flush())
        await until_somebody_waits(dsn)
    await flush
    assert await alarm(seed.conn, link) == (False, None)
    assert await entries(seed.conn) == []


SILENT = "SELECT silent_since FROM feed_polls"


async def test_client_that_has_gone_stale_is_noted_once_an_hour(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    polls = PollLog(pool, PollSettings(), first_stale=timedelta(0))
    last = NOW - timedelta(days=9)
    note(polls, link, at=last)
    await polls.flush()
    assert await seed.conn.fetchval(SILENT) == last
    await seed.conn.execute("UPDATE feed_polls SET silent_since = NULL")
    await polls.flush()
    assert await seed.conn.fetchval(SILENT) is None


async def test_nobody_has_gone_stale_in_the_first_hour(seed: Seed, pool: Pool, link: LinkRecord) -> None:
    """Clients may have polled in vain while the service was away."""
    polls = PollLog(pool, PollSettings())
    note(polls, link, at=NOW - timedelta(days=9))
    await polls.flush()
    assert await seed.conn.fetchval(SILENT) is None
