"""Accounts are apart: what nobody else may learn or change, tried on every field with every kind of id."""

import gc
import json
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.relay import from_base64, to_base64

from api.api_keys import Scope, hash_api_key, make_api_key
from api.context import ACTING_USER
from api.schema import schema
from db.accounts import add_account
from db.activities import Activity, Participant, add_entries, upsert_activities
from db.audit import OPERATOR, Actor, add_audit_entries
from db.calendars import add_calendar, grant_access
from db.deliveries import add_delivery
from db.ids import new_id
from db.keys import add_api_key, revoke_api_key
from db.links import add_link
from db.polls import NOWHERE, PollCount, PollKey, save_polls
from db.pool import Conn
from db.users import UserRecord, add_user
from db.webhooks import add_webhook
from feed.tokens import FeedToken, Keyring
from tests.api.walking import (
    Filling,
    Operation,
    Path,
    fitting,
    node_types,
    operations,
    reaches_nodes,
    root_fields,
)
from tests.db.test_schema import OURS
from tests.seed import HOUR, NOW, SECRET_KEY, Service, bearer, meeting, task

MARK = "ZEBRAFISH"  # in every text of the account that others must not read
UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
ALL_SCOPES = [str(scope) for scope in Scope]

Answer = dict[str, Any]

# Where one of several previews is refused, graphql-core drops the others before they begin.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@dataclass(frozen=True)
class Tenant:
    """An account with something of everything; `nodes` are the node ids of an object of each type."""

    account_id: UUID
    administrator: UserRecord
    key: str
    nodes: Mapping[str, str]
    external_id: str
    tokens: frozenset[str]


@dataclass(frozen=True)
class Caller:
    """Who asks; without an account it is somebody who may not."""

    authorization: str | None
    account_id: UUID | None = None
    id: UUID | None = None
    acting_user: str | None = None
    acting_user_id: UUID | None = None  # of one for whom they may act

    @property
    def ids(self) -> list[UUID]:
        return [id_ for id_ in (self.id, self.acting_user_id) if id_]


@dataclass(frozen=True)
class World:
    conn: Conn
    victim: Tenant
    other: Tenant

    async def rows(self, tenant: Tenant) -> set[str]:
        """Every row of the account, in every table."""
        tables = [row["relname"] for row in await self.conn.fetch(OURS)]
        all_of = " UNION ALL ".join(
            f"SELECT '{table} ' || to_jsonb(t)::text FROM {table} t WHERE t.account_id = $1" for table in tables
        )
        return {row[0] for row in await self.conn.fetch(all_of, tenant.account_id)}


async def settle(conn: Conn, mark: str) -> Tenant:
    """Plant an account whose every text has the mark in it."""
    account_id, external_id = (await add_account(conn, f"{mark} Homes", NOW)).account_id, f"{mark}-external"
    anna = await add_user(
        conn, account_id, NOW, name=f"Anna {mark}", email=f"anna@{mark}.example", external_id=external_id,
        administrator=True,
    )  # fmt: skip
    calendar_id = await add_calendar(conn, account_id, NOW, name=f"{mark} sales", external_id=external_id)
    await grant_access(conn, account_id, calendar_id, [anna.id], NOW)
    activity_id = await add_activities(conn, account_id, calendar_id, anna, mark)
    link_id, tokens = await add_links(conn, account_id, calendar_id, anna, mark)
    key_id, key = await add_key(conn, account_id, ALL_SCOPES, mark)
    entry_id = await add_audit(conn, account_id, anna.id, key_id, mark)
    webhook_id, delivery_id = await add_delivered(conn, account_id, mark)
    nodes = {
        "User": str(anna.id),
        "Calendar": str(calendar_id),
        "FeedLink": str(link_id),
        "CalendarFeed": f"{anna.id}:{calendar_id}",
        "Activity": str(activity_id),
        "AuditEntry": str(entry_id),
        "ApiKey": str(key_id),
        "Webhook": str(webhook_id),
        "WebhookDelivery": str(delivery_id),
    }
    return Tenant(account_id, anna, key, node_ids(nodes), external_id, tokens)


