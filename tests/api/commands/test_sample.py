"""The sample holds one of everything that a feed has to cope with."""

from datetime import UTC, datetime

import asyncpg
import pytest

from api.commands.sample import fill_sample
from db.activities import ActivityRecord, list_activities
from db.pool import Conn
from feed.options import DEFAULTS
from feed.recurring.series import occurrences, ruled
from feed.window import Window, zone_of

KINDS = {
    "meetings with a location": "type = 'MEETING' AND location IS NOT NULL",
    "calls": "type = 'CALL' AND starts_at IS NOT NULL",
    "tasks by day": "type = 'TASK' AND due_on IS NOT NULL",
    "tasks by minute": "type = 'TASK' AND due_at IS NOT NULL",
    "tasks that are done": "status = 'COMPLETED'",
    "tasks that are begun": "status = 'IN_PROCESS'",
    "tasks that are overdue": "type = 'TASK' AND status = 'NEEDS_ACTION' AND due_on < current_date - 1",
    "tasks of the far future": "due_on > current_date + 365",
    "meetings of the far past": "type = 'MEETING' AND ends_at < current_date - 90 AND recurrence IS NULL",
    "notes without a time": "type = 'NOTE' AND num_nonnulls(starts_at, starts_on, due_at, due_on) = 0",
    "notes with a time": "type = 'NOTE' AND starts_at IS NOT NULL",
    "times of some days": "ends_at - starts_at > interval '2 days'",
    "hostile text": r"title LIKE '%C:\\New%' AND title LIKE '%,%' AND title LIKE '%\"%' AND title ~ '[^\u0001-\uffff]'",
    "whole days": "starts_on IS NOT NULL",
    "private": "private",
    "cancelled": "status = 'CANCELLED'",
    "tentative": "status = 'TENTATIVE'",
    "series": "recurrence IS NOT NULL",
    "private series": "recurrence IS NOT NULL AND private",
    "series of tasks": "recurrence IS NOT NULL AND type = 'TASK'",
    "series of days": "recurrence ->> 'zone' IS NULL",
    "series with exceptions": "recurrence @@ '$.excluded_dates.size() == 1 && $.overrides.size() == 2'",
}
# Days on which a month, a year or summer time begins or ends.
DAYS = ["2026-11-21", "2026-12-31", "2027-02-01", "2027-03-14", "2027-03-28", "2027-10-31", "2028-02-29"]
BY_RULE = {"Team meeting", "Review of the month", "Onboarding", "Yoga"}


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


async def list_series(conn: Conn, now: datetime) -> list[tuple[str, ActivityRecord]]:
    """The series of the sample, with the name of their account."""
    found = []
    for account in await fill_sample(conn, now):
        sql = "SELECT id FROM activities WHERE account_id = $1 AND recurrence IS NOT NULL"
        ids = [row["id"] for row in await conn.fetch(sql, account.account_id)]
        found += [(account.name, activity) for activity in await list_activities(conn, account.account_id, ids)]
    return found


@pytest.mark.parametrize("day", DAYS)
async def test_series_are_shown_as_intended_whatever_day_it_is(conn: Conn, day: str) -> None:
    """By their rule where all programs read it alike: the stand-up runs by Morocco's clock, and by California's."""
    now = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    window = Window.around(now, zone_of("Europe/Berlin"), DEFAULTS.days_back, DEFAULTS.days_ahead)
    for account, activity in await list_series(conn, now):
        assert activity.recurrence
        title = activity.title.rpartition("'s ")[2] if "birthday" in activity.title else activity.title
        is_ruled = activity.type != "TASK" and ruled(activity.recurrence, window) is not None
        assert is_ruled == (title in BY_RULE or (title, account) == ("Stand-up", "Blackwood Investigations")), title
        shown = len(occurrences(activity.recurrence, window))
        match title:
            case "Team meeting" | "Yoga":
                assert shown in range(54, 58)
            case "Review of the month":
                assert shown in range(13, 16)
            case "birthday":
                assert shown == (day >= "2027-03")
            case _:
                assert shown == {"Stand-up": 60, "Onboarding": 6, "Send the week's figures": 8}[title]


async def test_one_team_meeting_is_left_out_one_moved_and_one_renamed(conn: Conn) -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    (series,) = [a for account, a in await list_series(conn, now) if a.title == "Team meeting" and account[0] == "H"]
    assert series.recurrence
    window = Window.around(now, zone_of("Europe/Berlin"), 0, 30)
    shown = [(one.starts, (one.override or {}).get("title")) for one in occurrences(series.recurrence, window)]
    assert shown == [
        (datetime(2026, 11, 24, 13, tzinfo=UTC), "Team meeting"),
        (datetime(2026, 11, 30, 8, tzinfo=UTC), "Team meeting with the bank"),
        (datetime(2026, 12, 14, 8, tzinfo=UTC), None),
        (datetime(2026, 12, 21, 8, tzinfo=UTC), None),
    ]
