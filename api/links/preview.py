"""What a subscriber of a feed gets, and why other activities of its calendars are left out."""

from collections import Counter
from datetime import date, datetime
from enum import Enum

import strawberry
from strawberry.relay import to_base64

from api.context import Context
from api.errors import InvalidArgument
from api.links.options import ActivityType
from db.activities import ActivityRecord, list_activities
from feed.assembly import NothingRenderedError, assemble, description, whole_calendar
from feed.body import Component, FeedContent, FeedRows, current_content, read_rows
from feed.feeds import Feed
from feed.render import has_time, time_span
from feed.room import FeedLimits
from feed.text import clean, shortened
from feed.wording import LONGEST_LINE, title

MOST = 1_000


@strawberry.enum(description="Why an activity is not in a feed.")
class LeftOutReason(Enum):
    NO_TIME = strawberry.enum_value("NO_TIME", description="It has no time, so no place in a calendar.")
    NOTE = strawberry.enum_value("NOTE", description="It is a note.")
    TYPE_NOT_CHOSEN = strawberry.enum_value("TYPE_NOT_CHOSEN", description="The link does not show its type.")
    COMPLETED = strawberry.enum_value("COMPLETED", description="The link leaves completed tasks out.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="The link leaves out what is cancelled.")
    PRIVATE = strawberry.enum_value("PRIVATE", description="It is somebody else's private one, and keeps nobody busy.")
    OUTSIDE_WINDOW = strawberry.enum_value(
        "OUTSIDE_WINDOW", description="It lies before or after the days that the link shows."
    )
    OVER_CAP = strawberry.enum_value("OVER_CAP", description="The feed is full: the far past is left out first.")
    CANNOT_BE_RENDERED = strawberry.enum_value(
        "CANNOT_BE_RENDERED", description="Its data cannot be made into a calendar entry; it is named in the log."
    )


@strawberry.type(description="An activity as a subscriber gets it.")
class PreviewedActivity:
    activity_id: strawberry.ID | None = strawberry.field(
        description="The activity; null if it is somebody's private one."
    )
    type: ActivityType = strawberry.field(description="What it is.")
    title: str = strawberry.field(description="The title that calendar programs show.")
    starts_at: datetime | None = strawberry.field(description="When it begins; of a series its first occurrence.")
    ends_at: datetime | None = strawberry.field(description="When it ends.")
    starts_on: date | None = strawberry.field(description="Of what lasts whole days, the first day.")
    ends_on: date | None = strawberry.field(description="The day after the last one.")
    recurring: bool = strawberry.field(description="Whether it is a series.")
    busy: bool = strawberry.field(description='Whether it is shown as "Busy" and nothing more.')
    ics: str = strawberry.field(description="Its components in the feed, as RFC 5545 writes them.")


@strawberry.type(description="An activity that the feed does not show.")
class LeftOutActivity:
    activity_id: strawberry.ID | None = strawberry.field(
        description="The activity; null if it is somebody's private one."
    )
    type: ActivityType = strawberry.field(description="What it is.")
    title: str | None = strawberry.field(description="Its title; null if it is somebody else's private one.")
    reason: LeftOutReason = strawberry.field(description="Why it is left out.")


@strawberry.type(description="How many activities are left out for one reason.")
class LeftOutCount:
    reason: LeftOutReason = strawberry.field(description="Why they are left out.")
    count: int = strawberry.field(description="How many they are.")


@strawberry.type(description="What a subscriber of a feed gets today, and what is left out and why.")
class FeedPreview:
    name: str = strawberry.field(description="The calendar's name in the feed.")
    description: str = strawberry.field(description="The calendar's description in the feed.")
    starts_on: date = strawberry.field(description="The first day that is shown.")
    ends_on: date = strawberry.field(description="The day after the last one that is shown.")
    event_count: int = strawberry.field(description="How many events and to-dos the feed holds.")
    byte_count: int | None = strawberry.field(
        description="How many octets the feed has; null if none of many activities can be rendered: polls get 503."
    )
    activity_count: int = strawberry.field(description="How many activities are shown.")
    activities: list[PreviewedActivity] = strawberry.field(description="The first of them, by time.")
    left_out_count: int = strawberry.field(description="How many activities are left out.")
    left_out_counts: list[LeftOutCount] = strawberry.field(description="How many of them for what reason.")
    left_out: list[LeftOutActivity] = strawberry.field(description="The first of them.")


async def preview(context: Context, feed: Feed, first: int) -> FeedPreview:
    """What the feed holds at this moment, with the `first` so many of what is shown and of what is left out."""
    if first not in range(MOST + 1):
        raise InvalidArgument(f"`first` must be from 0 to {MOST}.")

    async def read() -> tuple[FeedRows, FeedRows]:
        async with context.pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            rows = await read_rows(conn, feed, left_out=True)
        return rows, rows

    rows, content = await current_content(read, context.pool, context.limits)
    shown = sorted(content.components, key=lambda part: (part.row.begins_at or context.now, part.row.activity_id))[
        :first
    ]
    left_out = list(content.left_out)[:first]
    async with context.pool.acquire() as conn:
        ids = [part.row.activity_id for part in shown] + left_out
        activities = {record.id: record for record in await list_activities(conn, feed.account_id, ids)}
    seen = {row.activity_id: row.revision for row in rows.activities}
    activities = {id_: record for id_, record in activities.items() if seen[id_] == record.revision}
    return FeedPreview(
        name=clean(feed.name),
        description=description(feed, content.over_cap),
        starts_on=feed.style.window.first,
        ends_on=feed.style.window.end,
        event_count=content.events,
        byte_count=_byte_count(content, context.limits),
        activity_count=len(content.components),
        activities=[
            _shown(feed, part, activities[id_]) for part in shown if (id_ := part.row.activity_id) in activities
        ],
        left_out_count=len(content.left_out),
        left_out_counts=_counts(content),
        left_out=[_left_out(feed, activities[id_], content) for id_ in left_out if id_ in activities],
    )


def _byte_count(content: FeedContent, limits: FeedLimits) -> int | None:
    try:
        return sum(len(block.octets) for block in whole_calendar(assemble(content), limits))
    except NothingRenderedError:
        return None


def _shown(feed: Feed, part: Component, activity: ActivityRecord) -> PreviewedActivity:
    shown = feed.shown(part.row)
    starts, ends = time_span(activity) if has_time(activity) else (None, None)
    return PreviewedActivity(
        activity_id=_node_id(feed, activity),
        type=ActivityType(activity.type),
        title=feed.style.say("Busy") if shown.busy else title(activity, feed.style, shown),
        starts_at=starts if isinstance(starts, datetime) else None,
        ends_at=ends if isinstance(ends, datetime) else None,
        starts_on=starts if not isinstance(starts, datetime) else None,
        ends_on=ends if not isinstance(ends, datetime) else None,
        recurring=activity.recurrence is not None,
        busy=shown.busy,
        ics=part.octets.decode(),
    )


def _left_out(feed: Feed, activity: ActivityRecord, content: FeedContent) -> LeftOutActivity:
    return LeftOutActivity(
        activity_id=_node_id(feed, activity),
        type=ActivityType(activity.type),
        title=None if _is_hidden(feed, activity) else shortened(activity.title, LONGEST_LINE),
        reason=LeftOutReason(content.left_out[activity.id]),
    )


def _node_id(feed: Feed, activity: ActivityRecord) -> strawberry.ID | None:
    return None if _is_hidden(feed, activity) else strawberry.ID(to_base64("Activity", str(activity.id)))


def _is_hidden(feed: Feed, activity: ActivityRecord) -> bool:
    """Whether it is somebody else's private one."""
    return activity.private and activity.owner_id != feed.user_id


def _counts(content: FeedContent) -> list[LeftOutCount]:
    counts = Counter(content.left_out.values())
    return [LeftOutCount(reason=LeftOutReason(reason), count=count) for reason, count in sorted(counts.items())]