async def add_activities(conn: Conn, account_id: UUID, calendar_id: UUID, owner: UserRecord, mark: str) -> UUID:
    """A meeting and a private task, to be seen in a feed, and a note, which is left out."""
    texts = {name: f"{mark} {name}" for name in ("title", "description", "location")}
    activities = [
        meeting(f"{mark}-external", **texts, url=f"https://{mark}.example/", participants=(Participant(f"Cy {mark}"),)),
        task(f"{mark}-task", title=f"{mark} task", due_at=NOW, private=True, owner_id=owner.id),
        Activity(type="NOTE", status="CONFIRMED", external_id=f"{mark}-note", title=f"{mark} note", starts_at=NOW),
    ]
    await upsert_activities(conn, account_id, activities, NOW)
    await add_entries(conn, account_id, calendar_id, activities)
    found: UUID = await conn.fetchval(
        "SELECT id FROM activities WHERE account_id = $1 AND type = 'MEETING'", account_id
    )
    return found


async def add_links(
    conn: Conn, account_id: UUID, calendar_id: UUID, user: UserRecord, mark: str
) -> tuple[UUID, frozenset[str]]:
    """A default link, and a named one with an alarm and a client, whose id this is; the tokens of both."""
    keyring = Keyring.parse(SECRET_KEY)
    links = [await add_link(conn, account_id, user.id, calendar_id, name, "k1", NOW) for name in ("", f"{mark} phone")]
    ids = [link.id for link in links if link]
    await conn.execute("UPDATE feed_links SET request_id = $2 WHERE account_id = $1", account_id, f"{mark}-external")
    await conn.execute("UPDATE feed_links SET alarmed_at = $2 WHERE id = $1", ids[1], NOW)
    polled = PollKey(ids[1], f"{mark} reader", NOWHERE, None, True), PollCount(NOW, NOW, 1, 200, "CALENDAR")
    await save_polls(conn, account_id, [polled])
    return ids[1], frozenset(keyring.sign(FeedToken("k1", account_id, link_id, 1)) for link_id in ids)


async def add_key(conn: Conn, account_id: UUID, scopes: list[str], name: str) -> tuple[UUID, str]:
    """The id and the text of a new API key. Its use was noted, so that calling with it changes nothing."""
    key_id = new_id()
    text = make_api_key(account_id, key_id)
    await add_api_key(conn, account_id, key_id, NOW, name=f"{name} key", key_hash=hash_api_key(text), scopes=scopes)
    await conn.execute("UPDATE api_keys SET last_used_at = $2 WHERE id = $1", key_id, NOW + timedelta(days=2))
    return key_id, text


async def add_audit(conn: Conn, account_id: UUID, user_id: UUID, key_id: UUID, mark: str) -> UUID:
    """What a user, a key and an operator did; the id of one entry."""
    done = [(Actor("USER", user_id), user_id), (Actor("KEY", key_id), user_id), (OPERATOR, key_id)]
    for actor, subject_id in done:
        details = {"said": f"{mark} detail"}
        await add_audit_entries(conn, account_id, "LINK_RESET", [subject_id], actor=actor, now=NOW, details=details)
    found: UUID = await conn.fetchval("SELECT id FROM audit_log WHERE account_id = $1 ORDER BY id LIMIT 1", account_id)
    return found


async def add_delivered(conn: Conn, account_id: UUID, mark: str) -> tuple[UUID, UUID]:
    """The ids of a webhook, which is told of nothing that is done here, and of something that was delivered to it."""
    url, description = f"https://{mark}.example/hooks", f"{mark} receiver"
    webhook = await add_webhook(conn, account_id, "k1", NOW, url=url, events=["client.stale"], description=description)
    delivery = await add_delivery(conn, account_id, webhook.id, "webhook.test", NOW)
    sql = "UPDATE webhook_deliveries SET next_attempt_at = NULL, delivered_at = $2 WHERE id = $1"
    await conn.execute(sql, delivery.id, NOW)
    return webhook.id, delivery.id


