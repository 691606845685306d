"""A calendar feed as a link shows it on a day: whose it is, of what, and how it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from db.accounts import PolicyRecord
from db.calendars import CalendarRecord
from db.fragments import SelectedActivity, Selection
from db.gate import Gate
from db.links import LinkRecord
from db.users import UserRecord
from feed.document import Stamp
from feed.options import DEFAULTS, FeedOptions
from feed.policy import allowed_options
from feed.style import Shown, Style
from feed.window import Window, zone_of
from feed.words import Words, words

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    account_id: UUID
    user_id: UUID
    id: UUID  # of the link, or of the user where there is none yet
    calendar_ids: Sequence[UUID]
    calendar_name: str | None  # None: all the user's calendars
    color: str | None
    style: Style
    style_revision: int
    styled_at: datetime | None
    changed_at: datetime  # when its subscriber could last see a change

    @property
    def name(self) -> str:
        return self.calendar_name if self.calendar_name is not None else all_calendars(self.style.say)

    @property
    def today_at(self) -> datetime:
        """When the day began by its user's clock."""
        return self.style.window.midnight(self.style.window.today)

    def selection(self) -> Selection:
        """What it shows, in the words of the data layer."""
        style, options, window = self.style, self.style.options, self.style.window
        return Selection(
            account_id=self.account_id,
            calendar_ids=self.calendar_ids,
            viewer_id=self.user_id,
            activity_types=options.activity_types,
            completed=options.completed_tasks == "MARK",
            cancelled=options.cancelled == "MARK" and options.detail == "FULL",
            today=window.today,
            first=window.first,
            end=window.end,
            today_at=self.today_at,
            starts_at=window.starts_at,
            ends_at=window.ends_at,
            full=style.full_variant,
            busy=style.busy_variant,
            series=style.series_suffix,
            marks_overdue=options.detail == "FULL" and options.tasks_as == "EVENT",
            by_calendar=self._names_calendars,
            by_owner=options.title_with == "OWNER",
        )

    def shown(self, row: SelectedActivity) -> Shown:
        return Shown(
            busy=bool(row.busy) or self.style.options.detail == "BUSY",
            own=bool(row.own),
            overdue=row.overdue,
            calendars=tuple(row.calendars or ()),
            color=next(filter(None, row.colors or ()), None),
            owner=row.owner,
        )

    def stamp(self, row: SelectedActivity) -> Stamp:
        """Which state of the activity this feed shows; any change of what it says there raises both numbers.

        SEQUENCE is the sum of what counts changes: of the activity, of the link's style and, in a feed of several
        calendars, of its placings. A task counts double, so that falling overdue has a number of its own. To each time
        the other counts are added as seconds, so that two changes within one second differ.
        """
        changes = [(row.changed_at, row.revision), (self.styled_at, self.style_revision)]
        if self.calendar_name is None:
            changes.append((row.placed_at, row.placings))
        total = sum(count for _, count in changes)
        times = [time + (total - count) * SECOND for time, count in changes if time]
        if row.overdue:
            times.append(self._overdue_at(row))
        return Stamp(2 * total + row.overdue if row.is_task else total, max(times))

    def _overdue_at(self, row: SelectedActivity) -> datetime:
        """The midnight after the deadline, by the user's clock."""
        window = self.style.window
        day = row.due_on or (row.due_at or window.starts_at).astimezone(window.zone).date()
        return window.midnight(day + DAY)

    @property
    def _names_calendars(self) -> bool:
        return self.calendar_name is None or self.style.options.title_with == "CALENDAR"


def all_calendars(say: Words) -> str:
    """The name of the feed of all the user's calendars."""
    return say("All my calendars")


def gate_feed(gate: Gate, now: datetime) -> Feed:
    """What the link behind the gate shows today."""
    options = allowed_options(gate.policy, FeedOptions.parse(gate.options))
    style = _style(options, gate.locale, gate.time_zone, now)
    return Feed(
        account_id=gate.account_id,
        user_id=gate.user_id,
        id=gate.link_id,
        calendar_ids=gate.calendar_ids,
        calendar_name=gate.calendar_name if gate.calendar_id else None,
        color=gate.calendar_color,
        style=style,
        style_revision=gate.style_revision,
        styled_at=gate.styled_at,
        changed_at=max(gate.changed_at, style.window.midnight(style.window.today)),
    )


def user_feed(
    user: UserRecord,
    calendars: Sequence[CalendarRecord],
    calendar: CalendarRecord | None,
    link: LinkRecord | None,
    policy: PolicyRecord,
    now: datetime,
    options: FeedOptions | None = None,
) -> Feed:
    """What the user's link shows today, or would show if it were generated; `calendars` are those that they may see.

    With `options`, what it would show with those in place of its own.
    """
    options = allowed_options(policy, options or kept_options(link))
    return Feed(
        account_id=user.account_id,
        user_id=user.id,
        id=link.id if link else user.id,
        calendar_ids=[calendar.id] if calendar else [visible.id for visible in calendars],
        calendar_name=calendar.name if calendar else None,
        color=calendar.color if calendar else None,
        style=_style(options, user.locale, user.time_zone, now),
        style_revision=link.style_revision if link else 0,
        styled_at=link.styled_at if link else None,
        changed_at=now,
    )


def kept_options(link: LinkRecord | None) -> FeedOptions:
    """The options of a link, or those that it would have."""
    return FeedOptions.parse(link.options) if link else DEFAULTS


def _style(options: FeedOptions, locale: str, time_zone: str, now: datetime) -> Style:
    return Style(options, words(locale), Window.around(now, zone_of(time_zone), options.days_back, options.days_ahead))
