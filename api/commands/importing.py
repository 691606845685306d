"""Bringing calendar files in: `calendar-feeds import`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from api.commands.database import DatabaseError, ping
from api.commands.directory import NotFoundError, pick
from api.commands.shared import find_account
from api.settings import PREFIX
from db.activities import Activity, ActivityRecord, lock_activities
from db.calendars import list_calendars
from db.placements import Placement, list_placings, save_placements, upsert_counts
from db.pool import CONNECTION_LOST, Conn, connect
from db.users import list_users, list_viewers
from feed.importing.activities import Refusal, read_calendar
from feed.importing.zones import UnknownZoneError

SLICE = 1_000  # activities written by one statement
TRIES = 3  # for a transaction that PostgreSQL ended to let another one through
DONE, REFUSED, NOTHING_DONE = 0, 1, 2  # exit status


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What became of the components of a file, or of several."""

    created: int = 0
    updated: int = 0  # changed, or put into this calendar for the first time
    unchanged: int = 0
    series: int = 0  # how many of them all are series
    refusals: tuple[Refusal, ...] = ()

    @property
    def imported(self) -> int:
        return self.created + self.updated

    def __add__(self, other: "ImportCounts") -> "ImportCounts":
        return ImportCounts(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.series + other.series,
            self.refusals + other.refusals,
        )


@dataclass(frozen=True, slots=True)
class Destination:
    """Where activities are imported, and who owns them: the owner sees in full what is private, the others "Busy".

    An owner that nobody named is a guess: it never takes an activity from the owner that it has.
    """

    account_id: UUID
    calendar_id: UUID
    owner_id: UUID | None = None
    owner_named: bool = False


async def import_files(
    dsn: str,
    paths: Sequence[Path],
    account: str,
    calendar: str,
    time_zone: str,
    owner: str | None = None,
    console: Console | None = None,
) -> int:
    """Import the files into that calendar and say what became of each; the exit status.

    0: every component is imported or unchanged; 1: a component was refused, or a file; 2: nothing could be done.
    """
    console = console or Console()
    try:
        await ping(dsn)
        conn = await connect(dsn)
        try:
            destination = await _find(conn, account, calendar, owner)
            return await _Import(conn, destination, time_zone, console).run(paths)
        finally:
            await conn.close()
    except (DatabaseError, NotFoundError, UnknownZoneError) as exc:
        _say(console, str(exc))
        return NOTHING_DONE


