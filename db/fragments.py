"""What a feed shows, and its fragments: rendered bytes, kept so that a change renders one activity and not the feed."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from uuid import UUID

from db.pool import Conn


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which activities a feed shows, and the names of their renderings: the parameters $1, $2 … in this order."""

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
    by_calendar: bool  # whether a rendering tells the calendars that the activity stands in
    by_owner: bool  # whether it names the owner
    marks_overdue: bool  # whether it tells of a task that it is overdue


@dataclass(frozen=True, slots=True)
class SelectedActivity:
    """An activity of a feed's calendars: why it is left out, or the fragment that shows it."""

    activity_id: UUID
    revision: int
    changed_at: datetime
    placings: int  # counts what changed about the calendars that it stands in
    placed_at: datetime | None
    reason: str | None  # why it is left out, in the words of REASON; None: it is shown
    begins_at: datetime | None  # when it is shown; of a day about its midnight, by the viewer's clock; None: a series
    due_at: datetime | None
    due_on: date | None
    is_task: bool
    overdue: bool
    busy: bool  # shown to the viewer as "Busy"
    own: bool  # the viewer's
    calendars: Sequence[str]  # the names of those of the feed's calendars that it stands in
    colors: Sequence[str | None]  # their colours, in the same order
    owner: str | None
    variant: str
    day: date | None  # the one on which the fragment holds; None: any
    is_rendered: bool  # for this revision
    ics: bytes | None  # None: not rendered yet, or not to be rendered; empty: the window shows nothing of the series


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
    coalesce($18::boolean AND t.open_task AND NOT t.series AND NOT t.busy
             AND (a.due_on < $7::date OR a.due_at < $10::timestamptz), false)"""
VARIANT = """
    CASE WHEN t.busy THEN $14 ELSE $13 END || CASE WHEN r.overdue THEN ' overdue' ELSE '' END
        || CASE WHEN t.series AND t.own THEN ' own' ELSE '' END || CASE WHEN t.series THEN $15 ELSE '' END
        || CASE WHEN $16::boolean AND NOT t.busy THEN ' ' || md5((n.calendars, n.colors)::text) ELSE '' END
        || CASE WHEN $17::boolean AND NOT t.busy THEN ' ' || md5(coalesce(o.name, '')) ELSE '' END"""


async def select_activities(conn: Conn, selection: Selection, *, left_out: bool) -> list[SelectedActivity]:
    """The activities of the calendars, each once, by id: what is shown, and if asked for what is `left_out` too."""
    sql = f"""
        SELECT a.id AS activity_id, a.revision, a.changed_at, a.placings, a.placed_at, r.reason,
               CASE WHEN NOT t.series
                    THEN coalesce(t.begins_at, $10::timestamptz + (t.begins_on - $7::date) * interval '24 hours') END,
               a.due_at, a.due_on, a.type = 'TASK', r.overdue, t.busy, t.own, n.calendars, n.colors, o.name AS owner,
               v.variant, CASE WHEN t.series OR f.day IS NOT NULL THEN $7::date END AS day,
               f.activity_id IS NOT NULL AS is_rendered, f.ics
          FROM (SELECT e.activity_id, array_agg(c.name ORDER BY c.name COLLATE "C", c.id) AS calendars,
                       array_agg(c.color ORDER BY c.name COLLATE "C", c.id) AS colors
                  FROM calendar_entries e
                  JOIN calendars c ON c.account_id = $1 AND c.id = e.calendar_id
                 WHERE e.account_id = $1 AND e.calendar_id = ANY ($2::uuid[])
                 GROUP BY e.activity_id) n
          JOIN activities a ON a.account_id = $1 AND a.id = n.activity_id
          LEFT JOIN users o ON o.account_id = $1 AND o.id = a.owner_id
         CROSS JOIN LATERAL ({TIMES}) t
         CROSS JOIN LATERAL (SELECT {REASON} AS reason, {OVERDUE} AS overdue) r
         CROSS JOIN LATERAL (SELECT {VARIANT} AS variant) v
          LEFT JOIN fragments f ON f.account_id = $1 AND f.activity_id = a.id AND f.variant = v.variant
                               AND f.revision = a.revision AND (f.day IS NULL OR f.day = $7::date)
         WHERE r.reason IS NULL {"OR true" if left_out else ""}
         ORDER BY a.id"""
    return [SelectedActivity(*row) for row in await conn.fetch(sql, *astuple(selection))]


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
