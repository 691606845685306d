"""What a feed shows, and its fragments: rendered bytes, kept so that a change renders one activity and not the feed."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from db.pool import Conn

AT_ONCE = 1_000  # rows made into records before others have their turn: some 1 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which activities a feed shows, and the names of their renderings: but for the last two $1, $2 … in this order."""

    account_id: UUID
    calendar_ids: Sequence[UUID]
    viewer_id: UUID  # sees their own private activities in full
    activity_types: Sequence[str]
    completed: bool  # whether completed tasks are shown
    cancelled: bool  # whether what is cancelled is shown
    today: date
    first: date  # of the window
    end: date  # exclusive
    today_at: datetime  # when today began, by the viewer's clock
    starts_at: datetime  # of the window
    ends_at: datetime
    full: str  # variant of what the viewer may see
    busy: str  # variant of other people's private activities
    series: str  # what is added to the variant of a series, which is rendered for one window
    marks_overdue: bool  # whether a rendering tells of a task that it is overdue
    by_calendar: bool  # whether it tells the calendars that the activity stands in
    by_owner: bool  # whether it names the owner


class SelectedActivity(NamedTuple):
    """An activity of a feed's calendars: why it is left out, or the fragment that shows it.

    What is marked * is not read of what is rendered already, unless what is left out is read too: a feed may have tens
    of thousands of these, and each value costs.
    """

    activity_id: UUID
    revision: int
    changed_at: datetime
    placings: int  # counts what changed about the calendars that it stands in, where a rendering tells them
    placed_at: datetime | None
    reason: str | None  # why it is left out, in the words of REASON; None: it is shown
    begins_at: datetime | None  # when it is shown; of a day about its midnight, by the viewer's clock; None: a series
    due_at: datetime | None  # of what is overdue
    due_on: date | None
    is_task: bool
    overdue: bool
    busy: bool | None  # * shown to the viewer as "Busy"
    own: bool | None  # * the viewer's
    calendars: Sequence[str] | None  # * names of those of the feed's calendars that it stands in, if they are told
    colors: Sequence[str | None] | None  # * their colours, in the same order
    owner: str | None  # * the name, if it is told
    variant: str | None  # *
    day: date | None  # * the one on which the fragment holds; None: any
    is_rendered: bool  # for this revision
    ics: bytes | None  # None: not rendered yet, or not to be rendered; empty: the window shows nothing of the series

    def holding(self, ics: bytes | None) -> "SelectedActivity":
        """The same with these octets; for tens of thousands, as `_replace` takes three times as long."""
        return SelectedActivity._make((*self[:-1], ics))


# Each is looked up by its key: OFFSET forbids PostgreSQL to join as it likes. It takes an account for much smaller than
# a large one is, and then goes through all of its activities for each entry.
ACTIVITY = """
    SELECT a.id, a.revision, a.changed_at, a.placings, a.placed_at, a.type, a.status, a.private, a.owner_id,
           a.recurrence, a.starts_at, a.ends_at, a.starts_on, a.ends_on, a.due_at, a.due_on
      FROM activities a
     WHERE a.account_id = $1 AND a.id = n.activity_id
    OFFSET 0"""
# A task takes place at its deadline. Times are in the order in which `feed.render` looks for them.
TIMES = """
    SELECT a.recurrence IS NOT NULL AS series,
           a.type = 'TASK' AND a.status IN ('NEEDS_ACTION', 'IN_PROCESS') AS open_task,
           a.private AND a.owner_id IS DISTINCT FROM $3 AS busy,
           coalesce(a.owner_id = $3, false) AS own,
           CASE WHEN a.due_on IS NULL THEN coalesce(a.due_at, a.starts_at) END AS begins_at,
           CASE WHEN a.due_on IS NULL THEN coalesce(a.due_at, a.ends_at, a.starts_at) END AS finishes_at,
           CASE WHEN a.due_at IS NULL THEN coalesce(a.due_on, a.starts_on) END AS begins_on,
           CASE WHEN a.due_at IS NULL THEN coalesce(a.due_on + 1, a.ends_on, a.starts_on + 1) END AS finishes_on"""
