"""Who polls a link: each client with its habits, the networks that were given the calendar, and the alarm."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network
from typing import Literal, NamedTuple
from uuid import UUID

from db.audit import Network
from db.pool import Conn

DAY = timedelta(days=1)
SHORTEST_STALE = 2 * DAY  # that a client has been silent
Answer = Literal["CALENDAR", "UNCHANGED", "NOTICE", "GONE", "LIMITED", "UNAVAILABLE"]
NOWHERE = IPv4Network("0.0.0.0/0")  # stands for a network that is not known, or not to be kept


class PollKey(NamedTuple):
    """What polls are counted together by."""

    link_id: UUID
    client: str
    network: Network
    generation: int | None  # of the URL; None: the present one's
    is_served: bool  # whether they were given the calendar, or told that it is unchanged


class PollCount(NamedTuple):
    """Polls of one key."""

    first_polled_at: datetime
    last_polled_at: datetime
    polls: int
    last_status: int
    last_answer: Answer


Counted = tuple[PollKey, PollCount]


COLUMNS = """p.link_id, p.client, p.first_polled_at, p.last_polled_at, p.polls, p.last_status, p.last_answer,
    p.usual_seconds"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRecord:
    """A client of a link, whatever it was answered."""

    link_id: UUID
    client: str
    first_polled_at: datetime
    last_polled_at: datetime
    polls: int
    last_status: int
    last_answer: Answer
    usual_seconds: int | None  # between two of its visits; None until there was a second one

    def is_stale(self, now: datetime) -> bool:
        """Whether the client has probably stopped: silent for more than three of its intervals, and for two days."""
        silence = now - self.last_polled_at
        usual = timedelta(seconds=self.usual_seconds) if self.usual_seconds else DAY
        return silence > 3 * usual and silence >= SHORTEST_STALE


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmLimits:
    """So many kinds of clients, or so many networks, on a link raise its alarm; 0: none do."""

    clients: int
    networks: int
    cloud: Sequence[str]  # clients whose networks are their provider's, so they are not counted


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmingLink:
    link_id: UUID
    clients: int
    networks: int


# A gap that is shorter is within one visit: a HEAD and its GET, a second try, several devices behind one name. Of a
# longer one at most four times the usual counts, so that a weekend does not make a client of every quarter hour slow.
# A year is the most, whatever a wrong clock wrote.
GAP = "least(extract(epoch FROM excluded.first_polled_at - p.last_polled_at), 31536000)"
USUAL_SECONDS = f"""
    CASE WHEN {GAP} < 60 THEN p.usual_seconds
         WHEN p.usual_seconds IS NULL THEN {GAP}::int
         ELSE round(p.usual_seconds + (least({GAP}, 4 * p.usual_seconds) - p.usual_seconds) / 4)::int
    END"""


async def save_polls(conn: Conn, account_id: UUID, counted: Sequence[Counted]) -> None:
    """Add the polls to what is known of their clients; those of links that are gone are passed over.

    Writers may come in any order: polls that are older than the last known ones are counted and change nothing else.
    A client that is given the calendar for the first time is told to the account's webhooks, by a trigger.
    """
    sql = f"""
        INSERT INTO feed_polls AS p
               (account_id, link_id, client, first_polled_at, last_polled_at, polls, last_status, last_answer,
                first_served_at)
        SELECT $1, d.link_id, d.client, min(d.first_polled_at), max(d.last_polled_at), sum(d.polls),
               (array_agg(d.last_status ORDER BY d.last_polled_at DESC))[1],
               (array_agg(d.last_answer ORDER BY d.last_polled_at DESC))[1],
               min(d.first_polled_at) FILTER (WHERE d.is_served)
          FROM unnest($2::uuid[], $3::text[], $4::boolean[], $5::timestamptz[], $6::timestamptz[], $7::bigint[],
                      $8::int[], $9::text[])
            AS d (link_id, client, is_served, first_polled_at, last_polled_at, polls, last_status, last_answer)
          JOIN feed_links l ON l.account_id = $1 AND l.id = d.link_id
         GROUP BY d.link_id, d.client ORDER BY d.link_id, d.client
        ON CONFLICT (account_id, link_id, client) DO UPDATE
           SET usual_seconds = {USUAL_SECONDS},
               polls = p.polls + excluded.polls,
               first_polled_at = least(p.first_polled_at, excluded.first_polled_at),
               first_served_at = least(p.first_served_at, excluded.first_served_at),
               last_polled_at = greatest(p.last_polled_at, excluded.last_polled_at),
               last_status = CASE WHEN excluded.last_polled_at >= p.last_polled_at
                                  THEN excluded.last_status ELSE p.last_status END,
               last_answer = CASE WHEN excluded.last_polled_at >= p.last_polled_at
                                  THEN excluded.last_answer ELSE p.last_answer END"""
    columns = zip(*((key.link_id, key.client, key.is_served, *count) for key, count in counted), strict=True)
    await conn.execute(sql, account_id, *map(list, columns))


