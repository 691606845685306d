"""What is left of a link's own choices under the policy of its account."""

from dataclasses import replace
from datetime import datetime, timedelta

from db.accounts import PolicyRecord
from feed.options import FeedOptions


def expiry(policy: PolicyRecord, made_at: datetime, expires_at: datetime | None) -> datetime | None:
    """When a URL made then ends by itself, chosen or by the policy, whichever is first; None: never."""
    ends = [expires_at] if expires_at else []
    if policy.longest_days:
        ends.append(made_at + timedelta(days=policy.longest_days))
    return min(ends, default=None)


def allowed_options(policy: PolicyRecord, options: FeedOptions) -> FeedOptions:
    """The options as feeds follow them: with the detail that is forced, and no type that is not allowed."""
    detail = options.detail if policy.forced_detail is None else policy.forced_detail
    types = options.activity_types
    if policy.allowed_types is not None:
        types = tuple(kind for kind in types if kind in policy.allowed_types)
    return replace(options, detail=detail, activity_types=types)