async def import_file(
    conn: Conn,
    destination: Destination,
    data: bytes,
    time_zone: str,
    now: datetime,
    written: Callable[[int, int], None] | None = None,
) -> ImportCounts:
    """Import one file in one transaction: all that can be taken, or nothing.

    `written` is called with how many activities of how many have been written.
    """
    found = read_calendar(data, time_zone)
    in_order = sorted(found.activities, key=_key)  # imports that run at once lock rows in the same order
    series = sum(activity.recurrence is not None for activity in found.activities)
    for _ in range(TRIES - 1):
        with suppress(asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            counts = await _write_all(conn, destination, in_order, now, written)
            break
    else:
        counts = await _write_all(conn, destination, in_order, now, written)
    return replace(counts, series=series, refusals=found.refusals)


async def _write_all(
    conn: Conn,
    destination: Destination,
    activities: Sequence[Activity],
    now: datetime,
    written: Callable[[int, int], None] | None,
) -> ImportCounts:
    account_id, counts = destination.account_id, ImportCounts()
    async with conn.transaction():
        records = await lock_activities(conn, account_id, map(_key, activities))
        placings = await list_placings(conn, account_id, [record.id for record in records])
        before = {_key(record): record for record in records}
        for start in range(0, len(activities), SLICE):
            part = [
                _placement(activity, before.get(_key(activity)), placings, destination)
                for activity in activities[start : start + SLICE]
            ]
            await save_placements(conn, account_id, part, now)
            made = upsert_counts(part)
            counts += ImportCounts(made.created, made.updated, made.unchanged)
            if written:
                written(start + len(part), len(activities))
    return counts


def _placement(
    activity: Activity,
    before: ActivityRecord | None,
    placings: Mapping[UUID, frozenset[UUID]],
    destination: Destination,
) -> Placement:
    """The activity beside what was imported earlier: it stays in its calendars, and may have an owner."""
    here = frozenset([destination.calendar_id])
    if before is None:
        return Placement(activity=replace(activity, owner_id=destination.owner_id), calendar_ids=here)
    owner_id = destination.owner_id if destination.owner_named else before.owner_id or destination.owner_id
    return Placement(
        activity=replace(activity, owner_id=owner_id),
        calendar_ids=here | placings.get(before.id, frozenset()),
        before=before,
        calendar_ids_before=placings.get(before.id, frozenset()),
        id=before.id,
    )


def _key(activity: Activity) -> tuple[str, str]:
    return activity.type, activity.external_id or ""


def report(name: str, counts: ImportCounts) -> str:
    """The closing count of a file and its refusals, each on its line."""
    lines = [f"{name}: {_counted(counts)}"]
    lines += (f"  line {refusal.line}: {refusal.component} refused: {refusal.reason}" for refusal in counts.refusals)
    return "\n".join(lines)


def total_report(reports: Sequence[ImportCounts], failed: int) -> str:
    """The closing count of several files, of which some could not be imported at all."""
    said = f"{len(reports) + failed} files: {_counted(sum(reports, ImportCounts()))}"
    return f"{said}; {failed} {'file' if failed == 1 else 'files'} not imported" if failed else said


def _counted(counts: ImportCounts) -> str:
    said = f"{counts.imported} imported, {counts.unchanged} unchanged, {len(counts.refusals)} refused"
    if counts.series:
        return f"{said}; {counts.series} of them series"
    if not (counts.imported or counts.unchanged or counts.refusals):
        return f"{said}: no event, task or note in it"
    return said


async def _find(conn: Conn, account: str, calendar: str, owner: str | None) -> Destination:
    """What the names stand for. A calendar that one user alone may see is theirs, and so is what comes into it."""
    account_id = (await find_account(conn, account)).account_id
    calendars = await list_calendars(conn, account_id)
    calendar_id = pick("calendar", calendar, [(c.id, (c.name, c.external_id, str(c.id))) for c in calendars])
    if owner is not None:
        users = await list_users(conn, account_id)
        owner_id = pick("user", owner, [(u.id, (u.email, str(u.id))) for u in users])
        return Destination(account_id, calendar_id, owner_id, owner_named=True)
    viewers = await list_viewers(conn, account_id, calendar_id)
    return Destination(account_id, calendar_id, viewers[0].id if len(viewers) == 1 else None)


def _say(console: Console, text: str) -> None:
    console.out(text, highlight=False)


class _Import:
    """The import of files into one calendar, with a bar that shows how many of their octets are done."""

    def __init__(self, conn: Conn, destination: Destination, time_zone: str, console: Console) -> None:
        self._conn = conn
        self._destination = destination
        self._time_zone = time_zone
        self._console = console
        self._reports: list[ImportCounts] = []

    async def run(self, paths: Sequence[Path]) -> int:
        columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
        quiet = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=quiet) as progress:
            bar = progress.add_task("", total=sum(map(_size, paths)))
            for path in paths:
                progress.update(bar, description=path.name)
                await self._import(path, _Share(progress, bar, _size(path)))
        failed = len(paths) - len(self._reports)
        if len(paths) > 1:
            _say(self._console, total_report(self._reports, failed))
        if not self._reports:
            return NOTHING_DONE
        return REFUSED if failed or any(counts.refusals for counts in self._reports) else DONE

    async def _import(self, path: Path, share: "_Share") -> None:
        """Import one file and say what became of it; what goes wrong with it stops no other."""
        try:
            data = _octets(path)
        except OSError as exc:
            _say(self._console, f"{path}: not imported, as it cannot be read: {exc.strerror}")
            return
        now = datetime.now(UTC)
        try:
            counts = await import_file(self._conn, self._destination, data, self._time_zone, now, share.show)
        except CONNECTION_LOST:
            _say(self._console, f"{path}: not imported, as PostgreSQL went away: check {PREFIX}DATABASE_URL")
        except asyncpg.PostgresError as exc:
            _say(self._console, f"{path}: not imported, as PostgreSQL refuses it: {exc}")
        else:
            self._reports.append(counts)
            _say(self._console, report(str(path), counts))


class _Share:
    """One file's share of the bar."""

    def __init__(self, progress: Progress, bar: TaskID, size: int) -> None:
        self._progress = progress
        self._bar = bar
        self._size = size
        self._shown = 0

    def show(self, done: int, total: int) -> None:
        reached = self._size * done // total
        self._progress.advance(self._bar, reached - self._shown)
        self._shown = reached


def _octets(path: Path) -> bytes:
    return path.read_bytes()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
