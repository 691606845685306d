"""The sample data of the demo: two agencies, their people, calendars, and some hundred activities around today."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from api.commands.sample_series import repeated
from db.accounts import AccountRecord, add_account, list_accounts
from db.activities import Activity, Participant, add_entries, upsert_activities
from db.calendars import add_calendar, grant_access
from db.pool import Conn
from db.users import UserRecord, add_user

CRM = "https://crm.example.com/activities"
DAYS_BACK, DAYS_AHEAD = 20, 40
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
FRIDAY = 4
WORKING_DAYS = "MO,TU,WE,TH,FR"
LEAP_DAY = date(1988, 2, 29)
LOCK = 5545_7987  # the advisory lock's key


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    email: str
    time_zone: str
    locale: str
    color: str
    deactivated: bool = False


@dataclass(frozen=True, slots=True)
class Agency:
    """An account of the sample. The first person is its administrator; all see the team's and project's calendars."""

    name: str
    external_id: str
    people: tuple[Person, ...]
    team: str
    project: str
    meeting: str  # what a meeting is called here
    places: tuple[str, ...]
    clients: tuple[Participant, ...]


REAL_ESTATE = Agency(
    name="Harbour Homes",
    external_id="harbour-homes",
    people=(
        Person("Anna Müller", "anna@harbour-homes.example", "Europe/Berlin", "en", "#4682B4"),
        Person("Zoë van den Berg", "zoe@harbour-homes.example", "Europe/Amsterdam", "nl", "#2E8B57"),
        Person("佐藤 美咲", "misaki@harbour-homes.example", "Asia/Tokyo", "en", "#B22222"),
        Person("محمد الفاسي", "mohammed@harbour-homes.example", "Africa/Casablanca", "fr", "#8A2BE2"),
        Person("Peter Old", "peter@harbour-homes.example", "Europe/London", "en", "#708090", deactivated=True),
    ),
    team="Sales team",
    project="Quayside development",
    meeting="Viewing",
    places=(
        "Hafenstraße 12, Hamburg",
        "Keizersgracht 174, Amsterdam",
        "Quayside 3, apartment 4B",
        "12 Rue de Fès, Rabat",
    ),
    clients=(
        Participant("Ana Pérez", "ana@contoso.example", "ACCEPTED"),
        Participant("Jörg Groß", "joerg.gross@example.org", "NEEDS_ACTION"),
        Participant("Νίκος Παπαδόπουλος", None, "TENTATIVE"),
        Participant('O\'Brien, "Pat"', "pat@example.net", "DECLINED"),
    ),
)
INVESTIGATIONS = Agency(
    name="Blackwood Investigations",
    external_id="blackwood",
    people=(
        Person("Dana Reyes", "dana@blackwood.example", "America/New_York", "en", "#4682B4"),
        Person("Олена Шевченко", "olena@blackwood.example", "Europe/Kyiv", "en", "#DAA520"),
        Person("Sam O'Neill", "sam@blackwood.example", "America/Los_Angeles", "en", "#CD5C5C"),
        Person("Lee Former", "lee@blackwood.example", "America/Chicago", "en", "#708090", deactivated=True),
    ),
    team="Field team",
    project="Case 2291",
    meeting="Interview",
    places=("County court, room 4", "41 Elm Street; back door", "Phone booth C:\\New wing", "Diner, Route 9"),
    clients=(
        Participant("Morgan Kim", "morgan@example.com", "ACCEPTED"),
        Participant("अदिति शर्मा", "aditi@example.com", "NEEDS_ACTION"),
        Participant(None, "witness@example.net", "TENTATIVE"),
    ),
)
AGENCIES = (REAL_ESTATE, INVESTIGATIONS)


async def fill_sample(conn: Conn, now: datetime) -> list[AccountRecord]:
    """Make the sample accounts that are not there yet, in one transaction, one demo at a time; all sample accounts."""
    names = [agency.name for agency in AGENCIES]
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        there = {account.name for account in await list_accounts(conn)}
        for agency in AGENCIES:
            if agency.name not in there:
                await _fill(conn, agency, now)
    return sorted((a for a in await list_accounts(conn) if a.name in names), key=lambda a: names.index(a.name))


async def _fill(conn: Conn, agency: Agency, now: datetime) -> None:
    account_id = (await add_account(conn, agency.name, now, agency.external_id)).account_id
    users = [
        await _add_person(conn, account_id, person, now, administrator=person is agency.people[0])
        for person in agency.people
    ]
    own = {}
    for user, person in zip(users, agency.people, strict=True):
        own[user.id] = await _add_calendar(conn, account_id, user.name, person.color, [user], now)
    team = await _add_calendar(conn, account_id, agency.team, "#FF8C00", users, now)
    project = await _add_calendar(conn, account_id, agency.project, "#20B2AA", users, now)
    standing = defaultdict(list)
    for plan in _plan(agency, [user for user in users if user.active], now.date()):
        calendars = (*(own[agent.id] for agent in plan.agents), *[team] * plan.team, *[project] * plan.project)
        for calendar_id in calendars:
            standing[calendar_id].append(plan.activity)
    everything = {a.external_id: a for activities in standing.values() for a in activities}
    await upsert_activities(conn, account_id, list(everything.values()), now)
    for calendar_id, activities in standing.items():
        await add_entries(conn, account_id, calendar_id, activities)


async def _add_calendar(
    conn: Conn, account_id: UUID, name: str, color: str, users: list[UserRecord], now: datetime
) -> UUID:
    calendar_id = await add_calendar(conn, account_id, now, name=name, color=color)
    await grant_access(conn, account_id, calendar_id, [user.id for user in users], now)
    return calendar_id


async def _add_person(
    conn: Conn, account_id: UUID, person: Person, now: datetime, *, administrator: bool
) -> UserRecord:
    return await add_user(
        conn,
        account_id,
        now,
        name=person.name,
        email=person.email,
        external_id=person.email.partition("@")[0],
        administrator=administrator,
        time_zone=person.time_zone,
        locale=person.locale,
        deactivated_at=now if person.deactivated else None,
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """An activity, and the calendars that it stands in: those of these people, the team's, the project's."""

    activity: Activity
    agents: tuple[UserRecord, ...]
    team: bool = False
    project: bool = False


def _plan(agency: Agency, agents: list[UserRecord], today: date) -> Iterator[Standing]:
    """Everything that happens in the agency: some things on each working day, and one of each rare thing."""
    for offset in range(-DAYS_BACK, DAYS_AHEAD):
        day = today + timedelta(days=offset)
        if day.weekday() <= FRIDAY:
            yield from _working_day(agency, agents, day, offset)
    yield from _rare(agents, today)
    yield from _series(agents, today)
    yield from _left_out(agents, today)


def _working_day(agency: Agency, agents: list[UserRecord], day: date, offset: int) -> Iterator[Standing]:
    agent, colleague = agents[offset % len(agents)], agents[(offset + 1) % len(agents)]
    client = agency.clients[offset % len(agency.clients)]
    name = client.name or client.email
    past = offset < 0
    yield Standing(
        _activity(
            "MEETING",
            f"{agency.meeting}: {name}",
            agent,
            at=(day, time(9 + offset % 8, 30), timedelta(minutes=45)),
            location=agency.places[offset % len(agency.places)],
            participants=(client, Participant(agent.name, agent.email, "ACCEPTED")),
            description=f"{name} comes for the second time.\nBring: plans, keys; the contract.",
        ),
        (agent, colleague) if offset % 3 == 0 else (agent,),
        team=True,
    )
    if offset % 2 == 0:
        call = _activity("CALL", f"Call back {name}", agent, at=(day, time(14), timedelta()), participants=(client,))
        yield Standing(call, (agent,))
    if offset % 3 == 1:
        status = "COMPLETED" if past else "NEEDS_ACTION"
        task = _activity("TASK", f"Send offer to {name}", agent, due_on=day, priority="HIGH", status=status)
        yield Standing(task, (agent,), project=True)
    if offset % 4 == 1:
        due = datetime.combine(day, time(17), ZoneInfo(agent.time_zone))
        status = "COMPLETED" if past else "IN_PROCESS"
        report = _activity("TASK", f"File report on {name}", agent, due_at=due, priority="LOW", status=status)
        yield Standing(report, (agent,))
    if offset % 5 == 0:
        note = _activity("NOTE", f"Note on {name}", agent, description="Prefers e-mail. Has two dogs.")
        yield Standing(note, (agent,), project=True)


def _rare(agents: list[UserRecord], today: date) -> Iterator[Standing]:
    """One of each other kind of thing that a feed shows."""
    boss, colleague = agents[0], agents[1]
    soon = today + 2 * DAY
    private = _activity("MEETING", "Dentist", boss, at=(soon, time(8), HOUR), location="Dr. Weiß", private=True)
    yield Standing(private, (boss,), team=True)
    tentative = _activity("MEETING", "Photo session", colleague, at=(soon, time(15), HOUR), status="TENTATIVE")
    yield Standing(tentative, (colleague,), project=True)
    late = _activity("CALL", "Overseas call across midnight", boss, at=(soon, time(23, 30), HOUR))
    yield Standing(late, (boss,))
    overdue = _activity("TASK", "Renew the insurance", boss, due_on=today - 3 * DAY, priority="HIGH")
    yield Standing(overdue, (boss,), team=True)
    trip = _activity("MEETING", "Trip to Lisbon", colleague, at=(today + 4 * DAY, time(7, 15), 2 * DAY + 11 * HOUR))
    yield Standing(trip, (colleague,), team=True)
    fair = _activity("MEETING", "Trade fair", boss, on=(today + 9 * DAY, 3), location="Messe, Halle 7")
    yield Standing(fair, (), team=True)
    holiday = _activity("MEETING", "Office closed", boss, on=(today + 20 * DAY, 1))
    yield Standing(holiday, (), team=True)
    hostile = _activity(
        "MEETING",
        r'Copy "C:\New folder", then <b>print</b>; sign, scan 🖨️👩‍👩‍👧‍👦',
        colleague,
        at=(soon, time(17), HOUR),
        location=r"Room 4; C:\nothing, {title} %s",
        description="First line\r\nSecond line\u2028Third line:\t100 %",
    )
    yield Standing(hostile, (colleague,), team=True)


def _series(agents: list[UserRecord], today: date) -> Iterator[Standing]:
    """Series that a feed shows by their rule, and some that it shows as single occurrences."""
    boss, colleague, last = agents[0], agents[1], agents[-1]
    monday = today - today.weekday() * DAY
    weekly = _activity("MEETING", "Team meeting", boss, at=(monday - 4 * WEEK, time(9), HOUR), location="Room 1")
    moved = _activity("MEETING", "Team meeting", boss, at=(monday + WEEK + DAY, time(14), HOUR), location="Room 2")
    renamed = _activity("MEETING", "Team meeting with the bank", boss, at=(monday + 2 * WEEK, time(9), HOUR))
    changed = {monday + WEEK: moved, monday + 2 * WEEK: renamed}
    yield Standing(repeated(weekly, "FREQ=WEEKLY;BYDAY=MO", [monday + 3 * WEEK], changed), (), team=True)
    stand_up = _activity("MEETING", "Stand-up", last, at=(monday - 2 * WEEK, time(9, 15), HOUR / 4))
    yield Standing(repeated(stand_up, f"FREQ=WEEKLY;BYDAY={WORKING_DAYS};COUNT=60"), (last,), project=True)
    month_end = today + relativedelta(months=-2, day=31)
    month_end -= max(0, month_end.weekday() - FRIDAY) * DAY
    review = _activity("MEETING", "Review of the month", boss, at=(month_end, time(16), HOUR))
    yield Standing(repeated(review, f"FREQ=MONTHLY;BYDAY={WORKING_DAYS};BYSETPOS=-1"), (boss, colleague))
    ended = _activity("CALL", "Onboarding", colleague, at=(monday - 9 * WEEK, time(11), HOUR / 2))
    yield Standing(repeated(ended, "FREQ=WEEKLY;COUNT=6"), (colleague,), team=True)
    yoga = _activity("MEETING", "Yoga", boss, at=(monday - 3 * WEEK + 3 * DAY, time(18), HOUR), private=True)
    yield Standing(repeated(yoga, "FREQ=WEEKLY;BYDAY=TH"), (boss,), team=True)
    deadline = datetime.combine(monday - WEEK + FRIDAY * DAY, time(16), ZoneInfo(boss.time_zone))
    figures = _activity("TASK", "Send the week's figures", boss, due_at=deadline)
    yield Standing(repeated(figures, "FREQ=WEEKLY;COUNT=8"), (boss,))
    birthday = _activity("MEETING", f"{colleague.name}'s birthday", boss, on=(LEAP_DAY, 1))
    yield Standing(repeated(birthday, "FREQ=YEARLY"), (), team=True)  # in leap years only


def _left_out(agents: list[UserRecord], today: date) -> Iterator[Standing]:
    """What a feed does not show, or not unless its link's options say so."""
    boss, colleague = agents[0], agents[1]
    soon = today + 2 * DAY
    cancelled = _activity("MEETING", "Lunch with the bank", boss, at=(soon, time(12), HOUR), status="CANCELLED")
    yield Standing(cancelled, (boss, colleague))
    past = _activity("MEETING", "Foundation stone", boss, at=(today - 200 * DAY, time(11), HOUR))
    yield Standing(past, (), team=True)
    far = _activity("TASK", "Renew the lease", boss, due_on=today + 500 * DAY)
    yield Standing(far, (boss,), team=True)
    note = _activity("NOTE", "Note of a talk", boss, at=(today - DAY, time(10), HOUR), description="Never exported.")
    yield Standing(note, (boss,), team=True)
    someday = _activity("TASK", "Tidy the archive", colleague, description="No deadline: kept, never exported.")
    yield Standing(someday, (colleague,))


