"""Small data for tests: an account with two users and two calendars, and quick ways to change it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from strawberry.relay import to_base64

from api.api_keys import hash_api_key, make_api_key
from api.app import create_app
from api.auth import Principal, issue_token
from api.context import ACTING_USER
from api.http.protocol import Runner
from api.logs import AccessLogger
from api.settings import Settings
from db.accounts import PolicyRecord, add_account
from db.activities import Activity, add_entries, upsert_activities
from db.calendars import add_calendar, grant_access
from db.fragments import Selection
from db.ids import new_id
from db.keys import add_api_key
from db.pool import Conn, PatientPool, Pool, create_pool, hold
from db.stamps import Stamps
from db.users import UserRecord, add_user
from feed.bodies import Bodies
from feed.feeds import user_feed
from feed.polls import PollLog, PollSettings
from feed.rates import PollRates
from feed.room import FeedLimits
from feed.routes import FeedRoutes, Notices
from feed.tokens import Keyring
from feed.updating import FEWEST, CurrentFeeds
from tests.leaks import NET

SECRET_KEY = "k1:0123456789abcdef0123456789abcdef"
JWT_SECRET = "a secret for the bearer tokens of the tests"
NOW = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)  # today: feeds show the days around it
HOUR = timedelta(hours=1)
BEGUN = NOW - timedelta(days=1)  # before every test, whatever the time of day

T = TypeVar("T")
Client = TestClient[web.Request, web.Application]


@dataclass(frozen=True)
class Seed:
    """`anna` administers the account and sees both calendars; `ben` sees the team's."""

    conn: Conn
    account_id: UUID
    anna: UserRecord
    ben: UserRecord
    own: UUID  # Anna's calendar
    team: UUID

    async def write(self, *activities: Activity, calendars: tuple[UUID, ...] = ()) -> None:
        """Write activities and let them stand in the calendars, Anna's if none is named."""
        NET.keep_private(*activities)
        async with self.conn.transaction():
            await upsert_activities(self.conn, self.account_id, activities, NOW)
            for calendar_id in calendars or (self.own,):
                await add_entries(self.conn, self.account_id, calendar_id, activities)

    async def key(self, *scopes: str, name: str = "CRM sync") -> str:
        """The text of a new API key of the account."""
        key_id = new_id()
        text = make_api_key(self.account_id, key_id)
        hashed = hash_api_key(text)
        await add_api_key(self.conn, self.account_id, key_id, NOW, name=name, key_hash=hashed, scopes=scopes)
        return text

    def selection(self, *calendar_ids: UUID) -> Selection:
        """What Anna's link to a calendar, with the default options, shows today; here to these calendars."""
        selection = user_feed(self.anna, [], None, None, PolicyRecord(), datetime.now(UTC)).selection()
        return replace(selection, calendar_ids=calendar_ids, by_calendar=False)


async def plant(conn: Conn, name: str = "Harbour Homes") -> Seed:
    account_id = (await add_account(conn, name, BEGUN)).account_id
    anna = await add_user(
        conn,
        account_id,
        BEGUN,
        name="Anna Müller",
        email="anna@example.com",
        administrator=True,
        time_zone="Europe/Berlin",
    )
    ben = await add_user(conn, account_id, BEGUN, name="Ben Okafor", email="ben@example.com")
    own = await add_calendar(conn, account_id, BEGUN, name="Anna Müller", color="#4682B4")
    team = await add_calendar(conn, account_id, BEGUN, name="Sales team")
    await grant_access(conn, account_id, own, [anna.id], BEGUN)
    await grant_access(conn, account_id, team, [anna.id, ben.id], BEGUN)
    return Seed(conn, account_id, anna, ben, own, team)


def meeting(external_id: str = "m1", **said: Any) -> Activity:
    values = {"title": "Viewing", "starts_at": NOW, "ends_at": NOW + HOUR, **said}
    return Activity(type="MEETING", status=values.pop("status", "CONFIRMED"), external_id=external_id, **values)


def task(external_id: str = "t1", **said: Any) -> Activity:
    return Activity(type="TASK", status=said.pop("status", "NEEDS_ACTION"), external_id=external_id, **said)


def bearer(user: UserRecord, lifetime: timedelta = HOUR, secret: str = JWT_SECRET, **said: Any) -> str:
    """A token of our own, under these settings."""
    principal = Principal(user.account_id, user.id)
    return issue_token(settings(jwt_secret=SecretStr(secret), **said), principal, datetime.now(UTC), lifetime)


def calendar_node(calendar_id: UUID) -> str:
    return to_base64("Calendar", str(calendar_id))


def link_node(link_id: UUID) -> str:
    return to_base64("FeedLink", str(link_id))


def user_node(user: UserRecord) -> str:
    return to_base64("User", str(user.id))


def settings(**said: Any) -> Settings:
    secrets = {"secret_keys": SecretStr(SECRET_KEY), "jwt_secret": SecretStr(JWT_SECRET)}
    unlimited = {"link_polls_per_minute": 0, "unknown_polls_per_minute": 0}  # tests poll faster than any program
    alone = {"render_ahead": False}  # what is rendered is rendered by a poll
    found = Settings(**{**secrets, **unlimited, **alone, "public_url": "https://feeds.example.com", **said})
    NET.keep_secret({name: value.get_secret_value() for name, value in found if isinstance(value, SecretStr)})
    return found


