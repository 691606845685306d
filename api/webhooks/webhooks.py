"""Webhooks as the schema says them: who is told of what, and what became of it."""

from datetime import datetime
from enum import Enum

import strawberry
from strawberry import relay

from api.context import Info
from api.nodes import After, First, connection, cursor_moment, moment_of, page_size
from api.refusals import noting_refusal
from db.deliveries import DeliveryPage, DeliveryRecord
from db.webhooks import WebhookRecord, list_webhooks


@strawberry.enum(description="What webhooks are told of.")
class WebhookEvent(Enum):
    LINK_GENERATED = strawberry.enum_value("link.generated", description="A link was generated.")
    LINK_RESET = strawberry.enum_value("link.reset", description="A link got a new URL.")
    LINK_REVOKED = strawberry.enum_value("link.revoked", description="A link was ended for good.")
    CLIENT_FIRST_POLLED = strawberry.enum_value(
        "client.first_polled", description="A calendar program was given a link's calendar for the first time."
    )
    CLIENT_STALE = strawberry.enum_value(
        "client.stale", description="A calendar program that polled a link has stopped, as far as can be seen."
    )
    WEBHOOK_TEST = strawberry.enum_value(
        "webhook.test", description="`testWebhook` was called: sent to the webhook that it named, whatever its events."
    )


@strawberry.enum(description="Why an attempt to deliver failed.")
class WebhookError(Enum):
    STATUS = strawberry.enum_value("STATUS", description="The status of the answer was none from 200 to 299.")
    TIMEOUT = strawberry.enum_value("TIMEOUT", description="There was no answer within ten seconds.")
    UNREACHABLE = strawberry.enum_value(
        "UNREACHABLE", description="There was no connection, or it broke: the name is unknown, or nobody listens."
    )
    TLS = strawberry.enum_value("TLS", description="The receiver's certificate is not valid for its name and time.")
    ADDRESS_FORBIDDEN = strawberry.enum_value(
        "ADDRESS_FORBIDDEN", description="The name stands for an address that webhooks are not sent to: a private one."
    )
    NO_KEY = strawberry.enum_value(
        "NO_KEY",
        description="The key that the secret was made with is no longer in use: nothing is sent until"
        " `rotateWebhookSecret` makes a new one.",
    )


@strawberry.type(description="Something that a webhook is told of, and how far that has come.")
class WebhookDelivery(relay.Node):
    id: relay.NodeID[str]
    event: WebhookEvent = strawberry.field(description="What it is about.")
    created_at: datetime = strawberry.field(description="When it happened.")
    attempts: int = strawberry.field(description="How often it was sent, with the attempt that is under way.")
    next_attempt_at: datetime | None = strawberry.field(
        description="When it is sent, unless the webhook is disabled by then; null: it was delivered, or given up."
    )
    delivered_at: datetime | None = strawberry.field(description="When its receiver took it; null: not yet, or never.")
    last_status: int | None = strawberry.field(
        description="The HTTP status of the answer to the last attempt; null: there was none."
    )
    last_error: WebhookError | None = strawberry.field(
        description="Why the last attempt failed; null: it did not, or there was none."
    )

    @classmethod
    def of(cls, delivery: DeliveryRecord) -> "WebhookDelivery":
        return cls(
            id=str(delivery.id),
            event=WebhookEvent(delivery.event),
            created_at=delivery.created_at,
            attempts=delivery.attempts,
            next_attempt_at=delivery.next_attempt_at,
            delivered_at=delivery.delivered_at,
            last_status=delivery.last_status,
            last_error=WebhookError(delivery.last_error) if delivery.last_error else None,
        )


@strawberry.type(description="A receiver that is told what happens in the account, signed by a secret of its own.")
class Webhook(relay.Node):
    id: relay.NodeID[str]
    url: str = strawberry.field(description="Where deliveries are sent, by POST.")
    events: list[WebhookEvent] = strawberry.field(description="What it is told of.")
    description: str = strawberry.field(description='What it is for; "" if nobody said.')
    created_at: datetime = strawberry.field(description="When it was added.")
    disabled_at: datetime | None = strawberry.field(
        description="Since when nothing is sent to it: somebody disabled it, its receiver was gone (410) or failed for"
        " days. Null: it is enabled."
    )
    record: strawberry.Private[WebhookRecord]

    @strawberry.field(description="What was sent to it, or is to be, in the last 30 days; the latest first.")
    async def deliveries(
        self, info: Info, first: First = None, after: After = None
    ) -> relay.Connection[WebhookDelivery]:
        size = page_size(first)
        rows = await info.context.deliveries.load(DeliveryPage(self.record.id, size + 1, cursor_moment(after)))
        page: relay.Connection[WebhookDelivery] = connection(
            rows, size, WebhookDelivery.of, _place, after=after is not None
        )
        return page

    @classmethod
    def of(cls, webhook: WebhookRecord) -> "Webhook":
        return cls(
            id=str(webhook.id),
            url=webhook.url,
            events=[WebhookEvent(event) for event in webhook.events],
            description=webhook.description,
            created_at=webhook.created_at,
            disabled_at=webhook.disabled_at,
            record=webhook,
        )


async def webhooks(info: Info) -> list[Webhook]:
    async with noting_refusal(info, "WEBHOOKS_LISTED"):
        caller = await info.context.manager("webhooks:read")
    async with info.context.pool.acquire() as conn:
        return [Webhook.of(webhook) for webhook in await list_webhooks(conn, caller.account_id)]


def _place(delivery: DeliveryRecord) -> str:
    return moment_of(delivery.created_at, delivery)