def node_ids(ids: Mapping[str, str]) -> dict[str, str]:
    return {kind: to_base64(kind, id_) for kind, id_ in ids.items()}


KINDS = (
    "User", "Calendar", "FeedLink", "CalendarFeed", "Activity", "AuditEntry", "ApiKey", "Webhook", "WebhookDelivery",
)  # fmt: skip
UNKNOWN = node_ids({kind: f"{uuid4()}:{uuid4()}" if kind == "CalendarFeed" else str(uuid4()) for kind in KINDS})


@pytest.fixture
async def world(conn: Conn) -> World:
    async with conn.transaction():
        return World(conn, victim=await settle(conn, MARK), other=await settle(conn, "Plain"))


@pytest.fixture(scope="module", autouse=True)
def dropped_coroutines() -> Iterator[None]:
    """Let those that were dropped go here, and not while another module's tests run."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def remembered_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse and validate each operation once for all its values."""
    monkeypatch.setattr(schema, "extensions", [*schema.extensions, ParserCache, ValidationCache])


# ---- Who asks


async def administrator_of_another_account(world: World) -> Caller:
    user = world.other.administrator
    return Caller(bearer(user), user.account_id, user.id)


async def key_of_another_account(world: World) -> Caller:
    _, key_id = from_base64(world.other.nodes["ApiKey"])
    return Caller(world.other.key, world.other.account_id, UUID(key_id))


async def key_of_another_account_that_acts_for_the_victims(world: World) -> Caller:
    return replace(await key_of_another_account(world), acting_user=world.victim.nodes["User"])


async def key_of_another_account_that_acts(world: World) -> Caller:
    return replace(await key_of_another_account(world), acting_user=world.other.nodes["User"])


async def user_without_rights(world: World) -> Caller:
    user = await add_user(world.conn, world.victim.account_id, NOW, name="Ben Okafor")
    return Caller(bearer(user), user.account_id, user.id)


async def key_without_scopes(world: World) -> Caller:
    key_id, text = await add_key(world.conn, world.victim.account_id, [], "Plain")
    return Caller(text, world.victim.account_id, key_id)


async def key_that_acts_for_a_user_without_rights(world: World) -> Caller:
    """With every scope; but what this user may not see or do they may not do together."""
    key_id, text = await add_key(world.conn, world.victim.account_id, ALL_SCOPES, "Plain")
    ben = await add_user(world.conn, world.victim.account_id, NOW, name="Ben Okafor")
    return Caller(text, world.victim.account_id, key_id, to_base64("User", str(ben.id)), ben.id)


async def key_without_scopes_that_acts(world: World) -> Caller:
    return replace(await key_without_scopes(world), acting_user=world.victim.nodes["User"])


async def user_who_acts_for_another(world: World) -> Caller:
    return replace(await user_without_rights(world), acting_user=world.victim.nodes["User"])


async def revoked_key(world: World) -> Caller:
    key_id, text = await add_key(world.conn, world.victim.account_id, ALL_SCOPES, "Plain")
    await revoke_api_key(world.conn, world.victim.account_id, key_id, NOW)
    return Caller(text)


async def guessed_key(world: World) -> Caller:
    """Of the right account and id, with another secret."""
    _, key_id = from_base64(world.victim.nodes["ApiKey"])
    return Caller(make_api_key(world.victim.account_id, UUID(key_id)))


async def expired_token(world: World) -> Caller:
    return Caller(bearer(world.victim.administrator, lifetime=-HOUR))


async def forged_token(world: World) -> Caller:
    return Caller(bearer(world.victim.administrator, secret="a secret that somebody has guessed at"))


