"""The data: always the same meetings around today, brought in as a CRM would, by the public API with an API key."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from bench.load import TIMEOUT
from bench.servers import HOST, Server, command

ACCOUNT = "Harbour Homes"
SCOPES = ("users:write", "calendars:write", "calendars:read", "access:write", "activities:write", "users:act",
          "feeds:write")  # fmt: skip
CALL = 1_000  # items of a call
CALLERS = 4  # at once, for links
DAYS = range(-80, 350)  # which days from now meetings are on: every link shows these
OWNERS = 200  # users; each has links of several calendars

PEOPLE = (
    "Ana Pérez",
    "Benedikt Groß",
    "Chloé Lefèvre",
    "Dörte Sørensen",
    "Emre Yılmaz",
    "Fiona O'Hara",
    "Grzegorz Żak",
)
STREETS = ("Speicherstraße", "Große Elbstraße", "Övelgönne", "Am Sandtorkai", "Kehrwieder", "Landungsbrücken")
WHAT = ("Viewing", "Besichtigung", "Second visit", "Handover of keys", "Vertragsgespräch", "Photographs")
SENTENCES = (
    "Three rooms and a balcony towards the harbour, fourth floor, lift.",
    "Die Schlüssel liegen beim Hausmeister, bitte vorher anrufen.",
    "The buyers want to see the cellar and the energy certificate – bring both.",
    "Parkplätze gibt es im Hof; das Tor öffnet mit dem Code vom Vortag.",
    "Asking price 489,000 €; the owner expects an answer within the week.",
    "Café am Eck hat ab 8 Uhr geöffnet, dort treffen wir uns vorab.",
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How much data and how much time a run takes."""

    sizes: tuple[int, ...]  # of calendars, in activities: the growth; the last one is the largest
    compared: tuple[int, ...]  # those of them that are measured beside other programs
    calendars: int  # of the many feeds
    links: int  # to them
    each: int  # activities of each of them
    bodies: int  # calendars of a thousand activities
    rounds: int
    seconds: float  # of one load
    repeats: int  # of what is timed one by one
    restarts: int


FULL = Scale((100, 1_000, 10_000, 50_000), (100, 1_000, 10_000), 200, 1_000, 50, 8, 5, 4, 20, 5)
QUICK = Scale((100, 1_000, 10_000), (1_000,), 200, 1_000, 10, 3, 3, 1, 5, 2)
THOUSAND, TEN_THOUSAND = 1_000, 10_000


@dataclass(frozen=True)
class Planted:
    """The links, as paths; `many` is in the order of how often they are polled."""

    many: Sequence[str]
    sized: Mapping[int, str]  # by the size of the calendar
    bodies: Sequence[str]  # each of another calendar of a thousand


def meeting(calendar: str, number: int, said: str = "") -> dict[str, Any]:
    """About 760 octets in a feed; `said` is something else to say."""
    chosen = random.Random(f"{calendar} {number}")
    day = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(chosen.choice(DAYS))
    starts_at = day + timedelta(minutes=15 * chosen.randrange(40))
    people = chosen.sample(PEOPLE, chosen.randint(2, 4))
    street = f"{chosen.choice(STREETS)} {chosen.randint(1, 140)}"
    return {
        "externalId": f"{calendar}-{number}",
        "calendarExternalIds": [calendar],
        "type": "MEETING",
        "title": f"{chosen.choice(WHAT)} {street} {said}".strip(),
        "description": " ".join(chosen.sample(SENTENCES, 4)),
        "location": f"{street}, {chosen.randint(20095, 22769)} Hamburg",
        "startsAt": starts_at.isoformat(),
        "endsAt": (starts_at + timedelta(minutes=15 * chosen.randint(1, 8))).isoformat(),
        "participants": [{"name": name, "response": chosen.choice(["ACCEPTED", "NEEDS_ACTION"])} for name in people],
    }


def parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CALL):
        yield items[start : start + CALL]


class ApiError(Exception):
    """The service refused what was sent; the message has its answer."""


