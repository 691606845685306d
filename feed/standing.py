"""Where a link stands: whether it opens its feed to a token at a moment, and in which version."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime

from db.gate import Gate
from feed.feeds import DAY, SECOND, Feed
from feed.policy import expiry
from feed.room import FeedLimits
from feed.style import FORMAT, ZONES
from feed.tokens import FeedToken

MICROSECOND = timedelta(microseconds=1)
GZIPPED = "-gzip"  # after the tag of what is not compressed
SETTLED = timedelta(minutes=1)  # longer than a write should take from its first change to its commit


@dataclass(frozen=True, slots=True)
class Standing:
    """An open feed's version. It holds until that moment, as long as the link has the same stamp."""

    stamp: bytes
    until: datetime
    tag: str
    etags: tuple[str, str]  # of its body as it is, and of its body by gzip
    changed_at: datetime
    modified: str  # Last-Modified


def standing(token: FeedToken, gate: Gate, feed: Feed, limits: FeedLimits, now: datetime) -> Standing:
    """Where the link stands, which is open at that moment, with the feed that it then shows."""
    modified = format_datetime(last_modified(feed.changed_at, now), usegmt=True)
    until = min(when for when in _turns(token, gate, feed, now) if when > now)
    tag = version_tag(gate, feed, limits)
    return Standing(gate.stamp, until, tag, (f'"{tag}"', f'"{tag}{GZIPPED}"'), feed.changed_at, modified)


def _turns(token: FeedToken, gate: Gate, feed: Feed, now: datetime) -> list[datetime]:
    """The moments at which an open feed may end, or have another version, though nothing is written."""
    window = feed.style.window
    turns = [window.midnight(window.today + DAY), _whole_second(feed.changed_at) + SETTLED]
    if feed.changed_at > now:
        turns.append(now + SECOND)  # Last-Modified goes with the clock
    turns += filter(None, [expiry(gate.policy, gate.made_at, gate.expires_at), _grace_until(token, gate)])
    return turns


def is_current(token: FeedToken, gate: Gate, now: datetime) -> bool:
    """Whether the link had this generation, and, if that serves, was on the key that signed it.

    Without this, whoever holds an old key of the ring could sign tokens of links that have moved to a newer one.
    """
    if token.generation == gate.generation:
        return token.key_id == gate.key_id
    if _in_grace(token, gate, now):
        return token.key_id == gate.grace_key_id
    return 1 <= token.generation < gate.generation


def ended_at(token: FeedToken, gate: Gate, now: datetime) -> datetime | None:
    """Since when this token opens nothing any more; None while it does, or does so again once its link is resumed.

    Only an expiry and a grace lie in the future: what else was written ends the link at once, whatever the clock of its
    writer.
    """
    ends = [gate.revoked_at, gate.deactivated_at, gate.suspended_at, gate.policy.feeds_disabled_at]
    ends.append(_expired_at(gate, now))
    if token.generation < gate.generation and not _in_grace(token, gate, now):
        ends.append(_grace_until(token, gate) or gate.reset_at)
    if gate.calendar_id and not gate.calendar_ids:
        ends.append(gate.lost_at or gate.user_changed_at)
    return min(filter(None, ends), default=None)


def _expired_at(gate: Gate, now: datetime) -> datetime | None:
    """When the URL's time was over. A lifetime that the policy sets ends none before it was set: all see the notice."""
    expires_at = expiry(gate.policy, gate.made_at, gate.expires_at)
    if expires_at is None or expires_at > now:
        return None
    return expires_at if expires_at == gate.expires_at else max(expires_at, gate.account_changed_at or expires_at)


def version_tag(gate: Gate, feed: Feed, limits: FeedLimits) -> str:
    """Changes with everything that the body is made of: link, user, account, the day, and the calendars' versions.

    A version's time stands beside its number: a database that was restored gives the same number to other content.
    """
    changed = (gate.link_changed_at, gate.user_changed_at, gate.account_changed_at)
    content = (FORMAT, ZONES, changed, feed.style.window.today, limits)
    calendars = (gate.calendar_ids, gate.calendar_versions, gate.calendar_times)
    return hashlib.sha256(repr((gate.link_id, content, calendars)).encode()).hexdigest()[:32]


def last_modified(changed_at: datetime, now: datetime) -> datetime:
    """The whole second that ends with or after the change once that has settled, before then one before the change.

    A change becomes visible when it is committed, which is later than its time: a poll may see a later change of
    another calendar first. So a date is given that no later poll can match until every write of that time is done.
    """
    second = _whole_second(changed_at)
    return second if second + SETTLED <= now else min(second - SECOND, now.replace(microsecond=0))


def _whole_second(moment: datetime) -> datetime:
    """That second, or the next one."""
    return (moment - MICROSECOND).replace(microsecond=0) + SECOND


def _grace_until(token: FeedToken, gate: Gate) -> datetime | None:
    """Until when the token's generation serves though a reset has ended it; None: there was no grace, or it is over
    with another reset.
    """
    return gate.grace_until if token.generation == gate.generation - 1 == gate.grace_generation else None


def _in_grace(token: FeedToken, gate: Gate, now: datetime) -> bool:
    until = _grace_until(token, gate)
    return until is not None and now < until