async def deactivated_administrator(world: World) -> Caller:
    await world.conn.execute("UPDATE users SET deactivated_at = $2 WHERE id = $1", world.victim.administrator.id, NOW)
    return Caller(bearer(world.victim.administrator))


async def administrator_of_a_suspended_account(world: World) -> Caller:
    account_id = world.victim.account_id
    await world.conn.execute("UPDATE accounts SET suspended_at = $2 WHERE account_id = $1", account_id, NOW)
    return Caller(bearer(world.victim.administrator))


async def key_of_a_suspended_account(world: World) -> Caller:
    await administrator_of_a_suspended_account(world)
    return Caller(world.victim.key)


async def administrator_who_claims_another_account(world: World) -> Caller:
    return Caller(bearer(replace(world.other.administrator, account_id=world.victim.account_id)))


async def administrator_who_is_claimed_by_another_account(world: World) -> Caller:
    return Caller(bearer(replace(world.victim.administrator, account_id=world.other.account_id)))


async def nobody(world: World) -> Caller:
    return Caller(None)


def replaced_account(user: UserRecord, tenant: Tenant) -> UserRecord:
    return UserRecord(
        **{**{name: getattr(user, name) for name in UserRecord.__slots__}, "account_id": tenant.account_id}
    )


Principal = Callable[[World], Awaitable[Caller]]
STRANGERS: list[Principal] = [
    administrator_of_another_account,
    key_of_another_account,
    key_of_another_account_that_acts,
    key_of_another_account_that_acts_for_the_victims,
]
POWERLESS: list[Principal] = [
    user_without_rights,
    key_without_scopes,
    key_that_acts_for_a_user_without_rights,
    key_without_scopes_that_acts,
    user_who_acts_for_another,
]
KEPT_OUT: list[Principal] = [
    revoked_key,
    guessed_key,
    expired_token,
    forged_token,
    deactivated_administrator,
    administrator_of_a_suspended_account,
    key_of_a_suspended_account,
    administrator_who_claims_another_account,
    administrator_who_is_claimed_by_another_account,
    nobody,
]


async def rightful(world: World) -> Caller:
    user = world.victim.administrator
    return Caller(bearer(user), user.account_id, user.id)


# ---- What they ask


@dataclass(frozen=True)
class Trial:
    """An operation, of which type's object it is given the id where, and what it is told to do."""

    operation: Operation
    kinds: Mapping[Path, str]
    flag: bool | None = None  # of every Boolean; None: what may be left out is left out
    flags: Mapping[Path, bool] = field(default_factory=dict)

    def variables(self, world: World, nodes: Mapping[str, str]) -> dict[str, Any]:
        ids = {path: nodes[kind] for path, kind in self.kinds.items()}
        return self.operation.filled(
            Filling({**ids, **self.flags}, world.other.nodes, world.victim.external_id, self.flag)
        )


def trials(name: str) -> Iterator[Trial]:
    """No id and no flag, each alone with every type's id, and everything filled with what it is named after."""
    plain = operations(name)[0]
    yield from (Trial(plain, {path: kind}) for path in plain.id_paths for kind in KINDS)
    yield from (Trial(plain, {}, None, {path: True}) for path in plain.flag_paths)
    for operation in operations(name):
        fit = {path: fitting(path, UNKNOWN) for path in operation.id_paths}
        yield Trial(operation, {})
        yield from (Trial(operation, fit, flag) for flag in (True, False))


def needed_variables(world: World, operation: Operation) -> dict[str, Any]:
    """What an operation cannot do without, of the account that others must not read."""
    return operation.filled(Filling({}, world.victim.nodes, world.victim.external_id))


async def ask(service: Service, caller: Caller, operation: Operation, variables: dict[str, Any]) -> Answer:
    headers = {"Authorization": f"Bearer {caller.authorization}"} if caller.authorization else {}
    headers |= {ACTING_USER: caller.acting_user} if caller.acting_user else {}
    body = {"query": operation.text, "variables": variables}
    async with service.client.post("/graphql", json=body, headers=headers) as response:
        answer: Answer = await response.json()
    assert codes(answer).isdisjoint({"INTERNAL", "INVALID_QUERY", None}), (operation, variables, answer)
    return answer


