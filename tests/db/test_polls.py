"""Clients of a link and their habits, where they poll from, and when there are too many of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from ipaddress import ip_network
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.audit import Network
from db.links import LinkRecord, add_link, reset_links, resume_links, revoke_links
from db.polls import (
    AlarmingLink,
    AlarmLimits,
    Answer,
    Counted,
    PollCount,
    PollKey,
    PollRecord,
    delete_old_networks,
    list_alarming,
    list_polls,
    raise_alarms,
    save_networks,
    save_polls,
)
from tests.seed import HOUR, NOW, Seed, plant

MINUTE, DAY, WEEK = timedelta(minutes=1), timedelta(days=1), timedelta(weeks=1)
OFFICE = ip_network("192.0.2.0/24")
NOWHERE = ip_network("0.0.0.0/0")
LIMITS = AlarmLimits(clients=3, networks=4, cloud=["Google Calendar"])


@pytest.fixture
async def link(seed: Seed) -> LinkRecord:
    return await new_link(seed)


async def new_link(seed: Seed, name: str = "iPhone") -> LinkRecord:
    link = await add_link(seed.conn, seed.account_id, seed.anna.id, seed.own, name, "k1", NOW - WEEK)
    assert link
    return link


def polled(
    link_id: UUID,
    at: datetime,
    client: str = "Thunderbird",
    network: Network = OFFICE,
    *,
    polls: int = 1,
    status: int = 200,
    answer: Answer = "CALENDAR",
    until: datetime | None = None,
    generation: int | None = None,
) -> Counted:
    key = PollKey(link_id, client, network, generation, True)
    return key, PollCount(at, until or at, polls, status, answer)


async def usual_seconds(seed: Seed, link: LinkRecord, *gaps: float) -> list[int | None]:
    """What is usual after each of the gaps, in seconds, between one poll and the next."""
    at, found = NOW, []
    await save_polls(seed.conn, seed.account_id, [polled(link.id, at)])
    for gap in gaps:
        at += timedelta(seconds=gap)
        await save_polls(seed.conn, seed.account_id, [polled(link.id, at)])
        (record,) = await list_polls(seed.conn, seed.account_id, [link.id])
        found.append(record.usual_seconds)
    return found


async def networks(seed: Seed) -> list[tuple[object, ...]]:
    sql = "SELECT client, network, first_polled_at, last_polled_at FROM feed_networks ORDER BY client, network"
    return [tuple(row) for row in await seed.conn.fetch(sql)]


async def alarming(seed: Seed, link: LinkRecord, limits: AlarmLimits = LIMITS) -> list[tuple[int, int]]:
    """The clients and networks of the link if they are too many."""
    found = await list_alarming(seed.conn, seed.account_id, [link.id], limits, NOW - WEEK)
    assert [each.link_id for each in found] in ([], [link.id])
    return [(each.clients, each.networks) for each in found]


def from_homes(link: LinkRecord, homes: int, at: datetime = NOW, client: str = "Thunderbird") -> Sequence[Counted]:
    return [polled(link.id, at, client, ip_network(f"10.0.{home}.0/24"), generation=1) for home in range(homes)]


async def test_first_poll_of_a_client_is_all_that_is_known_of_it(seed: Seed, link: LinkRecord) -> None:
    await save_polls(seed.conn, seed.account_id, [polled(link.id, NOW, status=304, answer="UNCHANGED")])
    (record,) = await list_polls(seed.conn, seed.account_id, [link.id])
    assert asdict(record) == {
        "link_id": link.id,
        "client": "Thunderbird",
        "first_polled_at": NOW,
        "last_polled_at": NOW,
        "polls": 1,
        "last_status": 304,
        "last_answer": "UNCHANGED",
        "usual_seconds": None,
    }


async def test_polls_of_a_client_from_several_networks_are_one_record(seed: Seed, link: LinkRecord) -> None:
    home = ip_network("2001:db8:1::/48")
    await save_polls(
        seed.conn,
        seed.account_id,
        [
            polled(link.id, NOW + HOUR, polls=2, until=NOW + 2 * HOUR, status=410, answer="GONE"),
            polled(link.id, NOW, network=home, polls=3, until=NOW + MINUTE),
        ],
    )
    (record,) = await list_polls(seed.conn, seed.account_id, [link.id])
    assert (record.first_polled_at, record.last_polled_at, record.polls) == (NOW, NOW + 2 * HOUR, 5)
    assert (record.last_status, record.last_answer) == (410, "GONE")


async def test_clients_of_a_link_are_listed_with_the_latest_first(seed: Seed, link: LinkRecord) -> None:
    other = await new_link(seed, "Other")
    counted = [
        polled(link.id, NOW, "curl"),
        polled(link.id, NOW + HOUR, "Thunderbird"),
        polled(link.id, NOW, "Browser"),
        polled(other.id, NOW, "curl"),
    ]
    await save_polls(seed.conn, seed.account_id, counted)
    listed = await list_polls(seed.conn, seed.account_id, [link.id])
    assert [record.client for record in listed] == ["Thunderbird", "Browser", "curl"]


async def test_polls_that_are_written_late_are_counted_and_take_nothing_back(seed: Seed, link: LinkRecord) -> None:
    await save_polls(seed.conn, seed.account_id, [polled(link.id, NOW)])
    await save_polls(seed.conn, seed.account_id, [polled(link.id, NOW + HOUR, status=304, answer="UNCHANGED")])
    await save_polls(seed.conn, seed.account_id, [polled(link.id, NOW - HOUR, polls=4, status=410, answer="GONE")])
    (record,) = await list_polls(seed.conn, seed.account_id, [link.id])
    assert (record.first_polled_at, record.last_polled_at, record.polls) == (NOW - HOUR, NOW + HOUR, 6)
    assert (record.last_status, record.last_answer, record.usual_seconds) == (304, "UNCHANGED", 3_600)


async def test_polls_of_links_that_are_gone_are_passed_over(seed: Seed, link: LinkRecord) -> None:
    counted = [polled(uuid4(), NOW), polled(link.id, NOW)]
    await save_polls(seed.conn, seed.account_id, counted)
    await save_networks(seed.conn, seed.account_id, counted)
    assert await seed.conn.fetchval("SELECT count(*) FROM feed_polls") == 1
    assert await networks(seed) == [("Thunderbird", OFFICE, NOW, NOW)]


async def test_polls_of_another_accounts_link_are_passed_over(seed: Seed, link: LinkRecord) -> None:
    other = await plant(seed.conn, "Other")
    await save_polls(seed.conn, other.account_id, [polled(link.id, NOW)])
    await save_networks(seed.conn, other.account_id, [polled(link.id, NOW)])
    assert await seed.conn.fetch("SELECT link_id FROM feed_polls UNION ALL SELECT link_id FROM feed_networks") == []
    await save_polls(seed.conn, seed.account_id, [polled(link.id, NOW)])
    assert await list_polls(seed.conn, other.account_id, [link.id]) == []


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([3_600], [3_600]),  # the first is taken as it is
        ([59.9, 0, 30], [None, None, None]),  # one visit
        ([60], [60]),
        ([59, 3_600, 2, 3_600], [None, 3_600, 3_600, 3_600]),  # HEAD and GET
        ([1_000, 2_000, 2_000], [1_000, 1_250, 1_438]),  # 1,250 + 750 / 4 = 1,437.5
        ([1_000, 600], [1_000, 900]),
        ([1_800, 60 * 3_600], [1_800, 3_150]),  # a weekend counts as four times the usual: 1,800 + 5,400 / 4
        (
            [1_000, -500, 700],
            [1_000, 1_000, 800],
        ),  # what is written late has no gap; the next is 200 s after the latest
    ],
)
async def test_usual_interval_follows_the_gaps_slowly(
    seed: Seed, link: LinkRecord, gaps: list[float], expected: list[int | None]
) -> None:
    assert await usual_seconds(seed, link, *gaps) == expected


async def test_gap_counts_as_a_year_at_most(seed: Seed, link: LinkRecord) -> None:
    year = 365 * 86_400
    assert await usual_seconds(seed, link, 500 * year, 500 * year) == [year, year]


@pytest.mark.parametrize(
    ("usual", "silence", "expected"),
    [
        (3_600, 2 * DAY, True),
        (3_600, 2 * DAY - MINUTE, False),  # a weekend's night is no sign of anything
        (86_400, 3 * DAY, False),
        (86_400, 3 * DAY + MINUTE, True),
        (None, 3 * DAY, False),  # unknown counts as a day
        (None, 3 * DAY + MINUTE, True),
        (604_800, 20 * DAY, False),
    ],
)
def test_client_is_stale_after_three_of_its_intervals_and_two_days(
    usual: int | None, silence: timedelta, expected: bool
) -> None:
    record = PollRecord(
        link_id=uuid4(),
        client="Thunderbird",
        first_polled_at=NOW - WEEK,
        last_polled_at=NOW,
        polls=2,
        last_status=200,
        last_answer="CALENDAR",
        usual_seconds=usual,
    )
    assert record.is_stale(NOW + silence) == expected


async def test_writers_of_the_same_rows_add_up_without_a_deadlock(seed: Seed, dsn: str) -> None:
    links = [await new_link(seed, f"link {n}") for n in range(30)]
    clients = ["curl", "Browser", "Thunderbird"]

    async def write(turn: int) -> None:
        """Each writer has the rows in an order of its own."""
        conn = await asyncpg.connect(dsn)
        at = NOW + turn * MINUTE
        counted = [polled(link.id, at, client, polls=2) for link in links for client in clients]
        for _ in range(10):
            async with conn.transaction():
                await save_polls(conn, seed.account_id, counted[::-1] if turn % 2 else counted)
                await save_networks(conn, seed.account_id, counted if turn % 2 else counted[::-1])
                await delete_old_networks(conn, seed.account_id, NOW + MINUTE, NOW)
        await conn.close()

    await asyncio.gather(*(write(turn) for turn in range(4)))
    records = await list_polls(seed.conn, seed.account_id, [link.id for link in links])
    assert len(records) == 90
    assert {(record.polls, record.last_polled_at) for record in records} == {(4 * 10 * 2, NOW + 3 * MINUTE)}


async def test_network_is_kept_with_its_first_and_last_poll(seed: Seed, link: LinkRecord) -> None:
    home = ip_network("2001:db8:1::/48")
    await save_networks(seed.conn, seed.account_id, [polled(link.id, NOW), polled(link.id, NOW, network=home)])
    await save_networks(seed.conn, seed.account_id, [polled(link.id, NOW + HOUR), polled(link.id, NOW, "curl")])
    await save_networks(seed.conn, seed.account_id, [polled(link.id, NOW - HOUR)])
    assert await networks(seed) == [
        ("Thunderbird", OFFICE, NOW - HOUR, NOW + HOUR),
        ("Thunderbird", home, NOW, NOW),
        ("curl", OFFICE, NOW, NOW),
    ]


async def test_network_that_a_url_before_the_present_one_served_is_not_kept(seed: Seed, link: LinkRecord) -> None:
    await reset_links(seed.conn, seed.account_id, [link.id], "k1", NOW, grace_until=NOW + DAY)
    counted = [polled(link.id, NOW, "curl", generation=1), polled(link.id, NOW, "Browser", generation=2)]
    await save_networks(seed.conn, seed.account_id, counted)
    assert await networks(seed) == [("Browser", OFFICE, NOW, NOW)]


async def test_old_networks_are_forgotten_and_those_of_no_name_later(seed: Seed, link: LinkRecord) -> None:
    other = await plant(seed.conn, "Other")
    theirs = await new_link(other)
    counted = [
        polled(link.id, NOW - 2 * DAY, "two days ago"),
        polled(link.id, NOW - DAY, "a day ago"),
        polled(link.id, NOW - 8 * DAY, "eight days ago", NOWHERE),
        polled(link.id, NOW - 7 * DAY, "seven days ago", NOWHERE),
    ]
    await save_networks(seed.conn, seed.account_id, counted)
    await save_networks(seed.conn, other.account_id, [polled(theirs.id, NOW - WEEK, "theirs")])
    await delete_old_networks(seed.conn, seed.account_id, NOW - DAY, NOW - WEEK)
    assert [row[0] for row in await networks(seed)] == ["a day ago", "seven days ago", "theirs"]


async def test_network_that_somebody_writes_to_is_not_waited_for(seed: Seed, link: LinkRecord, dsn: str) -> None:
    await save_networks(seed.conn, seed.account_id, [polled(link.id, NOW - DAY), polled(link.id, NOW - DAY, "curl")])
    writer = await asyncpg.connect(dsn)
    async with writer.transaction():
        await save_networks(writer, seed.account_id, [polled(link.id, NOW)])
        async with asyncio.timeout(5):
            await delete_old_networks(seed.conn, seed.account_id, NOW, NOW)
    await writer.close()
    assert await networks(seed) == [("Thunderbird", OFFICE, NOW - DAY, NOW)]


async def test_link_is_alarming_from_the_limit_of_networks_on(seed: Seed, link: LinkRecord) -> None:
    await save_networks(seed.conn, seed.account_id, from_homes(link, 3))
    assert await alarming(seed, link) == []
    await save_networks(seed.conn, seed.account_id, from_homes(link, 4))
    assert await alarming(seed, link) == [(1, 4)]


async def test_link_is_alarming_from_the_limit_of_clients_on(seed: Seed, link: LinkRecord) -> None:
    await save_networks(seed.conn, seed.account_id, [polled(link.id, NOW, client) for client in ("a", "b")])
    assert await alarming(seed, link) == []
    await save_networks(seed.conn, seed.account_id, [polled(link.id, NOW, "c", NOWHERE)])
    assert await alarming(seed, link) == [(3, 1)]


async def test_limit_of_zero_is_none(seed: Seed, link: LinkRecord) -> None:
    await save_networks(seed.conn, seed.account_id, [*from_homes(link, 5), *from_homes(link, 2, client="curl")])
    assert await alarming(seed, link, AlarmLimits(clients=0, networks=0, cloud=[])) == []
    assert await alarming(seed, link, AlarmLimits(clients=0, networks=5, cloud=[])) == [(2, 5)]
    assert await alarming(seed, link, AlarmLimits(clients=2, networks=0, cloud=[])) == [(2, 5)]


async def test_networks_of_a_provider_and_unknown_ones_are_not_counted(seed: Seed, link: LinkRecord) -> None:
    unknown = [polled(link.id, NOW, "curl", NOWHERE)]
    await save_networks(seed.conn, seed.account_id, [*from_homes(link, 50, client="Google Calendar"), *unknown])
    assert await alarming(seed, link) == []
    assert await alarming(seed, link, AlarmLimits(clients=2, networks=1, cloud=LIMITS.cloud)) == [(2, 0)]


async def test_networks_of_more_than_a_week_ago_are_not_counted(seed: Seed, link: LinkRecord) -> None:
    await seed.conn.execute("UPDATE feed_links SET created_at = $1", NOW - 30 * DAY)
    await save_networks(seed.conn, seed.account_id, from_homes(link, 4, NOW - WEEK))
    assert await alarming(seed, link) == []
    await save_networks(seed.conn, seed.account_id, from_homes(link, 4, NOW - WEEK + MINUTE))
    assert await alarming(seed, link) == [(1, 4)]


async def test_networks_that_are_old_enough_to_be_forgotten_are_not_counted(seed: Seed, link: LinkRecord) -> None:
    await seed.conn.execute("UPDATE feed_links SET created_at = $1", NOW - 30 * DAY)
    unknown = [polled(link.id, NOW - 6 * DAY, client, NOWHERE) for client in ("a", "b")]
    await save_networks(seed.conn, seed.account_id, [*from_homes(link, 4, NOW - 3 * DAY), *unknown])
    most = AlarmLimits(clients=2, networks=0, cloud=[])

    async def found(networks_since: datetime) -> list[tuple[int, int]]:
        ids, since = [link.id], NOW - WEEK
        links = await list_alarming(seed.conn, seed.account_id, ids, most, since, networks_since)
        return [(each.clients, each.networks) for each in links]

    assert await found(NOW - 3 * DAY) == [(2, 0)]
    assert await found(NOW - 3 * DAY - MINUTE) == [(3, 4)]


async def test_reset_begins_to_count_anew_and_counts_the_same_networks_again(seed: Seed, link: LinkRecord) -> None:
    await save_networks(seed.conn, seed.account_id, from_homes(link, 4, NOW - HOUR))
    await reset_links(seed.conn, seed.account_id, [link.id], "k1", NOW)
    assert await alarming(seed, link) == []
    again = [(key._replace(generation=2), count) for key, count in from_homes(link, 4, NOW + HOUR)]
    await save_networks(seed.conn, seed.account_id, again)
    assert await alarming(seed, link) == [(1, 4)]


async def test_alarm_that_was_cleared_is_raised_again_by_new_networks_only(seed: Seed, link: LinkRecord) -> None:
    await save_networks(seed.conn, seed.account_id, from_homes(link, 5))
    await raise_alarms(seed.conn, seed.account_id, [link.id], NOW)
    await resume_links(seed.conn, seed.account_id, [link.id], NOW + MINUTE)
    await save_networks(seed.conn, seed.account_id, from_homes(link, 8, NOW + HOUR))
    assert await alarming(seed, link) == []
    await save_networks(seed.conn, seed.account_id, from_homes(link, 9, NOW + HOUR))
    assert await alarming(seed, link) == [(1, 4)]


async def test_what_was_accepted_with_an_earlier_url_is_counted_with_the_next(seed: Seed, link: LinkRecord) -> None:
    await save_networks(seed.conn, seed.account_id, from_homes(link, 5))
    await raise_alarms(seed.conn, seed.account_id, [link.id], NOW)
    await resume_links(seed.conn, seed.account_id, [link.id], NOW + MINUTE)
    await reset_links(seed.conn, seed.account_id, [link.id], "k1", NOW + HOUR)
    again = [(key._replace(generation=2), count) for key, count in from_homes(link, 5, NOW + 2 * HOUR)]
    await save_networks(seed.conn, seed.account_id, again)
    assert await alarming(seed, link) == [(1, 5)]


async def test_link_that_has_its_alarm_or_is_revoked_is_not_alarming(seed: Seed, link: LinkRecord) -> None:
    other = await new_link(seed, "Other")
    await save_networks(seed.conn, seed.account_id, [*from_homes(link, 4), *from_homes(other, 4)])
    ids = [link.id, other.id]
    found = await list_alarming(seed.conn, seed.account_id, ids, LIMITS, NOW - WEEK)
    assert found == [AlarmingLink(link_id=each, clients=1, networks=4) for each in sorted(ids)]
    await raise_alarms(seed.conn, seed.account_id, [link.id], NOW)
    await revoke_links(seed.conn, seed.account_id, [other.id], NOW)
    assert await list_alarming(seed.conn, seed.account_id, ids, LIMITS, NOW - WEEK) == []


async def test_links_that_the_alarm_pauses_are_named_and_no_others(seed: Seed, link: LinkRecord) -> None:
    sql = "UPDATE feed_links SET paused_at = $2, paused_by = $3 WHERE id = $1"
    owners, alarms = await new_link(seed, "paused by its owner"), await new_link(seed, "paused by an earlier alarm")
    await seed.conn.execute(sql, owners.id, NOW, "OWNER")
    await seed.conn.execute(sql, alarms.id, NOW, "ALARM")
    await seed.conn.execute("UPDATE accounts SET pauses_alarmed = true")
    ids = [link.id, owners.id, alarms.id]
    assert await raise_alarms(seed.conn, seed.account_id, ids, NOW + HOUR) == [link.id]
    assert await raise_alarms(seed.conn, seed.account_id, ids, NOW + 2 * HOUR) == []
    rows = await seed.conn.fetch("SELECT name, alarmed_at, paused_at, paused_by FROM feed_links ORDER BY name")
    assert [tuple(row) for row in rows] == [
        ("iPhone", NOW + HOUR, NOW + HOUR, "ALARM"),
        ("paused by an earlier alarm", NOW + HOUR, NOW, "ALARM"),
        ("paused by its owner", NOW + HOUR, NOW, "OWNER"),
    ]
