"""Large feeds as they were assembled, each kept in one row: so that a new process need not read their activities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, pairwise
from uuid import UUID

from db.changes import Version
from db.pool import Conn


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRecord:
    """A feed as it was assembled: its components in the order of their ids, in compressed blocks of several."""

    fingerprint: bytes  # what it was made with: to a feed that is made otherwise it is of no use
    day: date  # the one that it was made for
    versions: Mapping[UUID, Version]  # of the calendars that it holds, by calendar
    activity_ids: Sequence[UUID]  # of each component …
    sizes: Sequence[int]  # … its octets …
    events: Sequence[int]  # … and how many events it is
    counts: Sequence[int]  # of each block, how many components it has …
    deflated: Sequence[bytes]  # … and their octets, compressed


async def read_kept_feed(conn: Conn, account_id: UUID, link_id: UUID, fingerprint: bytes) -> KeptRecord | None:
    """The link's feed as it was last kept; None if it was made with anything else, or never kept."""
    sql = """
        SELECT k.day, k.calendar_ids, k.calendar_versions, k.calendar_times,
               k.activity_ids, k.sizes, k.events, k.counts, k.lengths, k.deflated
          FROM kept_feeds k
         WHERE k.account_id = $1 AND k.link_id = $2 AND k.fingerprint = $3"""
    row = await conn.fetchrow(sql, account_id, link_id, fingerprint)
    if row is None:
        return None
    day, calendar_ids, numbers, times, activity_ids, sizes, events, counts, lengths, deflated = row
    versions = dict(zip(calendar_ids, map(Version, numbers, times), strict=True))
    return KeptRecord(
        fingerprint=fingerprint,
        day=day,
        versions=versions,
        activity_ids=activity_ids,
        sizes=sizes,
        events=events,
        counts=counts,
        deflated=[deflated[start:end] for start, end in pairwise(accumulate(lengths, initial=0))],
    )


async def save_kept_feed(conn: Conn, account_id: UUID, link_id: UUID, kept: KeptRecord) -> None:
    """Keep the link's feed, in place of what was kept of it; nothing if the link is gone.

    The link is locked, so that it cannot go between the look at it and the foreign key's.
    """
    sql = """
        INSERT INTO kept_feeds AS k
               (account_id, link_id, fingerprint, day, calendar_ids, calendar_versions, calendar_times,
                activity_ids, sizes, events, counts, lengths, deflated)
        SELECT $1, l.id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13
          FROM feed_links l
         WHERE l.account_id = $1 AND l.id = $2 FOR KEY SHARE
        ON CONFLICT (account_id, link_id) DO UPDATE
           SET fingerprint = excluded.fingerprint, day = excluded.day, calendar_ids = excluded.calendar_ids,
               calendar_versions = excluded.calendar_versions, calendar_times = excluded.calendar_times,
               activity_ids = excluded.activity_ids, sizes = excluded.sizes, events = excluded.events,
               counts = excluded.counts, lengths = excluded.lengths, deflated = excluded.deflated"""
    versions = kept.versions.values()
    calendars = list(kept.versions), [v.number for v in versions], [v.changed_at for v in versions]
    components = kept.activity_ids, kept.sizes, kept.events
    blocks = kept.counts, [len(block) for block in kept.deflated], b"".join(kept.deflated)
    await conn.execute(sql, account_id, link_id, kept.fingerprint, kept.day, *calendars, *components, *blocks)


async def delete_old_kept_feeds(conn: Conn, account_id: UUID, before: date) -> None:
    """Forget the feeds that were made for an earlier day.

    Rows that somebody else is writing to are left for the next time: nobody waits here.
    """
    sql = """
        DELETE FROM kept_feeds k
         USING (SELECT o.link_id FROM kept_feeds o
                 WHERE o.account_id = $1 AND o.day < $2 ORDER BY o.link_id FOR UPDATE SKIP LOCKED) d
         WHERE k.account_id = $1 AND k.link_id = d.link_id"""
    await conn.execute(sql, account_id, before)
