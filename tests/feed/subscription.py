"""A link as its user has it, and what a subscriber reads there."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import ClientResponse

from db.activities import Activity
from db.gate import Gate, get_gate
from db.pool import Conn, create_pool
from db.users import UserRecord
from feed.assembly import assemble, whole_calendar
from feed.body import FeedContent, feed_content, read_gate_feed
from feed.room import FeedLimits
from feed.tokens import FeedToken, Keyring
from tests.seed import HOUR, NOW, SECRET_KEY, Seed, Service, calendar_node, meeting

DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")  # Anna's zone
QUIET_ZONE = "UTC" if datetime.now(UTC).hour < 12 else "Etc/GMT+6"  # where the day of NOW lasts some hours yet
HOST = "https://feeds.example.com"
OPTIONS = """options {
    activityTypes tasksAs detail daysBack daysAhead timeStyle participants completedTasks cancelled reminderMinutes
    titleWith }"""
GENERATE = f"""
    mutation ($input: GenerateCalendarUrlInput!) {{
      generateCalendarUrl(input: $input) {{
        url link {{ id {OPTIONS} }} userErrors {{ __typename message path }} }} }}"""
UPDATE = f"""
    mutation ($input: UpdateFeedLinkInput!) {{
      updateFeedLink(input: $input) {{
        feed {{ name }} link {{ id url {OPTIONS} }} userErrors {{ __typename message path }} }} }}"""

DEFAULTS = {
    "activityTypes": ["MEETING", "CALL", "TASK"],
    "tasksAs": "EVENT",
    "detail": "FULL",
    "daysBack": 90,
    "daysAhead": 365,
    "timeStyle": "UTC",
    "participants": "DESCRIPTION",
    "completedTasks": "MARK",
    "cancelled": "OMIT",
    "reminderMinutes": None,
    "titleWith": "NOTHING",
}

Part = dict[str, str]  # a component: property name → parameters and value; those of an alarm as "VALARM.TRIGGER"


def parts(octets: bytes) -> list[Part]:
    """The VEVENTs and VTODOs of a feed, each with its kind as "BEGIN"."""
    found: list[Part] = []
    path: list[str] = []
    for line in octets.decode().replace("\r\n ", "").split("\r\n"):
        name, _, value = re.sub("[:;]", "\n", line, count=1).partition("\n")
        if name == "BEGIN":
            path.append(value)
            if value in ("VEVENT", "VTODO"):
                found.append({name: value})
        elif name == "END":
            path.pop()
        elif len(path) > 1 and path[1] in ("VEVENT", "VTODO"):
            key = ".".join([*path[2:], name])
            found[-1][key] = f"{found[-1][key]}\n{value}" if key in found[-1] else value
    return found


def state(part: Part) -> tuple[int, str]:
    """SEQUENCE, and the time that DTSTAMP and LAST-MODIFIED have in common."""
    assert part["DTSTAMP"] == part["LAST-MODIFIED"]
    return int(part["SEQUENCE"]), part["DTSTAMP"]


def titled(octets: bytes, title: str) -> Part:
    """The one component whose title ends so."""
    (part,) = (part for part in parts(octets) if part["SUMMARY"].endswith(title))
    return part


def weekly(**override: Any) -> dict[str, Any]:
    """A meeting of an hour each week in Berlin, begun two weeks ago; last week's is changed if it says how."""
    starts = (NOW - 14 * DAY).astimezone(BERLIN)
    times = {"zone": "Europe/Berlin", "starts": starts.isoformat(), "ends": (starts + HOUR).isoformat()}
    nothing: dict[str, Any] = {"exclusion_rules": [], "dates": [], "excluded_dates": []}
    replaced = {"recurrence_id": (starts + 7 * DAY).isoformat(), "zone": "Europe/Berlin", "status": "CONFIRMED"}
    overrides = [{**replaced, **override}] if override else []
    return {**times, **nothing, "rules": ["FREQ=WEEKLY"], "overrides": overrides}