def codes(answer: Answer) -> set[str | None]:
    return {error.get("extensions", {}).get("code") for error in answer.get("errors", [])}


# ---- What they are told


def told(answer: Answer, asked: dict[str, Any]) -> str:
    """All that the answer says, lines unfolded and Base64 decoded, but for the ids that it was asked for."""
    text = json.dumps(answer, ensure_ascii=False).replace(r"\r\n ", "")
    text = " ".join((text, *map(decoded, BASE64.findall(text))))
    for id_ in asked_ids(asked):
        text = text.replace(id_, "<asked>")
    return text


def asked_ids(asked: dict[str, Any]) -> list[str]:
    """The ids in an operation's variables, the node ids also as what they are made of; the longest first."""
    found = [text for text in leaves(asked) if str(text).endswith("-external")]
    for text in leaves(asked):
        if ":" in (plain := decoded(str(text))):
            found += [text, plain, plain.partition(":")[2]]
    return sorted(found, key=len, reverse=True)


def decoded(word: str) -> str:
    """What the Base64 says; "" if it is none."""
    try:
        return b64decode(word, validate=True).decode()
    except ValueError:
        return ""


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


def hidden_from(caller: Caller, tenant: Tenant, rows: set[str]) -> set[str]:
    """What only the account may know: its mark, its ids, its tokens; but for what the caller is."""
    ids = {id_ for row in rows for id_ in UUID_TEXT.findall(row)}
    return {MARK} | tenant.tokens | ids - {str(caller.account_id), *map(str, caller.ids)}


def leaked(hidden: set[str], text: str) -> set[str]:
    return {secret for secret in hidden if secret in text}


# ---- What they learn and change


@pytest.mark.parametrize("name", root_fields())
@pytest.mark.parametrize("principal", [*STRANGERS, *POWERLESS], ids=lambda principal: principal.__name__)
async def test_nobody_learns_or_changes_what_is_not_theirs(
    world: World, service: Service, principal: Principal, name: str
) -> None:
    """Nor do they learn whether an id that is not theirs exists."""
    caller = await principal(world)
    before = await world.rows(world.victim)
    hidden = hidden_from(caller, world.victim, before)
    for trial in trials(name):
        answers = set()
        for nodes in (world.victim.nodes, UNKNOWN) if trial.kinds else (UNKNOWN,):
            variables = trial.variables(world, nodes)
            text = told(await ask(service, caller, trial.operation, variables), variables)
            assert leaked(hidden, text) == set(), (trial, variables)
            answers.add(text)
        assert len(answers) == 1, (trial, answers)
    await assert_untouched(world, caller, before)


@pytest.mark.parametrize("principal", KEPT_OUT, ids=lambda principal: principal.__name__)
async def test_whoever_is_kept_out_gets_no_answer_at_all(world: World, service: Service, principal: Principal) -> None:
    caller = await principal(world)
    before = await world.rows(world.victim)
    hidden = hidden_from(caller, world.victim, before)
    for trial in (trial for name in root_fields() for trial in trials(name)):
        variables = trial.variables(world, world.victim.nodes)
        answer = await ask(service, caller, trial.operation, variables)
        assert codes(answer) == {"UNAUTHENTICATED"}, (trial, variables)
        assert set(leaves(answer["data"])) == {None}, (trial, variables)
        assert leaked(hidden, told(answer, {})) == set(), (trial, variables)
    await assert_untouched(world, caller, before)


