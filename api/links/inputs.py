"""What the mutations of links take and answer."""

from datetime import datetime
from typing import Annotated

import strawberry

from api.errors import UserError
from api.links.feeds import CalendarFeed, FeedLink
from api.links.options import FeedOptionsInput

LONGEST_GRACE_HOURS = 7 * 24
LONGEST_REQUEST_ID = 100
GRACE = (
    f"For how many hours the URL before the new one goes on to serve, at most {LONGEST_GRACE_HOURS}; 0 where it may be"
    " in other hands."
)
REQUEST = "A text of the caller's own: a call that is repeated with the same one resets nothing again."


@strawberry.input(description="Which feed to get a private URL for.")
class GenerateCalendarUrlInput:
    calendar_id: strawberry.ID | None = strawberry.field(
        default=None, description="The calendar; left out: all the viewer's calendars in one feed."
    )
    name: str | None = strawberry.field(
        default="", description='What the link is for, like "iPhone"; "" is the default link of the feed.'
    )
    regenerate: bool | None = strawberry.field(
        default=False,
        description="False: an existing link is returned as it is. True: its old URL is dead from now on.",
    )
    options: FeedOptionsInput | None = strawberry.field(
        default=None,
        description="What a new link shows, and how; a regenerated one keeps its own where none are named."
        " `updateFeedLink` changes them and keeps the URL.",
    )
    expires_at: datetime | None = strawberry.field(
        default=None,
        description="When a new or regenerated link ends by itself; left out: never, or as before unless that is past."
        " The account's policy may end it earlier.",
    )
    grace_hours: int | None = strawberry.field(default=0, description=f"With `regenerate`: {GRACE}")
    request_id: str | None = strawberry.field(default=None, description=f"With `regenerate`: {REQUEST}")


@strawberry.input(description="Which links to reset.")
class ResetCalendarFeedsInput:
    calendar_ids: list[strawberry.ID] | None = strawberry.field(
        default=None,
        description="Only the links of these calendars; left out: every link of the user, those of all calendars too.",
    )
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Administrators and API keys only: whose links, in place of the viewer's own."
    )
    grace_hours: int | None = strawberry.field(default=0, description=GRACE)
    request_id: str | None = strawberry.field(default=None, description=REQUEST)


@strawberry.input(description="Which link to change, and how. What is left out stays as it is.")
class UpdateFeedLinkInput:
    link_id: strawberry.ID = strawberry.field(description="The link; administrators may name anybody's.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="Another name for a named link.")
    options: FeedOptionsInput | None = strawberry.field(
        default=strawberry.UNSET, description="What is to be shown otherwise from now on."
    )
    expires_at: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="When the link ends by itself; null: when the account's policy says so."
    )


@strawberry.input(description="Which link to pause.")
class PauseFeedLinkInput:
    link_id: strawberry.ID = strawberry.field(description="The link; administrators may name anybody's.")


@strawberry.input(description="Which link to resume.")
class ResumeFeedLinkInput:
    link_id: strawberry.ID = strawberry.field(description="The link; administrators may name anybody's.")


@strawberry.input(description="Which link to revoke.")
class RevokeFeedLinkInput:
    link_id: strawberry.ID = strawberry.field(description="The link; administrators may name anybody's.")


@strawberry.type(description="The link with its URL, or why there is none.")
class GenerateCalendarUrlPayload:
    feed: CalendarFeed | None = strawberry.field(default=None, description="The feed that the link belongs to.")
    link: FeedLink | None = strawberry.field(default=None, description="The link that was asked for.")
    url: str | None = strawberry.field(default=None, description="The link's private URL, ready to subscribe to.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the user has to mend; empty when the link is there."
    )


@strawberry.type(description="The feeds whose links have new URLs now; every URL given out before is dead.")
class ResetCalendarFeedsPayload:
    feeds: list[CalendarFeed] | None = strawberry.field(
        default=None, description="The feeds that had links to reset; null if nothing was done."
    )
    reset_count: int = strawberry.field(default=0, description="How many links were reset.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the user has to mend; then no link was reset."
    )


@strawberry.type
class ChangePayload:
    """What the payloads of one link's changes have in common; not a type of the schema."""

    feed: CalendarFeed | None = strawberry.field(
        default=None, description="The feed that the link belongs to; null if its user may not see it any more."
    )
    link: FeedLink | None = strawberry.field(default=None, description="The link as it is now.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the user has to mend; then nothing was changed."
    )


@strawberry.type(description="The changed link, whose URL is the same, or why nothing was changed.")
class UpdateFeedLinkPayload(ChangePayload):
    pass


@strawberry.type(description="The paused link, which serves nothing but a notice until it is resumed.")
class PauseFeedLinkPayload(ChangePayload):
    pass


@strawberry.type(description="The resumed link, which serves its feed again at the same URL.")
class ResumeFeedLinkPayload(ChangePayload):
    pass


@strawberry.type(description="The revoked link, which is dead for good.")
class RevokeFeedLinkPayload(ChangePayload):
    pass


GenerateInput = Annotated[GenerateCalendarUrlInput, strawberry.argument(description="Which feed, which link.")]
ResetInput = Annotated[ResetCalendarFeedsInput, strawberry.argument(description="Which links.")]
UpdateInput = Annotated[UpdateFeedLinkInput, strawberry.argument(description="Which link, what to change.")]
PauseInput = Annotated[PauseFeedLinkInput, strawberry.argument(description="Which link to pause.")]
ResumeInput = Annotated[ResumeFeedLinkInput, strawberry.argument(description="Which link to resume.")]
RevokeInput = Annotated[RevokeFeedLinkInput, strawberry.argument(description="Which link to revoke.")]
