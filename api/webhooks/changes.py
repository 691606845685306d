"""Adding, changing, testing and removing webhooks. The secret of one is told when it is made, and never again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import strawberry
from yarl import URL

from api.context import Caller, Info
from api.errors import Refused, TooManyWebhooks, UserError, ValueInvalid, WebhookDisabled, WebhookNotFound
from api.nodes import node_uuid
from api.refusals import answering
from api.texts import text_error
from api.webhooks.reach import url_error
from api.webhooks.receivers import secret_text
from api.webhooks.webhooks import Webhook, WebhookDelivery, WebhookEvent
from db import webhooks as stored
from db.accounts import lock_policy
from db.audit import add_audit_entries
from db.deliveries import add_delivery, hasten_deliveries
from db.pool import Conn
from db.webhooks import WebhookRecord

MOST_WEBHOOKS = 20  # of an account
LONGEST_DESCRIPTION = 200
TEST = str(WebhookEvent.WEBHOOK_TEST.value)
URL_SAID = (
    "Where deliveries are to be sent, by POST: an address that begins with https:// and is public, unless the service"
    " is set up to send to private ones."
)
EVENTS_SAID = "What it is to be told of, one event at least; WEBHOOK_TEST is none to choose."
DESCRIPTION_SAID = f"What it is for, at most {LONGEST_DESCRIPTION} characters."
TOLD_ONCE = (
    'The secret that deliveries are signed with, like "whsec_…": keep it now, as it is shown this one time. Null where'
    " nothing was done."
)
ERRORS_SAID = "What the caller has to mend; then nothing was changed."


@strawberry.input(description="Which receiver is to be told of what.")
class AddWebhookInput:
    url: str = strawberry.field(description=URL_SAID)
    events: list[WebhookEvent] = strawberry.field(description=EVENTS_SAID)
    description: str | None = strawberry.field(default="", description=DESCRIPTION_SAID)


@strawberry.input(description="Which webhook to change, and how. What is left out stays as it is.")
class UpdateWebhookInput:
    webhook_id: strawberry.ID = strawberry.field(description="The webhook.")
    url: str | None = strawberry.field(default=None, description=URL_SAID)
    events: list[WebhookEvent] | None = strawberry.field(default=None, description=EVENTS_SAID)
    description: strawberry.Maybe[str | None] = strawberry.field(description=f"{DESCRIPTION_SAID} Null: none.")
    enabled: bool | None = strawberry.field(
        default=None,
        description="False: nothing is sent and nothing new is kept for it. True: what waits is sent, and what happens"
        " from now on.",
    )


@strawberry.input(description="Which webhook is to get a new secret.")
class RotateWebhookSecretInput:
    webhook_id: strawberry.ID = strawberry.field(description="The webhook.")


@strawberry.input(description="Which webhook to remove.")
class RemoveWebhookInput:
    webhook_id: strawberry.ID = strawberry.field(description="The webhook.")


@strawberry.input(description="Which webhook to send a test to.")
class TestWebhookInput:
    webhook_id: strawberry.ID = strawberry.field(description="The webhook.")


@strawberry.type(description="The new webhook with its secret, or why there is none.")
class AddWebhookPayload:
    webhook: Webhook | None = strawberry.field(default=None, description="The webhook.")
    secret: str | None = strawberry.field(default=None, description=TOLD_ONCE)
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS_SAID)


@strawberry.type(description="The webhook as it is now, or why it was not changed.")
class UpdateWebhookPayload:
    webhook: Webhook | None = strawberry.field(default=None, description="The webhook.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS_SAID)


@strawberry.type(description="The webhook with its new secret: the one before signs nothing any more.")
class RotateWebhookSecretPayload:
    webhook: Webhook | None = strawberry.field(default=None, description="The webhook.")
    secret: str | None = strawberry.field(default=None, description=TOLD_ONCE)
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS_SAID)


@strawberry.type(description="The webhook that was removed, now or before: it is told of nothing any more.")
class RemoveWebhookPayload:
    webhook: Webhook | None = strawberry.field(default=None, description="The webhook as it was.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS_SAID)


@strawberry.type(description="The test, which is sent like everything else: ask for the webhook's deliveries later.")
class TestWebhookPayload:
    webhook: Webhook | None = strawberry.field(default=None, description="The webhook.")
    delivery: WebhookDelivery | None = strawberry.field(default=None, description="The test as it waits to be sent.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=ERRORS_SAID)


AddInput = Annotated[AddWebhookInput, strawberry.argument(description="Which receiver, what of.")]
UpdateInput = Annotated[UpdateWebhookInput, strawberry.argument(description="Which webhook, what to change.")]
RotateInput = Annotated[RotateWebhookSecretInput, strawberry.argument(description="Which webhook.")]
RemoveInput = Annotated[RemoveWebhookInput, strawberry.argument(description="Which webhook.")]
TestInput = Annotated[TestWebhookInput, strawberry.argument(description="Which webhook.")]


@dataclass(frozen=True, slots=True)
class Change:
    """A webhook that is being changed, locked until the transaction ends, and who changes it."""

    conn: Conn
    info: Info
    caller: Caller
    webhook: WebhookRecord

    async def keep(self, webhook: WebhookRecord, action: str, **details: Any) -> Webhook:
        """Write the webhook as it is now; the audit log has what was changed, but no URL, only its host."""
        await stored.update_webhook(self.conn, webhook)
        await audit(self.conn, self.info, self.caller, webhook, action, **details)
        return Webhook.of(webhook)


@answering(AddWebhookPayload, "WEBHOOK_ADDED")
async def add_webhook(info: Info, input: AddInput) -> AddWebhookPayload:  # noqa: A002  # the API's word
    caller, context = await info.context.manager("webhooks:write"), info.context
    events, description = _names(input.events), input.description or ""
    _check(info, url=input.url, events=events, description=description)
    async with context.pool.acquire() as conn, conn.transaction():
        await lock_policy(conn, caller.account_id)  # so that nobody else adds one meanwhile
        if len(await stored.list_webhooks(conn, caller.account_id)) >= MOST_WEBHOOKS:
            message = f"Your account has {MOST_WEBHOOKS} webhooks: remove one, or let one receiver tell the others."
            raise Refused(TooManyWebhooks(message=message, path=[]))
        webhook = await stored.add_webhook(
            conn,
            caller.account_id,
            context.keyring.newest,
            context.now,
            url=input.url,
            events=events,
            description=description,
        )
        await audit(conn, info, caller, webhook, "WEBHOOK_ADDED", host=_host(webhook), events=events)
    return AddWebhookPayload(webhook=Webhook.of(webhook), secret=_secret(info, webhook))


@answering(UpdateWebhookPayload, "WEBHOOK_UPDATED")
async def update_webhook(info: Info, input: UpdateInput) -> UpdateWebhookPayload:  # noqa: A002  # the API's word
    async with changing(info, input.webhook_id) as change:
        before = change.webhook
        after = _changed(before, input, info)
        if after == before:
            return UpdateWebhookPayload(webhook=Webhook.of(before))
        return UpdateWebhookPayload(webhook=await change.keep(after, "WEBHOOK_UPDATED", **_differences(before, after)))


@answering(RotateWebhookSecretPayload, "WEBHOOK_UPDATED")
async def rotate_webhook_secret(info: Info, input: RotateInput) -> RotateWebhookSecretPayload:  # noqa: A002  # the API's word
    async with changing(info, input.webhook_id) as change:
        generation = change.webhook.generation + 1
        renewed = replace(change.webhook, generation=generation, key_id=info.context.keyring.newest)
        typed = await change.keep(renewed, "WEBHOOK_UPDATED", secretGeneration=[generation - 1, generation])
        await hasten_deliveries(change.conn, renewed.account_id, renewed.id, "NO_KEY", info.context.now)
    return RotateWebhookSecretPayload(webhook=typed, secret=_secret(info, renewed))


@answering(RemoveWebhookPayload, "WEBHOOK_REMOVED")
async def remove_webhook(info: Info, input: RemoveInput) -> RemoveWebhookPayload:  # noqa: A002  # the API's word
    async with changing(info, input.webhook_id, removed=True) as change:
        webhook, now = change.webhook, info.context.now
        if webhook.removed_at:
            return RemoveWebhookPayload(webhook=Webhook.of(webhook))
        ended = replace(webhook, removed_at=now, disabled_at=webhook.disabled_at or now)
        return RemoveWebhookPayload(webhook=await change.keep(ended, "WEBHOOK_REMOVED", host=_host(webhook)))


@answering(TestWebhookPayload, "WEBHOOK_TESTED")
async def test_webhook(info: Info, input: TestInput) -> TestWebhookPayload:  # noqa: A002  # the API's word
    async with changing(info, input.webhook_id) as change:
        webhook = change.webhook
        if webhook.disabled_at:
            message = "The webhook is disabled: enable it with `updateWebhook`, then test it."
            raise Refused(WebhookDisabled(message=message, path=["webhookId"]))
        delivery = await add_delivery(change.conn, webhook.account_id, webhook.id, TEST, info.context.now)
    return TestWebhookPayload(webhook=Webhook.of(webhook), delivery=WebhookDelivery.of(delivery))


@asynccontextmanager
async def changing(info: Info, node_id: str, *, removed: bool = False) -> AsyncIterator[Change]:
    """A transaction on a webhook of the account. One that was removed can only be `removed` again."""
    caller, webhook_id = await info.context.manager("webhooks:write"), node_uuid(node_id, "Webhook")
    async with info.context.pool.acquire() as conn, conn.transaction():
        webhook = await stored.lock_webhook(conn, caller.account_id, webhook_id) if webhook_id else None
        if webhook is None or (webhook.removed_at and not removed):
            message = "There is no such webhook in your account: use an id that `webhooks` gave you."
            raise Refused(WebhookNotFound(message=message, path=["webhookId"]))
        yield Change(conn, info, caller, webhook)


async def audit(conn: Conn, info: Info, caller: Caller, webhook: WebhookRecord, action: str, **details: Any) -> None:
    await add_audit_entries(
        conn, caller.account_id, action, [webhook.id], actor=caller.actor, now=info.context.now, details=details
    )


def _changed(webhook: WebhookRecord, wanted: UpdateWebhookInput, info: Info) -> WebhookRecord:
    events = None if wanted.events is None else _names(wanted.events)
    description = wanted.description.value or "" if wanted.description else None
    _check(info, url=wanted.url, events=events, description=description)
    disabled_at = webhook.disabled_at
    if wanted.enabled is not None:
        disabled_at = None if wanted.enabled else disabled_at or info.context.now
    return replace(
        webhook,
        url=webhook.url if wanted.url is None else wanted.url,
        events=webhook.events if events is None else events,
        description=webhook.description if description is None else description,
        disabled_at=disabled_at,
    )


def _check(info: Info, *, url: str | None, events: Sequence[str] | None, description: str | None) -> None:
    """Refuse what is wrong with what is given."""
    errors: list[UserError] = []
    if url is not None and (message := url_error(url, info.context.webhook_networks)):
        errors.append(ValueInvalid(message=message, path=["url"]))
    if events is not None and (not events or TEST in events):
        message = "Name one event at least, and not WEBHOOK_TEST: to test a webhook call `testWebhook`."
        errors.append(ValueInvalid(message=message, path=["events"]))
    if description and (error := text_error(description, LONGEST_DESCRIPTION, "description")):
        errors.append(error)
    if errors:
        raise Refused(*errors)


def _differences(before: WebhookRecord, after: WebhookRecord) -> dict[str, list[Any]]:
    """What it was and is. Of a URL that changed the host stands for it, the same one perhaps."""
    pairs: dict[str, tuple[Any, Any]] = {
        "events": (list(before.events), list(after.events)),
        "description": (before.description, after.description),
        "enabled": (before.disabled_at is None, after.disabled_at is None),
    }
    changed = {name: [was, is_] for name, (was, is_) in pairs.items() if was != is_}
    return changed | ({"host": [_host(before), _host(after)]} if after.url != before.url else {})


def _names(events: Sequence[WebhookEvent]) -> list[str]:
    """The events in the order of the schema, each once."""
    return [str(event.value) for event in WebhookEvent if event in events]


def _host(webhook: WebhookRecord) -> str | None:
    return URL(webhook.url).host


def _secret(info: Info, webhook: WebhookRecord) -> str:
    secret = info.context.keyring.webhook_secret(webhook.key_id, webhook.account_id, webhook.id, webhook.generation)
    return secret_text(secret)