async def assert_untouched(world: World, caller: Caller, before: set[str]) -> None:
    """The account's rows are what they were; only who is of it may add to them, in their own name.

    That somebody called who may not any more is told to the account too.
    """
    after = await world.rows(world.victim)
    own = [str(id_) for id_ in caller.ids if caller.account_id == world.victim.account_id]
    assert before - after == set()
    assert {row for row in after - before if not any(id_ in row for id_ in own) and "API_CALLED" not in row} == set()
    kept = " ".join(await world.rows(world.other))
    assert MARK not in kept.replace(world.victim.external_id, "<asked>")


@pytest.mark.parametrize("name", [name for name in root_fields() if "after" in operations(name)[0].variables])
@pytest.mark.parametrize("principal", STRANGERS, ids=lambda principal: principal.__name__)
async def test_cursor_of_another_account_tells_nothing(
    world: World, service: Service, principal: Principal, name: str
) -> None:
    caller, operation = await principal(world), operations(name)[0]
    hidden = hidden_from(caller, world.victim, await world.rows(world.victim))
    needed = needed_variables(world, operation)
    page = await ask(service, await rightful(world), operation, {**needed, "first": 1})
    _, place = from_base64(page["data"][name]["pageInfo"]["endCursor"])
    unknown = place[:-1] + ("0" if place[-1] != "0" else "1")
    cursors = [{**needed, "after": to_base64("Cursor", text)} for text in (place, unknown)]
    known, other = [told(await ask(service, caller, operation, cursor), {}) for cursor in cursors]
    assert known == other
    assert leaked(hidden, known) == set()


# ---- What the rightful are told, so that the tests above can fail


@pytest.mark.parametrize("name", root_fields())
async def test_rightful_administrator_is_answered(world: World, service: Service, name: str) -> None:
    """Through every place for an id, and with everything filled in."""
    caller, operation = await rightful(world), operations(name)[0]
    hidden = hidden_from(Caller(None), world.victim, await world.rows(world.victim))

    async def done(trial: Trial, nodes: Mapping[str, str]) -> str:
        """What is told; "" if it is a refusal, or says what has to be mended."""
        variables = trial.variables(world, nodes)
        answer = await ask(service, caller, operation, variables)
        text = told(answer, variables)
        return "" if "errors" in answer or '"path": [' in text else text

    needed: dict[Path, str] = {
        (key,): fitting((key,), UNKNOWN) for key in needed_variables(world, operation) if key != "input"
    }
    for path in operation.id_paths:
        tried = [Trial(operation, {**needed, path: kind}) for kind in KINDS]
        unknown = [await done(trial, UNKNOWN) for trial in tried]
        known = [await done(trial, world.victim.nodes) for trial in tried]
        of_own = [text for text, other in zip(known, unknown, strict=True) if text not in ("", other)]
        assert of_own, path
        assert not reaches_nodes(name) or MARK in leaked(hidden, " ".join(of_own)), path
    fit = {path: fitting(path, UNKNOWN) for path in operation.id_paths}
    for flag in (True, False):
        assert await done(Trial(operation, fit, flag), world.victim.nodes), flag


async def test_everything_that_is_hidden_is_told_to_whom_it_belongs(world: World, service: Service) -> None:
    caller, tenant = await rightful(world), world.victim
    asked = [operation for name in root_fields() for operation in operations(name) if operation.is_query]
    least = Filling({}, tenant.nodes, tenant.external_id)
    text = " ".join([told(await ask(service, caller, operation, operation.filled(least)), {}) for operation in asked])
    words = [
        "title",
        "description",
        "location",
        "note",
        "task",
        "sales",
        "phone",
        "reader",
        "detail",
        "key",
        "receiver",
    ]
    texts = {f"{MARK} {word}" for word in words} | {f"Anna {MARK}", f"Cy {MARK}", f"anna@{MARK}.example"}
    wanted = texts | {tenant.external_id} | tenant.tokens | set(map(decoded, tenant.nodes.values()))
    assert wanted - leaked(wanted, text) == set()


def test_objects_of_every_type_are_tried() -> None:
    assert node_types() - set(KINDS) == set()
