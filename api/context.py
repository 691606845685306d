"""What every resolver can reach: who calls, the pool, and what is needed to write the URL of a link."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from api.api_keys import ApiKeyText, Scope
from api.auth import NotAuthenticatedError, Principal
from api.errors import ApiError, Forbidden, NotFound, Unauthenticated
from api.nodes import node_uuid
from api.texts import external_id_error
from api.token_users import AccountIds, provision_user
from db.accounts import PolicyRecord
from db.audit import Actor, Network, add_refused_call, list_actor_names
from db.calendars import CalendarRecord, list_calendars_of_activities, page_user_calendars
from db.deliveries import DeliveryPage, DeliveryRecord, list_deliveries
from db.keys import ApiKeyRecord, get_api_key, had_api_key, update_last_used
from db.polls import PollRecord, list_polls
from db.pool import Conn, Pool
from db.users import UserRecord, get_acting_user, get_user, list_named_users, page_calendar_users
from feed.room import FeedLimits
from feed.tokens import Keyring
from feed.urls import qr_code_svg

K = TypeVar("K")
T = TypeVar("T")
PageKey = tuple[UUID, int, UUID | None]  # whose list, how many of it at the most, after which id
LoadPages = Callable[[Conn, UUID, Sequence[UUID], int, UUID | None], Awaitable[dict[UUID, list[T]]]]

DRAWER = ThreadPoolExecutor(1, "drawer")  # of QR codes
CALLS_NOTED_EVERY = timedelta(hours=1)
ACTING_USER = "X-Acting-User"  # the header by which a key acts for a user
MOST_WRITERS = 2  # calls of a process that write many rows at the same moment


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, of one account: a user, or an integrator's key, which may act for a user."""

    account_id: UUID
    user: UserRecord | None  # who calls, or for whom the key acts
    scopes: frozenset[str]  # of a key
    actor: Actor

    @property
    def is_key(self) -> bool:
        return self.actor.type == "KEY"

    def may(self, scope: str) -> bool:
        """Whether they manage others in the account: administrators do, and keys with that scope.

        A key that acts for a user may do what both may: nothing more for acting for an administrator.
        """
        is_manager = self.user is None or self.user.administrator
        return is_manager and self.has(scope)

    def has(self, scope: str) -> bool:
        """Whether a key has the scope; users need none."""
        return not self.is_key or scope in self.scopes


class Loader(DataLoader[K, T]):
    """One statement for what many fields ask for at once. Several of them may wait for the same answer.

    Where a field is refused, the others below the same object are cancelled. Without a shield that would cancel the
    answer for everybody who waits for it, and with them the whole request.
    """

    def load(self, key: K) -> Awaitable[T]:
        return asyncio.shield(super().load(key))


def new_writers() -> asyncio.Semaphore:
    return asyncio.Semaphore(MOST_WRITERS)