REASON = """
    CASE WHEN a.recurrence IS NULL AND num_nonnulls(a.starts_at, a.starts_on, a.due_at, a.due_on) = 0 THEN 'NO_TIME'
         WHEN a.type = 'NOTE' THEN 'NOTE'
         WHEN a.type <> ALL ($4::text[]) THEN 'TYPE_NOT_CHOSEN'
         WHEN a.status = 'COMPLETED' AND NOT $5::boolean THEN 'COMPLETED'
         WHEN a.status = 'CANCELLED' AND NOT $6::boolean THEN 'CANCELLED'
         WHEN a.status = 'CANCELLED' AND t.busy THEN 'PRIVATE'
         WHEN NOT t.series AND NOT coalesce(
                  t.begins_at < $12::timestamptz
                  AND (t.finishes_at > $11::timestamptz OR t.begins_at >= $11::timestamptz),
                  t.begins_on < $9::date AND (t.finishes_on > $8::date OR t.begins_on >= $8::date))
              THEN 'OUTSIDE_WINDOW'
    END"""
OVERDUE = """
    coalesce($16::boolean AND t.open_task AND NOT t.series AND NOT t.busy
             AND (a.due_on < $7::date OR a.due_at < $10::timestamptz), false)"""
VARIANT = """
    CASE WHEN t.busy THEN $14 ELSE $13 END || CASE WHEN r.overdue THEN ' overdue' ELSE '' END
        || CASE WHEN t.series AND t.own THEN ' own' ELSE '' END || CASE WHEN t.series THEN $15 ELSE '' END"""
OF_CALENDARS = " || CASE WHEN NOT t.busy THEN ' ' || md5((n.calendars, n.colors)::text) ELSE '' END"
OF_OWNER = " || CASE WHEN NOT t.busy THEN ' ' || md5(coalesce(o.name, '')) ELSE '' END"
ENTRIES = """
    SELECT DISTINCT e.activity_id
      FROM calendar_entries e
     WHERE e.account_id = $1 AND e.calendar_id = ANY ($2::uuid[]) {only}
     ORDER BY e.activity_id"""
NAMED_ENTRIES = """
    SELECT e.activity_id, array_agg(c.name ORDER BY c.name COLLATE "C", c.id) AS calendars,
           array_agg(c.color ORDER BY c.name COLLATE "C", c.id) AS colors
      FROM calendar_entries e
      JOIN calendars c ON c.account_id = $1 AND c.id = e.calendar_id
     WHERE e.account_id = $1 AND e.calendar_id = ANY ($2::uuid[]) {only}
     GROUP BY e.activity_id
     ORDER BY e.activity_id"""


