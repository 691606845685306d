"""The account's policy: what its users' links may do."""

from dataclasses import asdict, replace
from typing import Annotated, Any

import strawberry
from strawberry.utils.str_converters import to_camel_case

from api.context import Context, Info
from api.errors import Refused, UserError, ValueInvalid
from api.links.options import ActivityType, FeedDetail
from api.refusals import answering
from db.accounts import PolicyRecord, get_policy, lock_policy, update_policy
from db.audit import add_audit_entries
from feed.options import WORDS

MOST_LINKS, LONGEST_DAYS = 1_000, 36_500
ENABLED = "Whether calendar feeds are switched on; off, every link is dead, and works again once they are on."
MOST = "How many links each user may have, default links too; null: as many as the service allows."
LONGEST = "For how many days a URL serves before its user has to reset the link; null: for ever."
DETAIL = "The level of detail of every link, whatever its options say; null: as the options say."
TYPES = "The types of activities that links may show; null: all."
PAUSES = "Whether a link is paused as soon as its alarm is raised."


@strawberry.type(description="What the links of an account's users may do. It holds from the next poll on.")
class FeedPolicy:
    enabled: bool = strawberry.field(description=ENABLED)
    most_links: int | None = strawberry.field(description=MOST)
    longest_days: int | None = strawberry.field(description=LONGEST)
    forced_detail: FeedDetail | None = strawberry.field(description=DETAIL)
    allowed_types: list[ActivityType] | None = strawberry.field(description=TYPES)
    pauses_alarmed: bool = strawberry.field(description=PAUSES)
    links_per_user: int = strawberry.field(
        description="How many links each user may have: by the policy or by the service, whichever is less."
    )

    @classmethod
    def of(cls, policy: PolicyRecord, context: Context) -> "FeedPolicy":
        types = policy.allowed_types
        return cls(
            enabled=policy.feeds_disabled_at is None,
            most_links=policy.most_links,
            longest_days=policy.longest_days,
            forced_detail=FeedDetail(policy.forced_detail) if policy.forced_detail else None,
            allowed_types=None if types is None else [ActivityType(kind) for kind in types],
            pauses_alarmed=policy.pauses_alarmed,
            links_per_user=context.most_links(policy),
        )


def _chosen(description: str) -> Any:
    return strawberry.field(default=strawberry.UNSET, description=description)


@strawberry.input(description="What is to change in the account's policy. What is left out stays as it is.")
class UpdateFeedPolicyInput:
    enabled: bool | None = _chosen(f"{ENABLED} Null: on.")
    most_links: int | None = _chosen(f"{MOST} At most {MOST_LINKS}.")
    longest_days: int | None = _chosen(f"{LONGEST} At most {LONGEST_DAYS}.")
    forced_detail: FeedDetail | None = _chosen(DETAIL)
    allowed_types: list[ActivityType] | None = _chosen(TYPES)
    pauses_alarmed: bool | None = _chosen(f"{PAUSES} Null: no.")


@strawberry.type(description="The policy as it is now, or why it was not changed.")
class UpdateFeedPolicyPayload:
    policy: FeedPolicy | None = strawberry.field(default=None, description="The account's policy.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend; then nothing was changed."
    )


UpdateInput = Annotated[UpdateFeedPolicyInput, strawberry.argument(description="What to change.")]


async def feed_policy(info: Info) -> FeedPolicy:
    caller = await info.context.caller()
    async with info.context.pool.acquire() as conn:
        return FeedPolicy.of(await get_policy(conn, caller.account_id), info.context)


@answering(UpdateFeedPolicyPayload, "POLICY_UPDATED")
async def update_feed_policy(info: Info, input: UpdateInput) -> UpdateFeedPolicyPayload:  # noqa: A002  # the API's word
    caller, now = await info.context.manager("policy:write"), info.context.now
    if errors := list(_mistakes(input)):
        raise Refused(*errors)
    async with info.context.pool.acquire() as conn, conn.transaction():
        before = await lock_policy(conn, caller.account_id)
        after = _changed(before, input, info)
        if after != before:
            await update_policy(conn, caller.account_id, after)
            await add_audit_entries(
                conn,
                caller.account_id,
                "POLICY_UPDATED",
                [caller.account_id],
                actor=caller.actor,
                now=now,
                details=_differences(before, after),
            )
    return UpdateFeedPolicyPayload(policy=FeedPolicy.of(after, info.context))


def _mistakes(wanted: UpdateFeedPolicyInput) -> list[UserError]:
    numbers = {
        "mostLinks": (wanted.most_links, 0, MOST_LINKS),
        "longestDays": (wanted.longest_days, 1, LONGEST_DAYS),
    }
    errors: list[UserError] = [
        ValueInvalid(message=f"Give a number from {least} to {most}.", path=[name])
        for name, (value, least, most) in numbers.items()
        if isinstance(value, int) and not least <= value <= most
    ]
    types = wanted.allowed_types
    if isinstance(types, list) and (not types or ActivityType.NOTE in types):
        message = "Name at least one of MEETING, CALL and TASK; to show nothing, switch the feeds off."
        errors.append(ValueInvalid(message=message, path=["allowedTypes"]))
    return errors


def _changed(policy: PolicyRecord, wanted: UpdateFeedPolicyInput, info: Info) -> PolicyRecord:
    set_: dict[str, Any] = {name: value for name, value in vars(wanted).items() if value is not strawberry.UNSET}
    if "enabled" in set_:
        enabled = set_.pop("enabled")
        set_["feeds_disabled_at"] = policy.feeds_disabled_at or info.context.now if enabled is False else None
    if set_.get("forced_detail"):
        set_["forced_detail"] = set_["forced_detail"].value
    if set_.get("allowed_types"):
        set_["allowed_types"] = [
            kind for kind in WORDS["activity_types"] if ActivityType(kind) in set_["allowed_types"]
        ]
    if "pauses_alarmed" in set_:
        set_["pauses_alarmed"] = bool(set_["pauses_alarmed"])
    return replace(policy, **set_)


def _differences(before: PolicyRecord, after: PolicyRecord) -> dict[str, Any]:
    """What it was and is, as JSON has it: {"mostLinks": [null, 5]}."""
    old, new = asdict(before), asdict(after)
    changed = [name for name in old if old[name] != new[name]]
    return {to_camel_case(name): [_json(old[name]), _json(new[name])] for name in changed}


def _json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