class Crm:
    """Calls the API of a service as the integrator of one account; each thread has a connection of its own."""

    def __init__(self, server: Server, key: str) -> None:
        self._server, self._key = server, key

    @classmethod
    def of_new_account(cls, server: Server, environment: Mapping[str, str]) -> "Crm":
        command(environment, "account", "add", ACCOUNT)
        scopes = [word for scope in SCOPES for word in ("--scope", scope)]
        return cls(server, command(environment, "api-key", "add", "--account", ACCOUNT, "--name", "bench", *scopes))

    def call(self, query: str, variables: object = None, acting: str | None = None) -> dict[str, Any]:
        """The data of the answer; `acting` is the CRM's key of a user for whom this is done."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        headers |= {"X-Acting-User": acting} if acting else {}
        connection = HTTPConnection(HOST, self._server.port, timeout=TIMEOUT)
        try:
            connection.request("POST", "/graphql", json.dumps({"query": query, "variables": variables}), headers)
            answer: dict[str, Any] = json.load(connection.getresponse())
        finally:
            connection.close()
        data: dict[str, Any] = answer.get("data") or {}
        if "errors" in answer or any(payload["userErrors"] for payload in data.values() if "userErrors" in payload):
            raise ApiError(json.dumps(answer)[:500])
        return data

    def write(self, mutation: str, field: str, items: Sequence[Any]) -> None:
        """`upsertActivities` and its like, in calls of so many items as one may have."""
        name = mutation[0].upper() + mutation[1:]
        query = f"mutation ($input: {name}Input!) {{ {mutation}(input: $input) {{ userErrors {{ message path }} }} }}"
        for part in parts(items):
            self.call(query, {"input": {field: part}})

    def fill(self, calendar: str, count: int) -> None:
        self.write("upsertActivities", "activities", [meeting(calendar, number) for number in range(count)])

    def add_calendars(self, names: Sequence[str], users: Mapping[str, Sequence[str]]) -> None:
        self.write("upsertCalendars", "calendars", [{"externalId": name, "name": name} for name in names])
        access = [{"calendarExternalId": name, "userExternalIds": users[name]} for name in names]
        self.write("setCalendarAccess", "calendars", access)

    def link(self, user: str, calendar_id: str, name: str = "", **options: object) -> str:
        """The path of a new link."""
        query = """mutation ($input: GenerateCalendarUrlInput!) {
          generateCalendarUrl(input: $input) { url userErrors { message path } } }"""
        wanted = {"calendarId": calendar_id, "name": name, "options": options or None}
        url = self.call(query, {"input": wanted}, user)["generateCalendarUrl"]["url"]
        return str(urlsplit(url).path)

    def calendar_ids(self, names: Sequence[str]) -> dict[str, str]:
        query = """query ($names: [String!]) {
          calendars(where: {externalIds: $names}, first: 500) { edges { node { id externalId } } } }"""
        edges = self.call(query, {"names": names})["calendars"]["edges"]
        return {edge["node"]["externalId"]: edge["node"]["id"] for edge in edges}


USER = "user-0"  # who has the links to all but the many calendars


def _link(number: int, users: Sequence[str], calendars: Sequence[str]) -> tuple[str, str, str]:
    """Whose link it is, of which calendar, and its name: the links of a calendar are of different users."""
    again, place = divmod(number, len(calendars))
    return users[(place + 37 * again) % len(users)], calendars[place], f"device {again}"


def plant(crm: Crm, scale: Scale) -> Planted:
    users = [f"user-{number}" for number in range(OWNERS)]
    crm.write("upsertUsers", "users", [{"externalId": name, "name": f"Agent {name}", "locale": "en"} for name in users])
    many = [f"team-{number}" for number in range(scale.calendars)]
    sized = {f"of-{size}": size for size in scale.sizes}
    bodies = [f"body-{number}" for number in range(scale.bodies)]
    alone = [*sized, *bodies]
    wanted = [_link(number, users, many) for number in range(scale.links)]
    seen = {name: sorted({user for user, calendar, _ in wanted if calendar == name}) for name in many}
    crm.add_calendars([*many, *alone], {**seen, **{name: [USER] for name in alone}})
    counts = {**dict.fromkeys(many, scale.each), **sized, **dict.fromkeys(bodies, THOUSAND)}
    crm.write(
        "upsertActivities", "activities", [meeting(name, n) for name, count in counts.items() for n in range(count)]
    )
    ids = crm.calendar_ids([*many, *alone])
    with ThreadPoolExecutor(CALLERS) as callers:
        links = list(callers.map(lambda each: crm.link(each[0], ids[each[1]], each[2]), wanted))
    random.Random(len(links)).shuffle(links)
    of = {name: crm.link(USER, ids[name]) for name in alone}
    return Planted(links, {size: of[name] for name, size in sized.items()}, [of[name] for name in bodies])
