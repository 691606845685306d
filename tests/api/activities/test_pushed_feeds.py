"""What a subscriber reads of what an integrator has pushed."""

from datetime import UTC, timedelta

import pytest

from tests.api.activities.pushing import Crm, Said, at, name_externally, said
from tests.feed.subscription import DAY, Part, stay_in_today, subscribe, titled
from tests.seed import HOUR, NOW, Seed, Service

PREVIEW = "{ calendarFeeds { name preview(first: 0) { activityCount leftOutCounts { reason count } } } }"


@pytest.fixture
async def crm(seed: Seed, service: Service) -> Crm:
    await stay_in_today(seed)
    await name_externally(seed)
    return Crm(seed, service, await seed.key("activities:write"))


async def pushed(crm: Crm, *activities: Said) -> list[Part]:
    """The components of the team's feed, as Ben reads it."""
    payload = await crm.push(*activities)
    assert payload == {"created": len(activities), "updated": 0, "unchanged": 0, "userErrors": []}
    link = await subscribe(crm.service, crm.seed.ben, crm.seed.team)
    return await link.parts()


def shown(part: Part, *names: str) -> dict[str, str]:
    return {name: part[name] for name in ("SUMMARY", "DTSTART", "DTEND", *names)}


def utc(hours: float = 0) -> str:
    return f"{(NOW + hours * HOUR).astimezone(UTC):%Y%m%dT%H%M%SZ}"


def day(days: int = 0) -> str:
    return f"VALUE=DATE:{NOW + days * DAY:%Y%m%d}"


async def test_meeting_is_read_with_all_that_was_said(crm: Crm) -> None:
    (part,) = await pushed(
        crm,
        said(
            location="Pier 4",
            description="Bring the keys",
            url="https://crm.example/1",
            participants=[{"name": "Ana", "email": "ana@example.com"}],
            priority="HIGH",
        ),
    )
    assert shown(part, "LOCATION", "DESCRIPTION", "URL", "PRIORITY", "TRANSP") == {
        "SUMMARY": "Viewing",
        "DTSTART": utc(),
        "DTEND": utc(1),
        "LOCATION": "Pier 4",
        "DESCRIPTION": "Bring the keys\\nParticipants: Ana (ana@example.com)\\nOpen in CRM: https://crm.example/1",
        "URL": "VALUE=URI:https://crm.example/1" if part["URL"].startswith("VALUE") else "https://crm.example/1",
        "PRIORITY": "1",
        "TRANSP": "OPAQUE",
    }


async def test_days_calls_and_tasks_are_read_as_such(crm: Crm) -> None:
    today = NOW.date().isoformat()
    fair = said("d1", title="Fair", startsOn=today, endsOn=(NOW + 2 * DAY).date().isoformat())
    call = said("c1", title="Ana", type="CALL", startsAt=at(2), endsAt=at(2.5))
    task = said("t1", title="Report", type="TASK", dueOn=(NOW + DAY).date().isoformat())
    note = said("n1", title="Note", type="NOTE", startsAt=at(1))
    octets = [*await pushed(crm, fair, call, task, note)]
    assert [shown(part) for part in sorted(octets, key=lambda part: part["SUMMARY"])] == [
        {"SUMMARY": "Call: Ana", "DTSTART": utc(2), "DTEND": utc(2.5)},
        {"SUMMARY": "Fair", "DTSTART": day(), "DTEND": day(2)},
        {"SUMMARY": "☐ Report", "DTSTART": day(1), "DTEND": day(2)},
    ]


async def test_series_is_read_as_its_rule_with_what_differs(crm: Crm) -> None:
    monday = (NOW - timedelta(days=NOW.weekday())).replace(hour=9, minute=30)
    weekly = said(
        "s1",
        startsAt=monday.isoformat(),
        endsAt=(monday + HOUR).isoformat(),
        timeZone="Europe/Berlin",
        recurrence={
            "rule": "FREQ=WEEKLY;BYDAY=MO",
            "exdates": [(monday + 7 * DAY).date().isoformat()],
            "overrides": [{"occurrence": (monday + 14 * DAY).date().isoformat(), "title": "Signing", "private": True}],
        },
    )
    master, changed = await pushed(crm, weekly)
    assert (master["SUMMARY"], master["RRULE"]) == ("Viewing", "FREQ=WEEKLY;BYDAY=MO")
    assert master["EXDATE"].startswith("TZID=Europe/Berlin:")
    assert changed["SUMMARY"] == "Busy"  # to Ben, as Anna would read it too: it is nobody's
    assert changed["UID"] == master["UID"]
    assert changed["RECURRENCE-ID"] == changed["DTSTART"]


async def test_private_activity_is_read_in_full_by_its_owner_alone(crm: Crm) -> None:
    (part,) = await pushed(crm, said(private=True, ownerExternalId="anna", location="Pier 4"))
    assert (part["SUMMARY"], "LOCATION" in part) == ("Busy", False)
    own = await subscribe(crm.service, crm.seed.anna, crm.seed.team)
    assert titled(await own.read(), "Viewing")["LOCATION"] == "Pier 4"


async def test_what_is_deleted_is_gone_from_the_feed(crm: Crm) -> None:
    await crm.push(said("m1"), said("m2", title="Signing"))
    link = await subscribe(crm.service, crm.seed.ben, crm.seed.team)
    assert await link.titles() == ["Signing", "Viewing"]
    await crm.delete("m1")
    assert await link.titles() == ["Signing"]