@dataclass(frozen=True)
class Subscription:
    service: Service
    user: UserRecord
    link_id: str
    url: str  # its path

    async def update(self, **options: Any) -> dict[str, Any]:
        return await update(self.service, self.user, self.link_id, **options)

    async def poll(self, **headers: str) -> ClientResponse:
        return await self.service.poll(self.url, **headers)

    async def read(self) -> bytes:
        answer = await self.poll()
        assert answer.status == 200
        return await answer.read()

    async def parts(self) -> list[Part]:
        return parts(await self.read())

    async def titles(self) -> list[str]:
        return sorted(part["SUMMARY"] for part in await self.parts())

    async def state(self) -> tuple[int, str]:
        """Of the one component that the feed has."""
        (part,) = await self.parts()
        return state(part)


async def subscribe(service: Service, user: UserRecord, calendar_id: Any = None, **said: Any) -> Subscription:
    """The user's link to the calendar, or to all of theirs; `said` is more of the mutation's input."""
    wanted = {**said, **({"calendarId": calendar_node(calendar_id)} if calendar_id else {})}
    payload = (await service.graphql(GENERATE, user, input=wanted))["data"]["generateCalendarUrl"]
    assert payload["userErrors"] == []
    return Subscription(service, user, payload["link"]["id"], payload["url"].removeprefix(HOST))


async def update(service: Service, user: UserRecord, link_id: str, **options: Any) -> dict[str, Any]:
    answer = await service.graphql(UPDATE, user, input={"linkId": link_id, "options": options})
    payload: dict[str, Any] = answer["data"]["updateFeedLink"]
    return payload


def token_of(url: str) -> FeedToken:
    token = Keyring.parse(SECRET_KEY).verify(url.split("/")[2])
    assert token
    return token


async def stay_in_today(seed: Seed) -> None:
    """Let all users live where it is the day of NOW, and is not about to be the next one."""
    await seed.conn.execute("UPDATE users SET time_zone = $1", QUIET_ZONE)


async def gate_of(conn: Conn, link: Subscription) -> Gate:
    token = token_of(link.url)
    gate = await get_gate(conn, token.account_id, token.link_id, token.generation)
    assert gate
    return gate


def octets_of(content: FeedContent, limits: FeedLimits = FeedLimits()) -> bytes:  # noqa: B008  # frozen
    return b"".join(block.octets for block in whole_calendar(assemble(content), limits))


async def octets_at(dsn: str, url: str, now: datetime, limits: FeedLimits = FeedLimits()) -> bytes:  # noqa: B008  # frozen
    """The feed at some other time than the present."""
    async with create_pool(dsn) as pool:
        async with pool.acquire() as conn:
            found = await read_gate_feed(conn, token_of(url), now)
        assert found
        return octets_of(await feed_content(found[1], pool, limits), limits)


PREVIEW = """
    { calendarFeeds { preview {
        description eventCount byteCount activityCount leftOutCounts { reason count } activities { title } } } }"""
NOTHING_ELSE: dict[str, Any] = {"exclusion_rules": [], "dates": [], "excluded_dates": [], "overrides": []}


def on(day: int, **said: Any) -> Activity:
    """A meeting so many days from today."""
    starts = NOW + day * DAY
    return meeting(f"{day:+}", **{"title": f"{day:+}", "starts_at": starts, "ends_at": starts + HOUR, **said})


async def previewed(service: Service, seed: Seed) -> Any:
    """Of Anna's calendar."""
    return (await service.graphql(PREVIEW, seed.anna))["data"]["calendarFeeds"][1]["preview"]


def deadlines() -> dict[str, Any]:
    """Of a task each day from today on, which no program is given as a rule."""
    return {**NOTHING_ELSE, "zone": "UTC", "ends": NOW.isoformat(), "rules": ["FREQ=DAILY"]}
