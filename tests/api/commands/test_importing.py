"""Calendar files into a real database: what is written, what is said, and that a file is taken whole or not at all."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from rich.console import Console

from api.commands.importing import (
    DONE,
    NOTHING_DONE,
    REFUSED,
    Destination,
    ImportCounts,
    import_file,
    import_files,
    report,
    total_report,
)
from db.activities import Activity, list_activities
from db.pool import Conn
from feed.importing.activities import Refusal
from tests.feed.importing.calendars import DAY, MEETING, calendar, component, vevent
from tests.seed import NOW, Seed, Service

SERIES = vevent(DAY, "RRULE:FREQ=YEARLY", uid="series")
BROKEN = vevent("DTSTART:20150230", uid="broken")


async def import_(seed: Seed, *lines: str, calendar_id: UUID | None = None) -> ImportCounts:
    destination = Destination(seed.account_id, calendar_id or seed.team)
    return await import_file(seed.conn, destination, calendar(*lines), "Europe/Berlin", NOW)


async def stored(seed: Seed, calendar_id: UUID | None = None) -> list[Activity]:
    """What stands in the calendar, by external id, without what the database adds."""
    sql = "SELECT activity_id FROM calendar_entries WHERE account_id = $1 AND calendar_id = $2"
    ids = [row["activity_id"] for row in await seed.conn.fetch(sql, seed.account_id, calendar_id or seed.team)]
    records = await list_activities(seed.conn, seed.account_id, ids)
    names = Activity.__dataclass_fields__
    activities = [Activity(**{name: getattr(record, name) for name in names}) for record in records]
    return sorted(activities, key=lambda activity: (activity.type, activity.external_id or ""))


async def versions(conn: Conn) -> list[tuple[Any, ...]]:
    """Everything that a poll could see change."""
    calendars = await conn.fetch("SELECT calendar_id, version, changed_at FROM calendar_versions ORDER BY 1")
    activities = await conn.fetch("SELECT id, revision, changed_at FROM activities ORDER BY 1")
    return [tuple(row) for row in (*calendars, *activities)]


def uids(*names: str) -> list[str]:
    return [vevent(DAY, uid=name) for name in names]


# --- one file


async def test_a_file_is_written_into_the_calendar(seed: Seed) -> None:
    counts = await import_(seed, vevent(DAY, "SUMMARY:Fair"), component("VTODO", "DUE:20260305T170000"), SERIES, BROKEN)
    refusal = Refusal(19, "VEVENT", "DTSTART 20150230 is not a date")
    assert counts == ImportCounts(created=3, series=1, refusals=(refusal,))
    fair, series, task = await stored(seed)
    assert fair == replace(MEETING, title="Fair")
    assert series.recurrence is not None
    assert series.recurrence["rules"] == ["FREQ=YEARLY"]
    assert (task.type, task.due_at.isoformat() if task.due_at else None) == ("TASK", "2026-03-05T16:00:00+00:00")
    assert await stored(seed, seed.own) == []


async def test_a_file_imported_again_changes_nothing(seed: Seed) -> None:
    lines = [*uids("1", "2"), SERIES, component("VTODO", "ATTENDEE;CN=Ben:mailto:ben@example.com"), BROKEN]
    first = await import_(seed, *lines)
    before = await versions(seed.conn)
    second = await import_(seed, *reversed(lines))
    assert (first.imported, first.unchanged) == (4, 0)
    assert (second.imported, second.unchanged, second.series, len(second.refusals)) == (0, 4, 1, 1)
    assert await versions(seed.conn) == before


async def test_what_changed_is_updated(seed: Seed) -> None:
    await import_(seed, *uids("1", "2", "3"))
    counts = await import_(seed, *uids("1"), vevent(DAY, "SUMMARY:Changed", uid="2"), *uids("3", "4"))
    assert counts == ImportCounts(created=1, updated=1, unchanged=2)
    assert [(a.external_id, a.title) for a in await stored(seed)] == [("1", ""), ("2", "Changed"), ("3", ""), ("4", "")]


async def test_what_another_calendar_has_is_put_into_this_one(seed: Seed) -> None:
    """It is the same activity, so a change shows in both."""
    await import_(seed, *uids("1", "2"), calendar_id=seed.own)
    counts = await import_(seed, *uids("1"), vevent(DAY, "SUMMARY:Changed", uid="2"), *uids("3"))
    assert counts == ImportCounts(created=1, updated=2)
    assert await import_(seed, *uids("1")) == ImportCounts(unchanged=1)
    assert [(a.external_id, a.title) for a in await stored(seed, seed.own)] == [("1", ""), ("2", "Changed")]
    assert [a.external_id for a in await stored(seed)] == ["1", "2", "3"]


async def test_a_large_file_is_written_in_slices(seed: Seed) -> None:
    heard: list[tuple[int, int]] = []
    data = calendar(*uids(*map(str, range(2_500))))
    destination = Destination(seed.account_id, seed.team)
    counts = await import_file(
        seed.conn, destination, data, "UTC", NOW, lambda done, total: heard.append((done, total))
    )
    assert counts == ImportCounts(created=2_500)
    assert heard == [(1_000, 2_500), (2_000, 2_500), (2_500, 2_500)]
    assert len(await stored(seed)) == 2_500


async def test_a_file_that_fails_in_the_middle_leaves_nothing(seed: Seed, faulty: str) -> None:
    before = await versions(seed.conn)
    with pytest.raises(asyncpg.RaiseError):
        await import_(seed, *uids(*map(str, range(1_500))), *uids(faulty))
    assert await versions(seed.conn) == before
    assert await stored(seed) == []


@pytest.fixture
async def faulty(seed: Seed) -> AsyncIterator[str]:
    """A UID that the database refuses to store."""
    await seed.conn.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON activities FOR EACH ROW
            WHEN (new.external_id = 'faulty') EXECUTE FUNCTION refuse()""")
    try:
        yield "faulty"
    finally:
        await seed.conn.execute("DROP TRIGGER refuse ON activities; DROP FUNCTION refuse()")


