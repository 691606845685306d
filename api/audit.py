"""The audit log as administrators read it: `auditLog`."""

from datetime import datetime
from enum import Enum
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import relay
from strawberry.scalars import JSON

from api.context import Info
from api.errors import InvalidArgument
from api.nodes import After, First, connection, cursor_moment, moment_of, named_uuid, page_size
from api.refusals import noting_refusal
from db.audit import AuditFilter, AuditRecord, page_audit_log


@strawberry.enum(description="What was done, or refused.")
class AuditAction(Enum):
    LINK_GENERATED = strawberry.enum_value("LINK_GENERATED", description="A link was generated.")
    LINK_UPDATED = strawberry.enum_value("LINK_UPDATED", description="A link's name, options or expiry were changed.")
    LINK_RESET = strawberry.enum_value("LINK_RESET", description="A link got a new URL.")
    LINK_PAUSED = strawberry.enum_value("LINK_PAUSED", description="A link was paused.")
    LINK_RESUMED = strawberry.enum_value("LINK_RESUMED", description="A link was resumed, or its alarm cleared.")
    LINK_REVOKED = strawberry.enum_value("LINK_REVOKED", description="A link was ended for good.")
    LINK_LIMITED = strawberry.enum_value("LINK_LIMITED", description="A link got an earlier end.")
    LINK_ALARMED = strawberry.enum_value("LINK_ALARMED", description="A link's alarm was raised.")
    FEED_PREVIEWED = strawberry.enum_value(
        "FEED_PREVIEWED", description="A preview of somebody else's feed was asked for: refusals only."
    )
    LINKS_LISTED = strawberry.enum_value(
        "LINKS_LISTED", description="The links of others were asked for: refusals only."
    )
    ACTIVITIES_LISTED = strawberry.enum_value(
        "ACTIVITIES_LISTED", description="Activities of a calendar were asked for: refusals only."
    )
    ACTIVITIES_WRITTEN = strawberry.enum_value(
        "ACTIVITIES_WRITTEN", description="Activities were to be written or deleted: refusals only."
    )
    POLICY_UPDATED = strawberry.enum_value("POLICY_UPDATED", description="The account's policy was changed.")
    API_CALLED = strawberry.enum_value(
        "API_CALLED",
        description="A deactivated user or a key that has ended called, or a key for a user for whom it cannot act:"
        " refusals only, one an hour.",
    )
    AUDIT_LOG_READ = strawberry.enum_value("AUDIT_LOG_READ", description="This log was asked for: refusals only.")
    KEY_ADDED = strawberry.enum_value("KEY_ADDED", description="An API key was added.")
    KEYS_LISTED = strawberry.enum_value("KEYS_LISTED", description="The API keys were asked for: refusals only.")
    KEY_REVOKED = strawberry.enum_value("KEY_REVOKED", description="An API key was revoked.")
    USERS_LISTED = strawberry.enum_value("USERS_LISTED", description="The users were asked for: refusals only.")
    USER_ADDED = strawberry.enum_value("USER_ADDED", description="A user was added; or writing users was refused.")
    CALENDARS_LISTED = strawberry.enum_value(
        "CALENDARS_LISTED", description="The calendars were asked for: refusals only."
    )
    CALENDAR_ADDED = strawberry.enum_value(
        "CALENDAR_ADDED", description="A calendar was added; or writing calendars was refused."
    )
    WEBHOOK_ADDED = strawberry.enum_value("WEBHOOK_ADDED", description="A webhook was added.")
    WEBHOOK_UPDATED = strawberry.enum_value("WEBHOOK_UPDATED", description="A webhook was changed, or its secret.")
    WEBHOOK_DISABLED = strawberry.enum_value(
        "WEBHOOK_DISABLED",
        description="A webhook was disabled by the service: its receiver failed for days, or is gone.",
    )
    WEBHOOK_REMOVED = strawberry.enum_value("WEBHOOK_REMOVED", description="A webhook was removed.")
    WEBHOOK_TESTED = strawberry.enum_value("WEBHOOK_TESTED", description="A test was sent to a webhook: refusals only.")
    WEBHOOKS_LISTED = strawberry.enum_value(
        "WEBHOOKS_LISTED", description="The account's webhooks were asked for: refusals only."
    )
    ACCESS_GRANTED = strawberry.enum_value("ACCESS_GRANTED", description="A user may see a calendar.")
    ACCESS_WITHDRAWN = strawberry.enum_value("ACCESS_WITHDRAWN", description="A user may no longer see a calendar.")
    USER_DEACTIVATED = strawberry.enum_value("USER_DEACTIVATED", description="A user was deactivated.")
    USER_DELETED = strawberry.enum_value("USER_DELETED", description="A user was deleted.")
    USER_PROVISIONED = strawberry.enum_value(
        "USER_PROVISIONED", description="A user whom the identity provider knows was added at their first call."
    )
    USER_REACTIVATED = strawberry.enum_value("USER_REACTIVATED", description="A user was activated again.")
    ADMINISTRATOR_APPOINTED = strawberry.enum_value("ADMINISTRATOR_APPOINTED", description="A user may manage others.")
    ADMINISTRATOR_REMOVED = strawberry.enum_value("ADMINISTRATOR_REMOVED", description="A user may not manage others.")
    CALENDAR_DELETED = strawberry.enum_value("CALENDAR_DELETED", description="A calendar was deleted.")
    CALENDAR_RESTORED = strawberry.enum_value("CALENDAR_RESTORED", description="A deleted calendar is there again.")
    ACCOUNT_SUSPENDED = strawberry.enum_value("ACCOUNT_SUSPENDED", description="The account was suspended.")
    ACCOUNT_RESUMED = strawberry.enum_value("ACCOUNT_RESUMED", description="The account is no longer suspended.")
    OTHER = strawberry.enum_value("OTHER", description="Something that this release has no word for.")