async def save_networks(conn: Conn, account_id: UUID, counted: Sequence[Counted]) -> None:
    """Keep where the polls came from, which must all have been served, by the present URL of their link."""
    sql = """
        INSERT INTO feed_networks AS n (account_id, link_id, client, network, first_polled_at, last_polled_at)
        SELECT $1, d.link_id, d.client, d.network, min(d.first_polled_at), max(d.last_polled_at)
          FROM unnest($2::uuid[], $3::text[], $4::cidr[], $5::int[], $6::timestamptz[], $7::timestamptz[])
            AS d (link_id, client, network, generation, first_polled_at, last_polled_at)
          JOIN feed_links l ON l.account_id = $1 AND l.id = d.link_id
                           AND l.generation = coalesce(d.generation, l.generation)
         GROUP BY d.link_id, d.client, d.network ORDER BY d.link_id, d.client, d.network
        ON CONFLICT (account_id, link_id, client, network) DO UPDATE
           SET first_polled_at = least(n.first_polled_at, excluded.first_polled_at),
               last_polled_at = greatest(n.last_polled_at, excluded.last_polled_at)"""
    rows = (
        (key.link_id, key.client, key.network, key.generation, count.first_polled_at, count.last_polled_at)
        for key, count in counted
    )
    await conn.execute(sql, account_id, *map(list, zip(*rows, strict=True)))


async def delete_old_networks(conn: Conn, account_id: UUID, before: datetime, nowhere_before: datetime) -> None:
    """Forget the networks that did not poll since; what stands for no network at all has a time of its own.

    Rows that somebody else is writing to are left for the next time: nobody waits here.
    """
    sql = """
        DELETE FROM feed_networks n
         USING (SELECT o.link_id, o.client, o.network FROM feed_networks o
                 WHERE o.account_id = $1
                   AND o.last_polled_at < CASE WHEN o.network = '0.0.0.0/0' THEN $3 ELSE $2::timestamptz END
                   FOR UPDATE SKIP LOCKED) d
         WHERE n.account_id = $1 AND n.link_id = d.link_id AND n.client = d.client AND n.network = d.network"""
    await conn.execute(sql, account_id, before, nowhere_before)


async def list_polls(conn: Conn, account_id: UUID, link_ids: Sequence[UUID]) -> list[PollRecord]:
    """The clients of the links, of each link the one that polled last first."""
    sql = f"""
        SELECT {COLUMNS} FROM feed_polls p
         WHERE p.account_id = $1 AND p.link_id = ANY ($2::uuid[])
         ORDER BY p.link_id, p.last_polled_at DESC, p.client"""
    return [PollRecord(**row) for row in await conn.fetch(sql, account_id, link_ids)]


async def list_stale_polls(conn: Conn, account_id: UUID, now: datetime) -> list[PollRecord]:
    """The clients that have gone stale since that was last noted, of links that were not revoked."""
    sql = f"""
        SELECT {COLUMNS}
          FROM feed_polls p JOIN feed_links l ON l.account_id = $1 AND l.id = p.link_id
         WHERE p.account_id = $1 AND p.last_polled_at <= $2 AND p.silent_since IS DISTINCT FROM p.last_polled_at
           AND l.revoked_at IS NULL
         ORDER BY p.link_id, p.client"""
    silent = [PollRecord(**row) for row in await conn.fetch(sql, account_id, now - SHORTEST_STALE)]
    return [poll for poll in silent if poll.is_stale(now)]


