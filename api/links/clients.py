"""The calendar programs that poll a link, as the schema says them."""

from datetime import datetime
from enum import Enum

import strawberry

from db.polls import PollRecord


@strawberry.enum(description="What a poll was answered with.")
class FeedAnswer(Enum):
    CALENDAR = strawberry.enum_value("CALENDAR", description="The calendar.")
    UNCHANGED = strawberry.enum_value("UNCHANGED", description="That nothing has changed since the last poll.")
    NOTICE = strawberry.enum_value(
        "NOTICE", description="The notice that the link has ended or is paused, or that this URL was reset."
    )
    GONE = strawberry.enum_value("GONE", description="That the link is gone: the days of the notice are over.")
    LIMITED = strawberry.enum_value("LIMITED", description="That the link was polled too often.")
    UNAVAILABLE = strawberry.enum_value("UNAVAILABLE", description="That the service could not answer at that moment.")


@strawberry.type(description="A calendar program that polls a link, all devices together on which it runs.")
class FeedClient:
    name: str = strawberry.field(description='What it calls itself, like "Google Calendar"; "Other" if unknown.')
    first_polled_at: datetime = strawberry.field(description="When it came for the first time.")
    last_polled_at: datetime = strawberry.field(description="When it last came.")
    polls: int = strawberry.field(description="How often it came.")
    last_status: int = strawberry.field(description="The HTTP status of its last answer.")
    last_answer: FeedAnswer = strawberry.field(description="What its last poll was answered with.")
    usual_interval: int | None = strawberry.field(
        description="Seconds that usually lie between two of its polls; null until it has come twice."
    )
    stale: bool = strawberry.field(
        description="Whether it is overdue: for three of its usual intervals, and for two days at least."
    )

    @classmethod
    def of(cls, poll: PollRecord, now: datetime) -> "FeedClient":
        return cls(
            name=poll.client,
            first_polled_at=poll.first_polled_at,
            last_polled_at=poll.last_polled_at,
            polls=poll.polls,
            last_status=poll.last_status,
            last_answer=FeedAnswer(poll.last_answer),
            usual_interval=poll.usual_seconds,
            stale=poll.is_stale(now),
        )