@dataclass(frozen=True)
class Service:
    """The application on a real port, and what its callers do with it."""

    client: Client
    acting_user: str | None = field(default=None, kw_only=True)  # of API keys

    def acting_for(self, user: UserRecord | str) -> "Service":
        """The same service for a key that acts for a user, named by node id or the CRM's own key."""
        return replace(self, acting_user=user_node(user) if isinstance(user, UserRecord) else user)

    async def graphql(self, query: str, caller: UserRecord | str | None = None, /, **variables: Any) -> dict[str, Any]:
        """The whole answer, `{"data": …, "errors": …}`; the caller is a user, or the text of a bearer token or key."""
        token = bearer(caller) if isinstance(caller, UserRecord) else caller
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        acting = {ACTING_USER: self.acting_user} if self.acting_user is not None else {}
        async with self.client.post(
            "/graphql", json={"query": query, "variables": variables}, headers={**headers, **acting}
        ) as answer:
            assert answer.status == 200
            said: dict[str, Any] = await answer.json()
            NET.hear_errors(said)
            return said

    async def generate(self, user: UserRecord, calendar_id: UUID | None = None, **said: Any) -> str:
        """The private URL of the user's link, its path alone: what the server under test answers to."""
        values = {**said, **({"calendarId": calendar_node(calendar_id)} if calendar_id else {})}
        answer = await self.graphql(
            "mutation ($input: GenerateCalendarUrlInput!) {"
            " generateCalendarUrl(input: $input) { url userErrors { message path } } }",
            user,
            input=values,
        )
        payload = answer["data"]["generateCalendarUrl"]
        assert payload["userErrors"] == []
        return str(payload["url"]).removeprefix("https://feeds.example.com")

    async def mutate(self, name: str, caller: UserRecord | str, selection: str, /, **values: Any) -> dict[str, Any]:
        """The payload of a mutation: what was selected, and its user errors."""
        selected = f"{selection} userErrors {{ __typename message path }}"
        query = f"mutation ($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{ {selected} }} }}"
        payload: dict[str, Any] = (await self.graphql(query, caller, input=values))["data"][name]
        return payload

    async def poll(self, url: str, method: str = "GET", **headers: str) -> ClientResponse:
        answer = await self.client.request(
            method, url, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        await answer.read()
        await NET.hear_refusal(answer)
        return answer


class CountingPool(PatientPool):
    """Keeps the statements that its reads send."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, patience=15)
        self.sent: list[str] = []

    async def read(self, query: Callable[[Conn], Awaitable[T]]) -> T:
        async def logged(conn: Conn) -> T:
            with conn.query_logger(lambda record: self.sent.append(record.query)):
                answer = await query(conn)
                await asyncio.sleep(0)  # the log is written when the loop comes to it
                return answer

        return await super().read(logged)

    async def hold(self, dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
        conn = await hold(dsn)
        conn.add_query_logger(lambda record: self.sent.append(record.query))
        return conn


class InterruptedPool(PatientPool):
    """Lets another writer commit a statement before its second read."""

    def __init__(self, pool: Pool, statement: str) -> None:
        super().__init__(pool, patience=15)
        self._statement = statement
        self._reads = 0

    async def read(self, query: Callable[[Conn], Awaitable[T]]) -> T:
        self._reads += 1
        if self._reads == 2:
            await self.pool.execute(self._statement)
        return await super().read(query)


class OurServer(TestServer):
    """Listens with the runner of the service, not with aiohttp's own."""

    async def _make_runner(self, **kwargs: Any) -> Runner:
        return Runner(self.app, **kwargs)


@asynccontextmanager
async def running_service(dsn: str, before_second_read: str | None = None, **said: Any) -> AsyncIterator[Service]:
    """A service of its own with these settings; another writer may come between the two reads of its first poll."""
    if before_second_read is None:
        async with _client(create_app(settings(**said), dsn)) as client:
            yield Service(client)
        return
    async with create_pool(dsn) as pool:
        interrupted = InterruptedPool(pool, before_second_read)
        async with feeds_alone(interrupted, partial(hold, dsn)) as service:
            yield service


@asynccontextmanager
async def feeds_alone(
    pool: PatientPool,
    connect: Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]],
    most_octets: int = 0,
    fewest: int = FEWEST,
) -> AsyncIterator[Service]:
    """The feed route over connections of the test's own; feeds from so many activities are kept, up to these octets."""
    app, stamps = web.Application(), Stamps(connect, patience=15)
    keyring, rates, polls = Keyring.parse(SECRET_KEY), PollRates(0, 0, None), PollLog(pool.pool, PollSettings())
    bodies, limits = Bodies(0), FeedLimits()
    feeds = CurrentFeeds(pool, limits, most_octets, fewest)
    routes = FeedRoutes(pool, stamps, bodies, feeds, keyring, Notices(), limits, rates, polls, lambda _: None)
    app.add_routes(routes.routes())
    async with stamps.running(), _client(app) as client:
        yield Service(client)


@asynccontextmanager
async def _client(app: web.Application) -> AsyncIterator[Client]:
    """A client of a server that logs its requests as `serve` does."""
    server = OurServer(app)
    await server.start_server(access_log_class=AccessLogger)
    async with TestClient(server) as client:
        yield client