async def test_hostile_text_is_stored_as_it_is(seed: Seed) -> None:
    title = "'); DROP TABLE activities; -- \\\" {} \x07 \u202e 🎉 é"
    await import_(seed, vevent(DAY, f"SUMMARY:{title}".replace(";", "\\;"), uid="';--"))
    assert [(a.external_id, a.title) for a in await stored(seed)] == [("';--", title)]


async def test_imported_activities_come_out_of_the_feed(seed: Seed, service: Service) -> None:
    """The same instants and titles, whatever year it is."""
    await import_(
        seed,
        vevent("DTSTART;TZID=America/New_York:20260302T100000", "DURATION:PT1H", "SUMMARY:C:\\\\New\\, wing"),
        vevent(DAY, "SUMMARY:Fair", uid="2"),
        SERIES,
    )
    url = await service.generate(seed.ben, seed.team, options={"daysBack": 3650})
    body = await (await service.poll(url)).text()
    said = [line for line in body.split("\r\n") if line.startswith(("SUMMARY", "DTSTART", "DTEND", "RRULE"))]
    assert sorted(said) == [
        "DTEND:20260302T160000Z",
        *["DTEND;VALUE=DATE:20260305"] * 2,
        "DTSTART:20260302T150000Z",
        *["DTSTART;VALUE=DATE:20260304"] * 2,
        "RRULE:FREQ=YEARLY",
        "SUMMARY:C:\\\\New\\, wing",
        "SUMMARY:Fair",
        "SUMMARY:Meeting",
    ]


# --- what is said


def test_a_report_counts_and_names_every_refusal() -> None:
    counts = ImportCounts(
        created=100,
        updated=82,
        unchanged=7,
        series=12,
        refusals=(Refusal(512, "VEVENT", "DTSTART 20150230 is not a date"), Refusal(600, "VTODO", "UID is missing")),
    )
    assert report("conferences.ics", counts) == (
        "conferences.ics: 182 imported, 7 unchanged, 2 refused; 12 of them series\n"
        "  line 512: VEVENT refused: DTSTART 20150230 is not a date\n"
        "  line 600: VTODO refused: UID is missing"
    )


def test_a_report_says_that_there_was_nothing() -> None:
    assert report("empty.ics", ImportCounts()) == (
        "empty.ics: 0 imported, 0 unchanged, 0 refused: no event, task or note in it"
    )