@strawberry.enum(description="Who did it.")
class AuditActorType(Enum):
    USER = strawberry.enum_value("USER", description="A user of the account.")
    KEY = strawberry.enum_value("KEY", description="An integrator's API key.")
    OPERATOR = strawberry.enum_value("OPERATOR", description="Whoever runs the service, by command or in the database.")
    SERVICE = strawberry.enum_value("SERVICE", description="The service by itself.")


@strawberry.enum(description="Whether it was done.")
class AuditOutcome(Enum):
    DONE = strawberry.enum_value("DONE", description="It was done.")
    REFUSED = strawberry.enum_value("REFUSED", description="It was refused, and nothing was changed.")


SUBJECTS = {
    "LINK": "FeedLink",
    "KEY": "ApiKey",
    "WEBHOOK": "Webhook",
    "CALENDAR": "Calendar",
    "POLICY": "Account",
    "ACCOUNT": "Account",
}
ACTORS = {"USER": "User", "KEY": "ApiKey"}


@strawberry.type(description="An entry of the audit log. It never holds a URL, a token or a key.")
class AuditEntry(relay.Node):
    id: relay.NodeID[str]
    at: datetime = strawberry.field(description="When it happened.")
    action: AuditAction = strawberry.field(description="What was done, or refused.")
    outcome: AuditOutcome = strawberry.field(description="Whether it was done.")
    actor_type: AuditActorType = strawberry.field(description="Who did it: a user, a key, an operator, the service.")
    actor_id: strawberry.ID | None = strawberry.field(description="The user or the key.")
    subject_id: strawberry.ID | None = strawberry.field(
        description="What it was done to: the link, the key, the webhook, the user whose rights changed, the account of"
        " a policy."
    )
    network: str | None = strawberry.field(description="Where the caller was, as a network: the address is not kept.")
    details: JSON = strawberry.field(description="What else there is to say, such as the values before and after.")
    record: strawberry.Private[AuditRecord]

    @strawberry.field(description="The name of the user or the key, as it is today.")
    async def actor_name(self, info: Info) -> str | None:
        return await info.context.actor_names.load(self.record.actor_id) if self.record.actor_id else None

    @classmethod
    def of(cls, entry: AuditRecord) -> "AuditEntry":
        is_refused_ask = entry.outcome == "REFUSED"
        subject_type = SUBJECTS.get(entry.action.partition("_")[0], "User")
        shown = entry.subject_id is not None and not is_refused_ask  # an id that was asked for stands in the details
        return cls(
            id=str(entry.id),
            at=entry.at,
            action=AuditAction(entry.action) if entry.action in AuditAction.__members__ else AuditAction.OTHER,
            outcome=AuditOutcome(entry.outcome),
            actor_type=AuditActorType(entry.actor_type),
            actor_id=_node_id(ACTORS.get(entry.actor_type), entry.actor_id),
            subject_id=_node_id(subject_type, entry.subject_id) if shown else None,
            network=str(entry.network) if entry.network else None,
            details=JSON(entry.details),
            record=entry,
        )


@strawberry.input(description="Which entries. All that is named must fit.")
class AuditLogFilter:
    actions: list[AuditAction] | None = strawberry.field(default=None, description="Only these actions.")
    outcome: AuditOutcome | None = strawberry.field(default=None, description="Only what was done, or was refused.")
    actor_id: strawberry.ID | None = strawberry.field(default=None, description="Only what this user or key did.")
    subject_id: strawberry.ID | None = strawberry.field(default=None, description="Only what was done to this.")
    since: datetime | None = strawberry.field(default=None, description="Only from this moment on.")
    until: datetime | None = strawberry.field(default=None, description="Only before this moment.")

    def record(self) -> AuditFilter:
        return AuditFilter(
            actions=None if self.actions is None else [action.name for action in self.actions],
            outcome=self.outcome and ("DONE" if self.outcome is AuditOutcome.DONE else "REFUSED"),
            actor_id=_filter_id("actorId", self.actor_id),
            subject_id=_filter_id("subjectId", self.subject_id),
            since=self.since,
            until=self.until,
        )


Where = Annotated[AuditLogFilter | None, strawberry.argument(description="Which entries; left out: all.")]


async def audit_log(
    info: Info, where: Where = None, first: First = None, after: After = None
) -> relay.Connection[AuditEntry]:
    async with noting_refusal(info, "AUDIT_LOG_READ"):
        caller = await info.context.manager("audit:read")
    size, wanted = page_size(first), where.record() if where else AuditFilter()
    async with info.context.pool.acquire() as conn:
        rows = await page_audit_log(conn, caller.account_id, wanted, size + 1, cursor_moment(after))
    page: relay.Connection[AuditEntry] = connection(rows, size, AuditEntry.of, _place, after=after is not None)
    return page


def _place(entry: AuditRecord) -> str:
    return moment_of(entry.at, entry)


def _node_id(type_name: str | None, id_: UUID | None) -> strawberry.ID | None:
    return strawberry.ID(relay.to_base64(type_name, str(id_))) if type_name and id_ else None


def _filter_id(name: str, node_id: str | None) -> UUID | None:
    if node_id is None:
        return None
    named = named_uuid(node_id)
    if named is None:
        raise InvalidArgument(f"where.{name}: give an id that the API gave you.")
    return named[1]