@dataclass
class Context:
    """One request's. `principal` is who calls, or why there is none: only introspection needs no principal."""

    pool: Pool
    keyring: Keyring
    public_url: str
    limits: FeedLimits
    links_per_user: int
    account_ids: AccountIds
    provisions_users: bool
    principal: Principal | ApiKeyText | NotAuthenticatedError
    network: Network | None  # of the caller, for the audit log
    acting_user: str | None = None  # the header: for whom a key acts, by node id or the CRM's own key
    webhook_networks: Sequence[Network] = ()  # private ones that webhooks may lead to
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    refused: set[tuple[object, ...]] = field(default_factory=set)  # attempts that are in the audit log already
    writers: asyncio.Semaphore = field(default_factory=new_writers)  # the process's
    _caller: Caller | ApiError | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    previewing: asyncio.Lock = field(default_factory=asyncio.Lock)  # one at a time: each reads a whole feed

    async def caller(self, scope: str | None = None) -> Caller:
        """Who calls; `Unauthenticated` unless they may act at this moment, `Forbidden` for a key without the scope."""
        async with self._asking:
            if self._caller is None:
                try:
                    self._caller = await self._ask(self.principal)
                except ApiError as refusal:
                    self._caller = refusal
        if isinstance(self._caller, ApiError):
            raise type(self._caller)(self._caller.message)
        if scope is not None and not self._caller.has(scope):
            raise Forbidden(f"Only an API key with the scope {scope} may do this.")
        return self._caller

    async def viewer(self, scope: str) -> UserRecord:
        """The user who calls, or for whom a key with that scope acts."""
        user = (await self.caller(scope)).user
        if user is None:
            raise Forbidden(f"An API key acts for no user: name one in the header {ACTING_USER}.")
        return user

    async def manager(self, scope: str) -> Caller:
        """Whoever manages others in the account."""
        caller = await self.caller(scope)
        if not caller.may(scope):
            without = f", or an API key without the header {ACTING_USER}" if caller.is_key else ""
            raise Forbidden(f"Only an administrator may do this{without}.")
        return caller

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Conn]:
        """A transaction that writes many rows: few at once, as they wait for each other and polls need connections."""
        async with self.writers, self.pool.acquire() as conn, conn.transaction():
            yield conn

    def most_links(self, policy: PolicyRecord) -> int:
        """How many links each user may have."""
        of_policy = policy.most_links
        return self.links_per_user if of_policy is None else min(of_policy, self.links_per_user)

    async def _ask(self, principal: Principal | ApiKeyText | NotAuthenticatedError) -> Caller:
        if isinstance(principal, NotAuthenticatedError):
            raise Unauthenticated(str(principal))
        if isinstance(principal, ApiKeyText):
            return await self._ask_key(principal)
        if self.acting_user is not None:
            raise Forbidden(f"{ACTING_USER} is for API keys: a bearer token acts for its own user.")
        async with self.pool.acquire() as conn:
            account_id = await self.account_ids.find(conn, principal.account)
            user = await self._ask_user(conn, account_id, principal) if account_id else None
            if user is None:
                raise Unauthenticated("The bearer token's user is not active here.")
        return Caller(user.account_id, user, frozenset(), Actor("USER", user.id, self.network))

    async def _ask_user(self, conn: Conn, account_id: UUID, principal: Principal) -> UserRecord | None:
        if user := await get_acting_user(conn, account_id, principal.user):
            return user
        if known := await get_user(conn, account_id, principal.user):
            await self._note_call(conn, account_id, Actor("USER", known.id, self.network))
        elif self.provisions_users and isinstance(principal.user, str):
            return await provision_user(conn, account_id, principal.user, principal.claims, self.now)
        return None

    async def _ask_key(self, text: ApiKeyText) -> Caller:
        async with self.pool.acquire() as conn:
            key = await get_api_key(conn, text.account_id, text.key_id, self.now)
            if key is None or not text.matches(key.hash):
                if key is None and await had_api_key(conn, text.account_id, text.key_id, text.hash):
                    await self._note_call(conn, text.account_id, Actor("KEY", text.key_id, self.network))
                raise Unauthenticated("The API key is not valid here.")
            await update_last_used(conn, key.account_id, key.id, self.now)
            user = None if self.acting_user is None else await self._ask_acting(conn, key, self.acting_user)
        actor = Actor("KEY", key.id, self.network, acting_for=user.id if user else None)
        return Caller(key.account_id, user, frozenset(key.scopes), actor)

    async def _ask_acting(self, conn: Conn, key: ApiKeyRecord, named: str) -> UserRecord:
        """The user for whom the key acts."""
        wanted = node_uuid(named, "User") or (None if external_id_error(named) else named)
        if Scope.USERS_ACT not in key.scopes:
            refusal: ApiError = Forbidden(f"Only an API key with the scope {Scope.USERS_ACT} may act for a user.")
        elif wanted and (user := await get_acting_user(conn, key.account_id, wanted)):
            return user
        else:
            refusal = NotFound(f"{ACTING_USER}: there is no such active user in your account.")
        await self._note_call(conn, key.account_id, Actor("KEY", key.id, self.network))
        raise refusal

    async def _note_call(self, conn: Conn, account_id: UUID, actor: Actor) -> None:
        """Somebody calls who may not any more: told once an hour, as programs go on calling."""
        await add_refused_call(conn, account_id, actor, self.now, self.now - CALLS_NOTED_EVERY)

    @cached_property
    def qr_codes(self) -> Loader[str, str]:
        """The QR code of a URL, drawn once however often it is asked for."""
        return Loader(_draw)

    @cached_property
    def polls(self) -> Loader[UUID, list[PollRecord]]:
        """The clients that poll a link of the caller's account, by the link's id."""
        return Loader(self._load_polls)

    @cached_property
    def deliveries(self) -> Loader[DeliveryPage, list[DeliveryRecord]]:
        """Pages of what is delivered to webhooks of the caller's account."""
        return Loader(self._load_deliveries, cache=False)  # a mutation before may have added to them

    @cached_property
    def actor_names(self) -> Loader[UUID, str | None]:
        """The name of a user or a key of the caller's account."""
        return Loader(self._load_actor_names)

    @cached_property
    def calendar_users(self) -> Loader[PageKey, list[UserRecord]]:
        """A page of who may see a calendar of the caller's account, by the calendar's id."""
        return Loader(partial(self._load_pages, page_calendar_users))

    @cached_property
    def user_calendars(self) -> Loader[PageKey, list[CalendarRecord]]:
        """A page of what a user of the caller's account may see, by the user's id."""
        return Loader(partial(self._load_pages, page_user_calendars))

    @cached_property
    def users(self) -> Loader[UUID, UserRecord | None]:
        """A user of the caller's account."""
        return Loader(self._load_users)

    @cached_property
    def activity_calendars(self) -> Loader[UUID, list[CalendarRecord]]:
        """The calendars that an activity stands in: a user's own ones, for a key that acts for nobody all."""
        return Loader(self._load_activity_calendars)

    async def _load_users(self, user_ids: Sequence[UUID]) -> list[UserRecord | None]:
        account_id = (await self.caller()).account_id
        async with self.pool.acquire() as conn:
            found = await list_named_users(conn, account_id, user_ids)
        return [found.get(user_id) for user_id in user_ids]

    async def _load_activity_calendars(self, activity_ids: Sequence[UUID]) -> list[list[CalendarRecord]]:
        caller = await self.caller()
        viewer_id = caller.user.id if caller.user else None
        async with self.pool.acquire() as conn:
            found = await list_calendars_of_activities(conn, caller.account_id, viewer_id, activity_ids)
        return [found.get(activity_id, []) for activity_id in activity_ids]

    async def _load_polls(self, link_ids: Sequence[UUID]) -> list[list[PollRecord]]:
        account_id = (await self.caller()).account_id
        found: dict[UUID, list[PollRecord]] = defaultdict(list)
        async with self.pool.acquire() as conn:
            for poll in await list_polls(conn, account_id, link_ids):
                found[poll.link_id].append(poll)
        return [found[link_id] for link_id in link_ids]

    async def _load_deliveries(self, pages: Sequence[DeliveryPage]) -> list[list[DeliveryRecord]]:
        account_id = (await self.caller()).account_id
        async with self.pool.acquire() as conn:
            return await list_deliveries(conn, account_id, pages)

    async def _load_actor_names(self, ids: Sequence[UUID]) -> list[str | None]:
        account_id = (await self.caller()).account_id
        async with self.pool.acquire() as conn:
            names = await list_actor_names(conn, account_id, ids)
        return [names.get(id_) for id_ in ids]

    async def _load_pages(self, page: LoadPages[T], keys: Sequence[PageKey]) -> list[list[T]]:
        """One statement for all whose pages begin after the same place, as most do at the beginning."""
        account_id = (await self.caller()).account_id
        found: dict[PageKey, list[T]] = {}
        async with self.pool.acquire() as conn:
            for first, after in {(first, after) for _, first, after in keys}:
                ids = [id_ for id_, *place in keys if place == [first, after]]
                for id_, rows in (await page(conn, account_id, ids, first, after)).items():
                    found[id_, first, after] = rows
        return [found.get(key, []) for key in keys]


async def _draw(urls: list[str]) -> list[str]:
    """In a thread of their own, as each takes 15 ms."""
    return await asyncio.get_running_loop().run_in_executor(DRAWER, lambda: [qr_code_svg(url) for url in urls])


Info = StrawberryInfo[Context, None]