async def note_stale(conn: Conn, account_id: UUID, polls: Sequence[PollRecord]) -> None:
    """Note that the clients have gone stale, unless they have polled meanwhile; webhooks are told of it by a trigger.

    Rows that somebody else is writing to are left for the next time: nobody waits here.
    """
    sql = """
        WITH silent AS (
            SELECT o.link_id, o.client
              FROM feed_polls o
              JOIN unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS d (link_id, client, last_polled_at)
                ON d.link_id = o.link_id AND d.client = o.client AND d.last_polled_at = o.last_polled_at
             WHERE o.account_id = $1 AND o.silent_since IS DISTINCT FROM o.last_polled_at
             ORDER BY o.link_id, o.client FOR NO KEY UPDATE OF o SKIP LOCKED)
        UPDATE feed_polls p SET silent_since = p.last_polled_at
          FROM silent s WHERE p.account_id = $1 AND p.link_id = s.link_id AND p.client = s.client"""
    columns = zip(*((poll.link_id, poll.client, poll.last_polled_at) for poll in polls), strict=True)
    await conn.execute(sql, account_id, *map(list, columns))


async def list_alarming(
    conn: Conn,
    account_id: UUID,
    link_ids: Sequence[UUID],
    limits: AlarmLimits,
    since: datetime,
    networks_since: datetime | None = None,
) -> list[AlarmingLink]:
    """Those of the links that reach a limit and have no alarm yet.

    Counted are kinds of clients, and networks, that the present URL served since that moment. So a reset begins anew:
    only polls that were given the calendar are in `feed_networks`, and only those of the URL that was the present one.
    After an alarm of this URL was cleared only what was first seen later counts: the others are known and accepted.
    From networks that are known only what polled since `networks_since` counts, if that is given: the others are old
    enough to be forgotten, whether they are already or not.
    """
    sql = """
        SELECT l.id AS link_id, s.clients, s.networks
          FROM feed_links l
         CROSS JOIN LATERAL (SELECT coalesce(l.resets[l.generation - 1], l.created_at) AS made_at) m
         CROSS JOIN LATERAL (
               SELECT count(DISTINCT n.client) AS clients,
                      count(DISTINCT n.network) FILTER (WHERE n.client <> ALL ($4::text[])
                                                          AND n.network <> '0.0.0.0/0') AS networks
                 FROM feed_networks n
                WHERE n.account_id = $1 AND n.link_id = l.id AND n.last_polled_at > m.made_at
                  AND n.last_polled_at > CASE WHEN n.network = '0.0.0.0/0' THEN $3 ELSE $7::timestamptz END
                  AND ((l.alarm_cleared_at > m.made_at) IS NOT TRUE OR n.first_polled_at > l.alarm_cleared_at)) s
         WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) AND l.alarmed_at IS NULL AND l.revoked_at IS NULL
           AND (s.clients >= nullif($5, 0) OR s.networks >= nullif($6, 0))
         ORDER BY l.id"""
    most = (limits.cloud, limits.clients, limits.networks)
    rows = await conn.fetch(sql, account_id, link_ids, since, *most, networks_since or since)
    return [AlarmingLink(**row) for row in rows]


async def lock_polled_links(conn: Conn, account_id: UUID, link_ids: Sequence[UUID]) -> None:
    """Lock the links until the transaction ends: whether one has an alarm already is then certain."""
    sql = """
        SELECT l.id FROM feed_links l
         WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) ORDER BY l.id FOR NO KEY UPDATE"""
    await conn.execute(sql, account_id, link_ids)


async def raise_alarms(conn: Conn, account_id: UUID, link_ids: Sequence[UUID], now: datetime) -> list[UUID]:
    """Raise the alarm of the links, and pause them if that is the account's policy; the ids of those paused by it."""
    sql = """
        UPDATE feed_links l
           SET alarmed_at = $3,
               paused_at = CASE WHEN a.pauses_alarmed THEN coalesce(l.paused_at, $3) ELSE l.paused_at END,
               paused_by = CASE WHEN a.pauses_alarmed AND l.paused_at IS NULL THEN 'ALARM' ELSE l.paused_by END
          FROM accounts a
         WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) AND l.alarmed_at IS NULL AND a.account_id = $1
        RETURNING l.id, l.paused_by = 'ALARM' AND l.paused_at = $3 AS is_paused"""
    rows = await conn.fetch(sql, account_id, link_ids, now)
    return sorted(row["id"] for row in rows if row["is_paused"])
