"""What a feed holds: nothing that the user may not see, and the same rows as the same bytes."""

import asyncio
import hashlib
import os
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from db.calendars import add_calendar, grant_access
from db.pool import Conn, create_pool
from feed.body import ChangedMeanwhileError, FeedRows, current_content, feed_content, read_gate_feed
from feed.room import FeedLimits
from tests.feed.subscription import (
    DAY,
    Subscription,
    deadlines,
    octets_at,
    octets_of,
    on,
    parts,
    previewed,
    stay_in_today,
    subscribe,
    titled,
    token_of,
    weekly,
)
from tests.seed import NOW, Seed, Service, meeting, running_service, task


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)


async def test_bad_activity_is_left_out_counted_and_logged_without_its_content(
    seed: Seed, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    await seed.write(on(1), on(2, title="Secret title", location="Secret place", recurrence={"rules": "Secret rule"}))
    link = await subscribe(service, seed.anna, seed.own)
    assert await link.titles() == ["+1"]
    preview = await previewed(service, seed)
    assert preview["leftOutCounts"] == [{"reason": "CANNOT_BE_RENDERED", "count": 1}]
    said = "".join(capsys.readouterr())
    bad = await seed.conn.fetchval("SELECT id FROM activities WHERE external_id = '+2'")
    assert f"activity_id={bad}" in said
    assert "Secret" not in said


BAD: dict[str, Any] = {"rules": 7}
MEMORY = """
    SELECT f.revision, f.day, f.ics IS NULL AS is_memory FROM fragments f JOIN activities a ON a.id = f.activity_id
     WHERE a.external_id = 'x'"""


async def memory(seed: Seed) -> list[tuple[int, date | None, bool]]:
    """The fragments of the activity "x": of what revision, held for what day, whether only as one without octets."""
    return [tuple(row) for row in await seed.conn.fetch(MEMORY)]


async def test_what_cannot_be_rendered_is_logged_once_a_day_and_revision(
    seed: Seed, service: Service, dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await seed.write(on(1), meeting("x", recurrence=BAD))
    link, now = await subscribe(service, seed.anna, seed.own), datetime.now(UTC)
    other = await subscribe(service, seed.anna, seed.own, name="other")

    async def logged(moment: datetime) -> int:
        for url in (link.url, link.url, other.url):
            assert [part["SUMMARY"] for part in parts(await octets_at(dsn, url, moment))] == ["+1"]
        return "".join(capsys.readouterr()).count("activity left out")

    assert (await logged(now), await memory(seed)) == (1, [(0, NOW.date(), True)])
    assert (await logged(now), await memory(seed)) == (0, [(0, NOW.date(), True)])
    await seed.conn.execute("UPDATE activities SET recurrence = '{\"rules\": 8}' WHERE external_id = 'x'")
    assert (await logged(now), await memory(seed)) == (1, [(1, NOW.date(), True)])
    assert (await logged(now + DAY), await memory(seed)) == (1, [(1, NOW.date() + DAY, True)])
    assert (await logged(now + DAY), await memory(seed)) == (0, [(1, NOW.date() + DAY, True)])


async def test_what_could_not_be_rendered_is_shown_once_it_is_mended(seed: Seed, service: Service) -> None:
    await seed.write(on(1), meeting("x", recurrence=BAD))
    link = await subscribe(service, seed.anna, seed.own)
    assert await link.titles() == ["+1"]
    tag = (await link.poll()).headers["ETag"]
    await seed.conn.execute("UPDATE activities SET recurrence = NULL WHERE external_id = 'x'")
    assert (await link.poll(If_None_Match=tag)).status == 200
    assert await link.titles() == ["+1", "Viewing"]
    assert await memory(seed) == [(1, None, False)]


@pytest.mark.parametrize(("recurrence", "day"), [(None, None), (weekly(), DAY)])
async def test_memory_of_a_failure_lasts_a_day_and_is_replaced_by_what_is_rendered_then(
    seed: Seed, service: Service, dsn: str, recurrence: dict[str, Any] | None, day: timedelta | None
) -> None:
    """As after a release that renders what the one before could not."""
    await seed.write(on(1), meeting("x", recurrence=recurrence))
    link, now = await subscribe(service, seed.anna, seed.own), datetime.now(UTC)

    async def titles(moment: datetime) -> set[str]:
        return {part["SUMMARY"] for part in parts(await octets_at(dsn, link.url, moment))}

    assert await titles(now) == {"+1", "Viewing"}
    sql = (
        "UPDATE fragments f SET ics = NULL, day = $1 FROM activities a WHERE a.id = f.activity_id AND external_id = 'x'"
    )
    await seed.conn.execute(sql, NOW.date())
    assert (await titles(now), await memory(seed)) == ({"+1"}, [(0, NOW.date(), True)])
    rendered = [(0, NOW.date() + day if day else None, False)]
    assert (await titles(now + DAY), await memory(seed)) == ({"+1", "Viewing"}, rendered)
    assert (await titles(now), await memory(seed)) == ({"+1", "Viewing"}, rendered)


async def test_feed_asks_to_be_polled_again_as_often_as_the_setting_says(seed: Seed, dsn: str) -> None:
    await seed.write(on(1))
    tags = []
    for minutes, written in ((15, b"PT15M"), (1_440, b"P1D")):
        async with running_service(dsn, refresh_minutes=minutes) as service:
            link = await subscribe(service, seed.anna, seed.own)
            octets = await link.read()
            tags.append((await link.poll()).headers["ETag"])
        assert b"X-PUBLISHED-TTL:%b\r\n" % written in octets
        assert b"REFRESH-INTERVAL;VALUE=DURATION:%b\r\n" % written in octets
    assert tags[0] != tags[1]


# ---- the same rows, the same bytes


async def write_variety(seed: Seed) -> None:
    third = await add_calendar(seed.conn, seed.account_id, NOW, name="Żoo, north")
    await grant_access(seed.conn, seed.account_id, third, [seed.anna.id], NOW)
    private = {"private": True, "owner_id": seed.ben.id}
    changed = weekly(title="Changed", participants=[{"name": "Ana"}], priority="LOW")
    await seed.write(*map(on, range(-20, 20)), calendars=(seed.own, seed.team, third))
    await seed.write(*(on(day, **private) for day in range(20, 30)), calendars=(third, seed.team))
    await seed.write(meeting("s", recurrence=changed, owner_id=seed.anna.id), calendars=(seed.team,))
    await seed.write(
        task("t", title="Each", due_at=NOW, recurrence=deadlines()), task("o", due_on=(NOW - 9 * DAY).date())
    )


async def rewrite(seed: Seed) -> None:
    """Take all rows out and put them in again as they were, but in another order."""
    await seed.conn.execute("SET session_replication_role = replica; DELETE FROM fragments")
    for table in ("users", "calendars", "calendar_versions", "calendar_access", "activities", "calendar_entries"):
        await seed.conn.execute(f"CREATE TEMPORARY TABLE kept AS TABLE {table}; DELETE FROM {table}")
        await seed.conn.execute(f"INSERT INTO {table} SELECT * FROM kept ORDER BY md5(kept::text); DROP TABLE kept")
    await seed.conn.execute("RESET session_replication_role")


async def in_another_process(dsn: str, url: str, now: datetime, hash_seed: str) -> str:
    """The SHA-256 of the feed there."""
    script = (
        "import asyncio, hashlib, sys; from datetime import datetime; from tests.feed.subscription import octets_at;"
        "octets = asyncio.run(octets_at(sys.argv[1], sys.argv[2], datetime.fromisoformat(sys.argv[3])));"
        "print(hashlib.sha256(octets).hexdigest())"
    )
    arguments = ("-c", script, dsn, url, now.isoformat())
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo"}
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, cwd=root, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode().strip()


@pytest.mark.parametrize(
    "options", [{"titleWith": "CALENDAR"}, {"detail": "BUSY"}, {"tasksAs": "TODO", "timeStyle": "ZONED"}]
)
async def test_same_rows_are_the_same_bytes_whatever_was_there_before(
    seed: Seed, dsn: str, service: Service, options: dict[str, Any]
) -> None:
    await write_variety(seed)
    link, now = await subscribe(service, seed.anna, options=options), datetime.now(UTC)
    cold = await octets_at(dsn, link.url, now)
    assert len(parts(cold)) > 400
    assert await octets_at(dsn, link.url, now) == cold
    await seed.conn.execute("DELETE FROM fragments WHERE activity_id::text ~ '[02468ace]$'")
    assert await octets_at(dsn, link.url, now) == cold
    await rewrite(seed)
    assert await octets_at(dsn, link.url, now) == cold
    for hash_seed in ("1", "2"):
        await seed.conn.execute("DELETE FROM fragments")
        assert await in_another_process(dsn, link.url, now, hash_seed) == hashlib.sha256(cold).hexdigest()


# ---- what the user may see


async def test_activity_of_three_calendars_is_there_once_with_the_names_of_those_the_user_may_see(
    seed: Seed, service: Service
) -> None:
    third, hidden = [await add_calendar(seed.conn, seed.account_id, NOW, name=name) for name in ("Zoo; a,b", "Hidden")]
    await grant_access(seed.conn, seed.account_id, third, [seed.anna.id], NOW)
    await seed.write(on(1), calendars=(seed.own, seed.team, third, hidden))
    found = [await (await subscribe(service, user)).read() for user in (seed.anna, seed.ben)]
    single = await (await subscribe(service, seed.anna, third)).read()
    assert [titled(octets, "+1")["CATEGORIES"] for octets in (*found, single)] == [
        "Meeting,Anna Müller,Sales team,Zoo a b",
        "Meeting,Sales team",
        "Meeting",
    ]


PRIVATE: dict[str, tuple[dict[str, Any], int, int]] = {  # what is said, how many are shown, how many as busy
    "one": ({"private": True}, 1, 1),
    "series": ({"private": True, "recurrence": weekly(title="Divorce", location="Notary")}, 2, 2),
    "each of a series": ({"private": True, "recurrence": deadlines() | {"starts": NOW.isoformat()}}, 366, 366),
    "occurrence": ({"recurrence": weekly(title="Divorce", location="Notary", private=True), "title": "Open"}, 2, 1),
}


@pytest.mark.parametrize("kind", PRIVATE)
async def test_private_is_busy_for_everyone_but_its_owner(seed: Seed, service: Service, kind: str) -> None:
    said, shown, busy = PRIVATE[kind]
    told = {"title": "Divorce", "owner_id": seed.anna.id, **said}
    await seed.write(meeting(**told), calendars=(seed.team,))
    anna, ben = await subscribe(service, seed.anna, seed.team), await subscribe(service, seed.ben, seed.team)
    for _ in range(2):  # rendered, then as stored
        assert (await anna.titles()).count("Divorce") == busy
        octets = await ben.read()
        assert (len(parts(octets)), [part["SUMMARY"] for part in parts(octets)].count("Busy")) == (shown, busy)
        assert b"Divorce" not in octets
        assert b"Notary" not in octets


# ---- fragments


async def test_fragments_of_options_that_nobody_has_any_more_are_forgotten(seed: Seed, service: Service) -> None:
    """When another one of the same activity is kept, a month after they were rendered."""
    await seed.write(meeting())
    link = await subscribe(service, seed.anna, seed.own)
    for n in range(5):
        await link.update(reminderMinutes=n)
        await link.read()
    assert await seed.conn.fetchval("SELECT count(*) FROM fragments") == 5
    await seed.conn.execute("UPDATE fragments SET rendered_on = rendered_on - 31")
    await link.update(reminderMinutes=None)
    await link.read()
    assert await seed.conn.fetchval("SELECT count(*) FROM fragments") == 1


async def test_stale_fragments_are_forgotten_whatever_link_they_were_for(seed: Seed, service: Service) -> None:
    await seed.write(on(1), on(2))
    links = [
        await subscribe(service, seed.anna, seed.own, name=name, options=options)
        for name, options in (("", {}), ("busy", {"detail": "BUSY"}), ("zoned", {"timeStyle": "ZONED"}))
    ]
    for link in links:
        await link.read()
    sql = "SELECT a.external_id, f.revision FROM fragments f JOIN activities a ON a.id = f.activity_id ORDER BY 1, 2"
    assert [tuple(row) for row in await seed.conn.fetch(sql)] == [("+1", 0)] * 3 + [("+2", 0)] * 3
    await seed.conn.execute("UPDATE activities SET location = 'Room 4' WHERE external_id = '+1'")
    await links[0].read()
    assert [tuple(row) for row in await seed.conn.fetch(sql)] == [("+1", 1)] + [("+2", 0)] * 3


async def test_fragment_of_a_series_holds_for_one_day(seed: Seed, service: Service, dsn: str) -> None:
    await seed.write(task("series", title="Each", due_at=NOW, recurrence=deadlines()), on(1))
    link, now = await subscribe(service, seed.anna, seed.own, options={"daysAhead": 5}), datetime.now(UTC)
    sql = "SELECT a.external_id, f.day, f.xmin FROM fragments f JOIN activities a ON a.id = f.activity_id ORDER BY 1"
    days = []
    for moment in (now, now, now + DAY, now):
        octets = await octets_at(dsn, link.url, moment)
        stored = [tuple(row) for row in await seed.conn.fetch(sql)]
        days.append((sorted(part.get("DTSTART", "") for part in parts(octets)), *stored))
    today = NOW.date()
    assert days[0] == days[1]
    assert [day[1][1] for day in days] == [None] * 4
    assert [day[2][1] for day in days] == [today, today, today + DAY, today + DAY]
    assert days[0][0] == days[3][0] != days[2][0]


# ---- large feeds


async def rows_of(conn: Conn, link: Subscription) -> FeedRows:
    found = await read_gate_feed(conn, token_of(link.url), datetime.now(UTC))
    assert found
    return found[1]


async def test_what_was_rendered_is_stored_though_the_rest_of_the_feed_was_not(
    seed: Seed, service: Service, dsn: str
) -> None:
    """So that a poll of a large feed whose process ends does not begin anew."""
    await seed.write(*(meeting(f"m{n}") for n in range(250)))
    link = await subscribe(service, seed.anna, seed.own)
    last = "(SELECT id FROM activities ORDER BY id DESC LIMIT 1)"
    async with create_pool(dsn) as pool:
        rows = await rows_of(seed.conn, link)
        await seed.conn.execute(f"UPDATE activities SET title = 'Changed' WHERE id = {last}")
        with pytest.raises(ChangedMeanwhileError):
            await feed_content(rows, pool, FeedLimits())
    assert await seed.conn.fetchval("SELECT count(*) FROM fragments") == 200
    assert (await link.titles()).count("Changed") == 1


@pytest.mark.parametrize("what", ["UPDATE activities SET title = 'Changed'", "DELETE FROM activities"])
async def test_feed_whose_activity_changes_before_it_is_rendered_is_read_anew(
    seed: Seed, service: Service, dsn: str, what: str
) -> None:
    await seed.write(meeting("m1"), on(1))
    link = await subscribe(service, seed.anna, seed.own)
    reads: list[FeedRows] = []

    async def read() -> tuple[int, FeedRows]:
        rows = await rows_of(seed.conn, link)
        if not reads:
            await seed.conn.execute(f"{what} WHERE external_id = 'm1'")
        reads.append(rows)
        return len(reads), rows

    async with create_pool(dsn) as pool:
        count, content = await current_content(read, pool, FeedLimits())
    assert count == 2
    assert octets_of(content) == await link.read()
    assert await link.titles() == (["+1", "Changed"] if "UPDATE" in what else ["+1"])