async def select_activities(
    conn: Conn, selection: Selection, *, left_out: bool, only: Collection[UUID] | None = None
) -> list[SelectedActivity]:
    """The activities of the calendars, each once, by id: what is shown, and if asked for what is `left_out` too.

    If `only` some activities are named, these alone. What is joined is what the renderings tell: for most feeds neither
    the names of calendars nor those of owners.
    """
    *parameters, by_calendar, by_owner = astuple(selection)
    told = "true" if left_out else "f.activity_id IS NULL"
    names = "n.calendars" if by_calendar else "NULL::text[]", "n.colors" if by_calendar else "NULL::text[]"
    calendars, colors, owner, own, busy, variant = (
        f"CASE WHEN {told} THEN {value} END"
        for value in (*names, "o.name" if by_owner else "NULL::text", "t.own", "t.busy", "v.variant")
    )
    placed = "a.placings, a.placed_at" if by_calendar else "0 AS placings, NULL::timestamptz AS placed_at"
    parameters += [] if only is None else [only]
    named = "" if only is None else f"AND e.activity_id = ANY (${len(parameters)}::uuid[])"
    entries = (NAMED_ENTRIES if by_calendar else ENTRIES).format(only=named)
    sql = f"""
        SELECT a.id AS activity_id, a.revision, a.changed_at, {placed}, r.reason,
               CASE WHEN NOT t.series
                    THEN coalesce(t.begins_at, $10::timestamptz + (t.begins_on - $7::date) * interval '24 hours') END,
               CASE WHEN r.overdue THEN a.due_at END, CASE WHEN r.overdue THEN a.due_on END, a.type = 'TASK', r.overdue,
               {busy}, {own}, {calendars}, {colors}, {owner}, {variant},
               CASE WHEN {told} AND (t.series OR f.day IS NOT NULL) THEN $7::date END AS day,
               f.activity_id IS NOT NULL AS is_rendered, f.ics
          FROM ({entries}) n
         CROSS JOIN LATERAL ({ACTIVITY}) a
          {"LEFT JOIN users o ON o.account_id = $1 AND o.id = a.owner_id" if by_owner else ""}
         CROSS JOIN LATERAL ({TIMES}) t
         CROSS JOIN LATERAL (SELECT {REASON} AS reason, {OVERDUE} AS overdue) r
         CROSS JOIN LATERAL (SELECT {VARIANT}{OF_CALENDARS * by_calendar}{OF_OWNER * by_owner} AS variant) v
          LEFT JOIN fragments f ON f.account_id = $1 AND f.activity_id = n.activity_id AND f.variant = v.variant
                               AND f.revision = a.revision AND (f.day IS NULL OR f.day = $7::date)
         WHERE r.reason IS NULL {"OR true" if left_out else ""}
         ORDER BY n.activity_id"""
    return await _in_turns(await conn.fetch(sql, *parameters))


async def _in_turns(rows: "list[Any]") -> list[SelectedActivity]:
    """The rows as activities, in the same list; with turns for others, as they may be tens of thousands."""
    for start in range(0, len(rows), AT_ONCE):
        rows[start : start + AT_ONCE] = map(SelectedActivity._make, rows[start : start + AT_ONCE])
        await asyncio.sleep(0)
    return rows


async def save_fragments(conn: Conn, account_id: UUID, fragments: Sequence[SelectedActivity], today: date) -> None:
    """Keep what was rendered, in place of what is older; an older revision or day never replaces a newer one."""
    sql = """
        INSERT INTO fragments AS f (account_id, activity_id, variant, revision, day, ics, rendered_on)
        SELECT $1, d.activity_id, d.variant, d.revision, d.day, d.ics, $7
          FROM unnest($2::uuid[], $3::text[], $4::int[], $5::date[], $6::bytea[])
            AS d (activity_id, variant, revision, day, ics)
          JOIN activities a ON a.account_id = $1 AND a.id = d.activity_id
         ORDER BY d.activity_id, d.variant
        ON CONFLICT (account_id, activity_id, variant) DO UPDATE
           SET revision = excluded.revision, day = excluded.day, ics = excluded.ics,
               rendered_on = excluded.rendered_on
         WHERE f.revision < excluded.revision
            OR f.revision = excluded.revision AND (f.day < excluded.day OR f.ics IS NULL)"""
    columns = zip(*((f.activity_id, f.variant, f.revision, f.day, f.ics) for f in fragments), strict=True)
    await conn.execute(sql, account_id, *map(list, columns), today)


async def delete_stale_fragments(conn: Conn, account_id: UUID, activity_ids: Sequence[UUID], before: date) -> None:
    """Forget the activities' fragments of earlier revisions, and those rendered before that day.

    Nobody may have asked for these since, as the options that they are of are no link's any more.
    """
    sql = """
        DELETE FROM fragments f USING activities a
         WHERE f.account_id = $1 AND f.activity_id = ANY ($2::uuid[])
           AND a.account_id = $1 AND a.id = f.activity_id
           AND (f.revision < a.revision OR f.rendered_on < $3)"""
    await conn.execute(sql, account_id, activity_ids, before)