def test_a_total_adds_up() -> None:
    refusal = Refusal(1, "VEVENT", "UID is missing")
    counts = [ImportCounts(1, 2, 3, 4, (refusal,)), ImportCounts(10, 20, 30, 40, (refusal, refusal))]
    said = "33 imported, 33 unchanged, 3 refused; 44 of them series"
    assert total_report(counts, 0) == f"2 files: {said}"
    assert total_report(counts, 1) == f"3 files: {said}; 1 file not imported"
    assert total_report(counts, 2) == f"4 files: {said}; 2 files not imported"


# --- the command


class Import:
    """Runs the import of files and keeps what it says."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.folder = folder

    async def __call__(
        self,
        *names: str,
        account: str = "Harbour Homes",
        calendar: str = "Sales team",
        zone: str = "UTC",
        owner: str | None = None,
    ) -> tuple[int, list[str]]:
        said = StringIO()
        paths = [self.folder / name for name in names]
        status = await import_files(self.dsn, paths, account, calendar, zone, owner, Console(file=said))
        return status, said.getvalue().replace(f"{self.folder}/", "").splitlines()

    def write(self, name: str, *lines: str) -> str:
        (self.folder / name).write_bytes(calendar(*lines))
        return name


@pytest.fixture
def run(seed: Seed, dsn: str, tmp_path: Path) -> Import:
    return Import(dsn, tmp_path)


async def test_all_imported_is_done(run: Import) -> None:
    name = run.write("a.ics", *uids("1", "2"))
    assert await run(name) == (DONE, ["a.ics: 2 imported, 0 unchanged, 0 refused"])
    assert await run(name) == (DONE, ["a.ics: 0 imported, 2 unchanged, 0 refused"])


async def test_a_refused_component_is_told(run: Import) -> None:
    assert await run(run.write("[b]a[b] :smile:.ics", *uids("1"), BROKEN)) == (
        REFUSED,
        [
            "[b]a[b] :smile:.ics: 1 imported, 0 unchanged, 1 refused",
            "  line 9: VEVENT refused: DTSTART 20150230 is not a date",
        ],
    )


async def test_a_file_that_cannot_be_read_stops_no_other(run: Import) -> None:
    (run.folder / "folder.ics").mkdir()
    names = ["missing.ics", run.write("a.ics", *uids("1")), "folder.ics", run.write("b.ics", *uids("1", "2"))]
    assert await run(*names) == (
        REFUSED,
        [
            "missing.ics: not imported, as it cannot be read: No such file or directory",
            "a.ics: 1 imported, 0 unchanged, 0 refused",
            "folder.ics: not imported, as it cannot be read: Is a directory",
            "b.ics: 1 imported, 1 unchanged, 0 refused",
            "4 files: 2 imported, 1 unchanged, 0 refused; 2 files not imported",
        ],
    )
    assert await run("missing.ics") == (
        NOTHING_DONE,
        ["missing.ics: not imported, as it cannot be read: No such file or directory"],
    )


async def test_a_file_that_the_database_refuses_stops_no_other(run: Import, faulty: str) -> None:
    names = [run.write("a.ics", *uids("1", faulty)), run.write("b.ics", *uids("2"))]
    status, said = await run(*names)
    assert status == REFUSED
    assert said == [
        "a.ics: not imported, as PostgreSQL refuses it: not this one",
        "b.ics: 1 imported, 0 unchanged, 0 refused",
        "2 files: 1 imported, 0 unchanged, 0 refused; 1 file not imported",
    ]


async def test_names_and_ids_find_account_and_calendar(run: Import, seed: Seed) -> None:
    await seed.conn.execute("UPDATE calendars SET external_id = 'crm-7' WHERE id = $1", seed.team)
    name = run.write("a.ics", *uids("1"))
    for account in ("harbour homes", str(seed.account_id)):
        for wanted in ("Sales team", "sales TEAM", "crm-7", str(seed.team)):
            status, _ = await run(name, account=account, calendar=wanted)
            assert status == DONE


async def test_what_comes_into_the_calendar_of_one_user_is_theirs(run: Import, seed: Seed) -> None:
    name = run.write("a.ics", vevent(DAY, "CLASS:PRIVATE", "SUMMARY:Dentist", uid="1"))

    async def owner() -> object:
        return await seed.conn.fetchval("SELECT owner_id FROM activities")

    await run(name, calendar="Anna Müller")
    assert await owner() == seed.anna.id
    await run(name, calendar="Anna Müller", owner="ben@example.com")
    assert await owner() == seed.ben.id
    await run(name, calendar="Sales team")
    await run(name, calendar="Anna Müller")
    assert await owner() == seed.ben.id
    there = "There is no user 'Carl'; there is 'anna@example.com', 'ben@example.com'."
    assert await run(name, owner="Carl") == (NOTHING_DONE, [there])


async def test_unknown_names_are_answered_with_those_that_exist(run: Import) -> None:
    name = run.write("a.ics", *uids("1"))
    assert await run(name, account="Acme") == (
        NOTHING_DONE,
        ["There is no account 'Acme'; there is 'Harbour Homes'."],
    )
    assert await run(name, calendar="Support") == (
        NOTHING_DONE,
        ["There is no calendar 'Support'; there is 'Anna Müller', 'Sales team'."],
    )
    assert await run(name, zone="Mars/Olympus") == (
        NOTHING_DONE,
        ["time zone Mars/Olympus is unknown: give its definition (VTIMEZONE) or an IANA name"],
    )


async def test_a_database_that_is_not_there_is_named(run: Import) -> None:
    run.dsn = "postgresql://someone:secret@127.0.0.1:1/nowhere"
    status, said = await run(run.write("a.ics", *uids("1")))
    assert status == NOTHING_DONE
    assert len(said) == 1
    assert "CALENDAR_FEEDS_DATABASE_URL" in said[0]
    assert "secret" not in said[0]


async def test_a_connection_lost_in_the_middle_leaves_whole_files(run: Import, seed: Seed) -> None:
    """The second file waits for a lock until its connection is killed: the first is in, of the second nothing."""
    await import_(seed, *uids("locked"))
    names = [run.write("a.ics", *uids("1")), run.write("b.ics", *uids("2"), vevent(DAY, "SUMMARY:New", uid="locked"))]
    async with seed.conn.transaction():
        await seed.conn.execute("SELECT 1 FROM activities FOR UPDATE")
        importing = asyncio.create_task(run(*names))
        await kill_the_waiting(run.dsn)
        status, said = await importing
    assert status == REFUSED
    assert said == [
        "a.ics: 1 imported, 0 unchanged, 0 refused",
        "b.ics: not imported, as PostgreSQL went away: check CALENDAR_FEEDS_DATABASE_URL",
        "2 files: 1 imported, 0 unchanged, 0 refused; 1 file not imported",
    ]
    assert [(activity.external_id, activity.title) for activity in await stored(seed)] == [("1", ""), ("locked", "")]


async def kill_the_waiting(dsn: str) -> None:
    """End the first connection that waits for a lock."""
    kill = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE wait_event_type = 'Lock' AND datname = current_database()"""
    conn = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(10):
            while not await conn.fetch(kill):
                await asyncio.sleep(0.05)
    finally:
        await conn.close()


