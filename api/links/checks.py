"""What the inputs of links may say: each check raises `Refused` with what to mend."""

import unicodedata
from datetime import datetime, timedelta

from api.errors import (
    CalendarNotFound,
    ExpiryInvalid,
    ForbiddenByPolicy,
    LinkNameInvalid,
    Refused,
    UserError,
    UserNotFound,
    ValueInvalid,
)
from api.links.inputs import LONGEST_GRACE_HOURS, LONGEST_REQUEST_ID
from api.links.options import FeedOptionsInput
from db.accounts import PolicyRecord
from feed.options import DEFAULTS
from feed.policy import allowed_options

LONGEST_NAME = 100


def check_name(name: str) -> None:
    if len(name) > LONGEST_NAME or any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        message = f"Give the link a name of at most {LONGEST_NAME} characters, without line breaks."
        raise Refused(LinkNameInvalid(message=message, path=["name"]))


def check_request(grace_hours: int | None, request_id: str | None) -> None:
    if not 0 <= (grace_hours or 0) <= LONGEST_GRACE_HOURS:
        message = f"Give a number from 0 to {LONGEST_GRACE_HOURS}."
        raise Refused(ValueInvalid(message=message, path=["graceHours"]))
    if request_id is not None and not (0 < len(request_id) <= LONGEST_REQUEST_ID and request_id.isprintable()):
        message = f"Give a text of 1 to {LONGEST_REQUEST_ID} printable characters, such as a UUID."
        raise Refused(ValueInvalid(message=message, path=["requestId"]))


def checked_expiry(
    policy: PolicyRecord, made_at: datetime, expires_at: datetime | None, now: datetime
) -> datetime | None:
    """The moment, if a URL made then may end at it."""
    if expires_at is None:
        return None
    latest = policy.longest_days and made_at + timedelta(days=policy.longest_days)
    if expires_at <= now:
        raise Refused(ExpiryInvalid(message="Name a moment in the future.", path=["expiresAt"]))
    if latest and expires_at > latest:
        message = f"Your account allows links {policy.longest_days} days: name a moment until {latest:%Y-%m-%dT%H:%MZ}."
        raise Refused(ForbiddenByPolicy(message=message, path=["expiresAt"]))
    return expires_at


def check_options(wanted: FeedOptionsInput | None, policy: PolicyRecord) -> None:
    """Refuse options that nobody can have, and those that the account's policy would override."""
    if not wanted:
        return
    if errors := wanted.errors():
        raise Refused(*errors)
    chosen = wanted.applied_to(DEFAULTS)
    allowed, errors = allowed_options(policy, chosen), list[UserError]()
    if wanted.detail and chosen.detail != allowed.detail:
        message = f"Your account allows only {allowed.detail}."
        errors.append(ForbiddenByPolicy(message=message, path=["options", "detail"]))
    if wanted.activity_types and chosen.activity_types != allowed.activity_types:
        message = f"Your account allows only {', '.join(policy.allowed_types or ())}."
        errors.append(ForbiddenByPolicy(message=message, path=["options", "activityTypes"]))
    if errors:
        raise Refused(*errors)


def calendar_not_found(*path: str) -> UserError:
    message = "There is no such calendar among yours: use an id that `calendarFeeds` gave you."
    return CalendarNotFound(message=message, path=list(path))


def user_not_found(*path: str) -> UserError:
    message = "There is no such user in your account: use an id that the API gave you."
    return UserNotFound(message=message, path=list(path))
