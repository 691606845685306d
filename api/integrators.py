"""The API keys of integrators: made, listed and revoked, by administrators, by keys, and by operators' commands."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import relay

from api.api_keys import LONGEST_KEY_NAME, Scope, hash_api_key, is_key_name, make_api_key
from api.context import Caller, Info
from api.errors import (
    ExpiryInvalid,
    ForbiddenByScope,
    KeyNotFound,
    Refused,
    Unauthenticated,
    UserError,
    ValueInvalid,
)
from api.nodes import After, First, connection, cursor_id, id_of, node_uuid, page_size
from api.refusals import answering, noting_refusal
from db.audit import Actor, add_audit_entries
from db.ids import new_id
from db.keys import ApiKeyRecord, add_api_key, get_api_key, lock_api_key, page_api_keys, revoke_api_key
from db.pool import Conn


@strawberry.enum(description="What an API key may do; for a user for whom it acts, no more than the user may.")
class ApiKeyScope(Enum):
    FEEDS_READ = strawberry.enum_value("feeds:read", description="See links and feeds.")
    FEEDS_WRITE = strawberry.enum_value("feeds:write", description="Generate, change, reset and revoke links.")
    USERS_READ = strawberry.enum_value("users:read", description="List users.")
    USERS_WRITE = strawberry.enum_value(
        "users:write", description="Add, change and deactivate users, and appoint administrators."
    )
    USERS_ACT = strawberry.enum_value(
        "users:act", description="Act for a user, whom the header X-Acting-User names, and see the URLs of their links."
    )
    CALENDARS_READ = strawberry.enum_value("calendars:read", description="List calendars.")
    CALENDARS_WRITE = strawberry.enum_value("calendars:write", description="Add, change and delete calendars.")
    ACCESS_WRITE = strawberry.enum_value("access:write", description="Say who may see which calendar.")
    ACTIVITIES_READ = strawberry.enum_value("activities:read", description="List activities.")
    ACTIVITIES_WRITE = strawberry.enum_value("activities:write", description="Add, change and delete activities.")
    KEYS_READ = strawberry.enum_value("keys:read", description="List API keys.")
    KEYS_WRITE = strawberry.enum_value(
        "keys:write", description="Revoke API keys, and add some that may do no more than this one."
    )
    WEBHOOKS_READ = strawberry.enum_value("webhooks:read", description="List webhooks.")
    WEBHOOKS_WRITE = strawberry.enum_value("webhooks:write", description="Add, change and delete webhooks.")
    POLICY_WRITE = strawberry.enum_value("policy:write", description="Change the account's policy.")
    AUDIT_READ = strawberry.enum_value("audit:read", description="Read the audit log.")


@strawberry.type(description="A key with which an integrator calls the API. Its text is shown once, when it is added.")
class ApiKey(relay.Node):
    id: relay.NodeID[str]
    name: str = strawberry.field(description="What the key is for.")
    scopes: list[ApiKeyScope] = strawberry.field(description="What the key may do.")
    created_at: datetime = strawberry.field(description="When the key was added.")
    expires_at: datetime | None = strawberry.field(description="When the key ends by itself; null: never.")
    last_used_at: datetime | None = strawberry.field(
        description="When the key was last used, to the minute; null: it never was."
    )
    revoked_at: datetime | None = strawberry.field(description="When the key was revoked; null: it was not.")

    @classmethod
    def of(cls, key: ApiKeyRecord) -> "ApiKey":
        return cls(
            id=str(key.id),
            name=key.name,
            scopes=[ApiKeyScope(scope) for scope in Scope if scope in key.scopes],
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
            revoked_at=key.revoked_at,
        )


@strawberry.input(description="An API key to be added.")
class AddApiKeyInput:
    name: str = strawberry.field(
        description=f"What the key is for: 1 to {LONGEST_KEY_NAME} characters on one line, without spaces around them."
    )
    scopes: list[ApiKeyScope] = strawberry.field(
        description="What the key may do, at least one thing. A key that calls can only give what it has itself."
    )
    expires_at: datetime | None = strawberry.field(
        default=None, description="When the key ends by itself; null: never. A key that ends adds none that end later."
    )


@strawberry.type(description="The new key, or why there is none.")
class AddApiKeyPayload:
    api_key: ApiKey | None = strawberry.field(default=None, description="The key, but for its text.")
    text: str | None = strawberry.field(
        default=None,
        description="The key itself, which goes after `Authorization: Bearer`. Keep it now: it is not stored, and"
        " cannot be shown again.",
    )
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend; then no key was added."
    )


@strawberry.input(description="An API key to be revoked.")
class RevokeApiKeyInput:
    key_id: strawberry.ID = strawberry.field(description="The key, by the id that `apiKeys` gave.")


@strawberry.type(description="The key as it is now, or why it was not revoked.")
class RevokeApiKeyPayload:
    api_key: ApiKey | None = strawberry.field(default=None, description="The key, which opens nothing any more.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend; then nothing was changed."
    )


AddInput = Annotated[AddApiKeyInput, strawberry.argument(description="What the key is for and may do.")]
RevokeInput = Annotated[RevokeApiKeyInput, strawberry.argument(description="Which key to revoke.")]


async def api_keys(info: Info, first: First = None, after: After = None) -> relay.Connection[ApiKey]:
    async with noting_refusal(info, "KEYS_LISTED"):
        caller = await info.context.manager(Scope.KEYS_READ)
    size = page_size(first)
    async with info.context.pool.acquire() as conn:
        rows = await page_api_keys(conn, caller.account_id, size + 1, cursor_id(after))
    page: relay.Connection[ApiKey] = connection(rows, size, ApiKey.of, id_of, after=after is not None)
    return page


@answering(AddApiKeyPayload, "KEY_ADDED")
async def add_key(info: Info, input: AddInput) -> AddApiKeyPayload:  # noqa: A002  # the API's word
    caller, now = await info.context.manager(Scope.KEYS_WRITE), info.context.now
    if mistakes := [*_mistakes(input, now), *_not_theirs(caller, input.scopes)]:
        raise Refused(*mistakes)
    scopes = [Scope[scope.name] for scope in input.scopes]
    async with info.context.pool.acquire() as conn, conn.transaction():
        await _check_end(conn, caller, input.expires_at, now)
        key, text = await make_key(conn, caller.account_id, caller.actor, now, input.name, scopes, input.expires_at)
    return AddApiKeyPayload(api_key=ApiKey.of(key), text=text)


@answering(RevokeApiKeyPayload, "KEY_REVOKED")
async def revoke_key(info: Info, input: RevokeInput) -> RevokeApiKeyPayload:  # noqa: A002  # the API's word
    caller, now = await info.context.manager(Scope.KEYS_WRITE), info.context.now
    key_id = node_uuid(input.key_id, "ApiKey")
    async with info.context.pool.acquire() as conn, conn.transaction():
        key = await lock_api_key(conn, caller.account_id, key_id) if key_id else None
        if key is None:
            message = "There is no such API key in your account: use an id that `apiKeys` gave you."
            raise Refused(KeyNotFound(message=message, path=["keyId"]))
        if await end_key(conn, key, caller.actor, now):
            key = replace(key, revoked_at=now)
    return RevokeApiKeyPayload(api_key=ApiKey.of(key))


async def make_key(
    conn: Conn,
    account_id: UUID,
    actor: Actor,
    now: datetime,
    name: str,
    scopes: Iterable[Scope],
    expires_at: datetime | None = None,
) -> tuple[ApiKeyRecord, str]:
    """A new key and its text, which is kept nowhere."""
    key_id, wanted = new_id(), set(scopes)
    text, ordered = make_api_key(account_id, key_id), [scope for scope in Scope if scope in wanted]
    key = await add_api_key(
        conn, account_id, key_id, now, name=name, key_hash=hash_api_key(text), scopes=ordered, expires_at=expires_at
    )
    await _audit(conn, "KEY_ADDED", key, actor, now)
    return key, text


async def end_key(conn: Conn, key: ApiKeyRecord, actor: Actor, now: datetime) -> bool:
    """Let the key open nothing from now on; False if it was revoked before."""
    is_new = await revoke_api_key(conn, key.account_id, key.id, now)
    if is_new:
        await _audit(conn, "KEY_REVOKED", key, actor, now)
    return is_new


def _mistakes(wanted: AddApiKeyInput, now: datetime) -> Iterator[UserError]:
    if not is_key_name(wanted.name):
        message = f"Give the key a name of 1 to {LONGEST_KEY_NAME} characters, without line breaks."
        yield ValueInvalid(message=message, path=["name"])
    if not wanted.scopes:
        yield ValueInvalid(message="Name at least one thing that the key may do.", path=["scopes"])
    if wanted.expires_at is not None and wanted.expires_at <= now:
        yield ExpiryInvalid(message="Name a moment in the future.", path=["expiresAt"])


def _not_theirs(caller: Caller, scopes: Sequence[ApiKeyScope]) -> Iterator[UserError]:
    """Scopes that the calling key does not have: it would give itself more than it was given."""
    for place, scope in enumerate(Scope[chosen.name] for chosen in scopes):
        if not caller.has(scope):
            message = f"Your API key has no scope {scope} to give: leave it out, or ask an administrator."
            yield ForbiddenByScope(message=message, path=["scopes", str(place)])


async def _check_end(conn: Conn, caller: Caller, expires_at: datetime | None, now: datetime) -> None:
    """Refuse an end that is later than that of the calling key, which would live on in the new one."""
    if not caller.is_key or caller.actor.id is None:
        return
    own = await get_api_key(conn, caller.account_id, caller.actor.id, now)
    if own is None:
        raise Unauthenticated("The API key is not valid here.")
    if own.expires_at and (expires_at is None or expires_at > own.expires_at):
        message = f"Your API key ends at {own.expires_at:%Y-%m-%dT%H:%M:%SZ}: name a moment until then."
        raise Refused(ForbiddenByScope(message=message, path=["expiresAt"]))


async def _audit(conn: Conn, action: str, key: ApiKeyRecord, actor: Actor, now: datetime) -> None:
    end = {"expiresAt": key.expires_at.isoformat()} if key.expires_at else {}
    details = {"name": key.name, "scopes": list(key.scopes), **end}
    await add_audit_entries(conn, key.account_id, action, [key.id], actor=actor, now=now, details=details)