async def test_two_imports_of_the_same_file_at_once_write_it_once(run: Import, seed: Seed) -> None:
    name = run.write("a.ics", *uids(*map(str, range(300))))
    answers = await asyncio.gather(*(run(name) for _ in range(4)))
    assert {status for status, _ in answers} == {DONE}
    assert len(await stored(seed)) == 300


async def test_import_and_writers_of_the_same_activities_wait_for_each_other(seed: Seed, dsn: str) -> None:
    """Every writer locks activities before the versions of their calendars, so nobody ends in a deadlock."""
    names = [str(number) for number in range(1_200)]
    await import_(seed, *uids(*names))

    async def write(number: int) -> None:
        conn = await asyncpg.connect(dsn)
        for name in names[number::40]:
            await conn.execute("UPDATE activities SET title = title || '!' WHERE external_id = $1", name)
        await conn.close()

    changed = [vevent(DAY, "SUMMARY:Changed", uid=name) for name in names]
    importing = asyncio.create_task(import_(seed, *changed))
    await asyncio.gather(*(write(number) for number in range(4)))
    assert (await importing).updated == 1_200


async def test_a_terminal_sees_a_bar(run: Import) -> None:
    said = StringIO()
    console = Console(file=said, force_terminal=True)
    await import_files(
        run.dsn, [run.folder / run.write("a.ics", *uids("1"))], "Harbour Homes", "Sales team", "UTC", None, console
    )
    assert "━" in said.getvalue()
    assert "a.ics: 1 imported, 0 unchanged, 0 refused" in said.getvalue()
