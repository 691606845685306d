"""Fragments: the rendered bytes of activities, kept so that a change renders one activity and not the feed."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from db.pool import Conn

# What can be exported at all: what has a time, stands, is not a note and (until series are rendered) happens once.
EXPORTED = """
    a.type <> 'NOTE' AND a.status <> 'CANCELLED' AND a.recurrence IS NULL
    AND num_nonnulls(a.starts_at, a.starts_on, a.due_at, a.due_on) > 0"""


@dataclass(frozen=True, slots=True)
class FragmentRecord:
    activity_id: UUID
    revision: int  # of the activity now
    variant: str
    ics: bytes | None  # None: not rendered yet for this revision


async def list_fragments(
    conn: Conn, account_id: UUID, calendar_ids: Sequence[UUID], user_id: UUID, full: str, busy: str
) -> list[FragmentRecord]:
    """The fragments of everything exported from the calendars, each activity once, by id.

    `full` is the variant for the user's own and public activities, `busy` that for other people's private ones.
    """
    sql = f"""
        SELECT a.id AS activity_id, a.revision, w.variant, f.ics
          FROM activities a
         CROSS JOIN LATERAL (
               SELECT CASE WHEN a.private AND a.owner_id IS DISTINCT FROM $3 THEN $5 ELSE $4 END) w (variant)
          LEFT JOIN fragments f ON f.account_id = $1 AND f.activity_id = a.id
                               AND f.variant = w.variant AND f.revision = a.revision
         WHERE a.account_id = $1 AND {EXPORTED}
           AND a.id IN (SELECT e.activity_id FROM calendar_entries e
                         WHERE e.account_id = $1 AND e.calendar_id = ANY ($2::uuid[]))
         ORDER BY a.id"""
    rows = await conn.fetch(sql, account_id, calendar_ids, user_id, full, busy)
    return [FragmentRecord(*row) for row in rows]


async def save_fragments(conn: Conn, account_id: UUID, fragments: Sequence[FragmentRecord]) -> None:
    """Keep what was rendered; an older revision never replaces a newer one."""
    sql = """
        INSERT INTO fragments (account_id, activity_id, variant, revision, ics)
        SELECT $1, d.activity_id, d.variant, d.revision, d.ics
          FROM unnest($2::uuid[], $3::text[], $4::int[], $5::bytea[]) AS d (activity_id, variant, revision, ics)
          JOIN activities a ON a.account_id = $1 AND a.id = d.activity_id
         ORDER BY d.activity_id, d.variant
        ON CONFLICT (account_id, activity_id, variant) DO UPDATE
           SET revision = excluded.revision, ics = excluded.ics
         WHERE fragments.revision < excluded.revision"""
    columns = zip(*((f.activity_id, f.variant, f.revision, f.ics) for f in fragments), strict=True)
    await conn.execute(sql, account_id, *map(list, columns))