def _activity(
    kind: str,
    title: str,
    owner: UserRecord,
    *,
    at: tuple[date, time, timedelta] | None = None,
    on: tuple[date, int] | None = None,
    due_at: datetime | None = None,
    **said: Any,
) -> Activity:
    """An activity `at` a day, local time and length, `on` a day for some days, or due; its key says which it is."""
    starts_at = datetime.combine(at[0], at[1], ZoneInfo(owner.time_zone)).astimezone(UTC) if at else None
    moment = starts_at or due_at or said.get("due_on") or (on and on[0]) or title
    external_id = f"{kind.lower()}-{uuid5(NAMESPACE_URL, f'{CRM}/{kind}/{title}/{owner.email}/{moment}').hex[:12]}"
    activity = Activity(
        type=kind,
        status="NEEDS_ACTION" if kind == "TASK" else "CONFIRMED",
        external_id=external_id,
        owner_id=owner.id,
        title=title,
        url=f"{CRM}/{external_id}",
        starts_at=starts_at,
        ends_at=starts_at + at[2] if starts_at and at and at[2] else None,
        starts_on=on[0] if on else None,
        ends_on=on[0] + timedelta(days=on[1]) if on else None,
        due_at=due_at,
        time_zone=owner.time_zone if at or due_at else None,
    )
    return replace(activity, **said)
