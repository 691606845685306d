"""The sample holds one of everything that a feed has to cope with."""

from datetime import UTC, datetime

import asyncpg

from api.sample import fill_sample
from db.pool import Conn

KINDS = {
    "meetings with a location": "type = 'MEETING' AND location IS NOT NULL",
    "calls": "type = 'CALL' AND starts_at IS NOT NULL",
    "tasks by day": "type = 'TASK' AND due_on IS NOT NULL",
    "tasks by minute": "type = 'TASK' AND due_at IS NOT NULL",
    "tasks that are done": "status = 'COMPLETED'",
    "notes without a time": "type = 'NOTE' AND num_nonnulls(starts_at, starts_on, due_at, due_on) = 0",
    "whole days": "starts_on IS NOT NULL",
    "private": "private",
    "cancelled": "status = 'CANCELLED'",
    "tentative": "status = 'TENTATIVE'",
}


async def test_each_account_has_every_kind_of_activity_around_today(conn: Conn) -> None:
    now = datetime.now(UTC)
    for account in await fill_sample(conn, now):
        for kind, condition in KINDS.items():
            sql = f"SELECT count(*) FROM activities WHERE account_id = $1 AND {condition}"
            assert await conn.fetchval(sql, account.account_id) > 0, kind
        around = "SELECT min(starts_at) < $2, max(starts_at) > $2, count(*) FROM activities WHERE account_id = $1"
        row = await conn.fetchrow(around, account.account_id, now)
        assert row is not None
        assert (row[0], row[1], row[2] > 80) == (True, True, True)


async def test_people_have_several_zones_and_names_in_several_scripts(conn: Conn) -> None:
    for account in await fill_sample(conn, datetime.now(UTC)):
        people = await conn.fetch("SELECT name, time_zone FROM users WHERE account_id = $1", account.account_id)
        assert len({person["time_zone"] for person in people}) >= 4
        assert any(person["name"].isascii() for person in people)
        assert any(not person["name"].isascii() for person in people)


async def test_viewing_by_two_agents_stands_in_both_calendars_and_the_teams(conn: Conn) -> None:
    await fill_sample(conn, datetime.now(UTC))
    rows = await conn.fetch(
        """
        SELECT array_agg(c.name ORDER BY c.name) AS names FROM calendar_entries e
          JOIN activities a ON a.account_id = e.account_id AND a.id = e.activity_id
          JOIN calendars c ON c.account_id = e.account_id AND c.id = e.calendar_id
         WHERE a.title LIKE 'Viewing: %' GROUP BY a.id HAVING count(*) = 3"""
    )
    assert ["Anna Müller", "Sales team", "Zoë van den Berg"] in [row["names"] for row in rows]


async def test_filling_again_or_at_the_same_time_changes_nothing(conn: Conn, dsn: str) -> None:
    now = datetime.now(UTC)
    other = await asyncpg.connect(dsn)
    first = await fill_sample(conn, now)
    count = "SELECT (SELECT count(*) FROM activities), (SELECT sum(version) FROM calendar_versions)"
    before = await conn.fetchrow(count)
    assert await fill_sample(other, now) == first
    assert await conn.fetchrow(count) == before
    await other.close()
