"""The days that a feed shows: whole days by its user's clock, moving on at their midnight and never in between."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

When = date | datetime  # a day, or a moment


@dataclass(frozen=True)
class Window:
    """From the midnight at which `first` begins to the one at which `end` does, in `zone`."""

    today: date
    first: date
    end: date  # exclusive
    zone: ZoneInfo

    @classmethod
    def around(cls, now: datetime, zone: ZoneInfo, days_back: int, days_ahead: int) -> "Window":
        """So many whole days before today and after it; a window that would leave the calendar ends with it."""
        today = now.astimezone(zone).date()
        first = max(today.toordinal() - days_back, FIRST_DAY.toordinal())
        end = min(today.toordinal() + days_ahead + 1, LAST_DAY.toordinal())
        return cls(today, date.fromordinal(first), date.fromordinal(end), zone)

    @cached_property
    def starts_at(self) -> datetime:
        return self.midnight(self.first)

    @cached_property
    def ends_at(self) -> datetime:
        return self.midnight(self.end)

    @property
    def years(self) -> range:
        """The years that any of the window's days lies in."""
        return range(self.first.year, self.end.year + 1)

    def midnight(self, day: date) -> datetime:
        """The moment, in UTC, at which the day begins by the clock of the window."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def shows(self, starts: When, ends: When) -> bool:
        """Whether any of the time from `starts` to `ends`, exclusive, lies in the window; of no time, its moment."""
        if isinstance(starts, datetime) and isinstance(ends, datetime):
            return starts < self.ends_at and (ends > self.starts_at or starts >= self.starts_at)
        return starts < self.end and (ends > self.first or starts >= self.first)


FIRST_DAY, LAST_DAY = date(2, 1, 2), date(9999, 12, 30)  # a day off what a database holds, for the zones' sake


def zone_of(name: str) -> ZoneInfo:
    """The zone of that name; UTC for one that is not in the IANA database."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # also a folder's name, and one with a leading slash
        return ZoneInfo("UTC")
