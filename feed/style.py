"""How a feed is written: the options of its link, the language of its user, and the days that it shows."""

from dataclasses import dataclass
from importlib.metadata import version
from zoneinfo import ZoneInfo

from feed.options import FeedOptions
from feed.vtimezone import one_rule
from feed.window import Window
from feed.words import Words

FORMAT = 2  # raise it with every change of what `feed.render` or `locale` writes, and all is rendered anew
ZONES = version("tzdata")  # the laws of the zones by which times are written


@dataclass(frozen=True, slots=True)
class Shown:
    """How one feed shows an activity."""

    busy: bool = False  # that somebody is busy, and nothing more
    own: bool = False  # its viewer owns it
    overdue: bool = False
    calendars: tuple[str, ...] = ()  # that it stands in, where they are to be named
    color: str | None = None  # of the first of them that has one, like "#4682B4"
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Style:
    options: FeedOptions
    say: Words
    window: Window

    @property
    def zone(self) -> ZoneInfo | None:
        """The clock that moments are written by; None: UTC, also where a zone's clock follows no simple rule."""
        zoned = self.options.time_style == "ZONED" and one_rule(self.window.zone.key, self.window.years)
        return self.window.zone if zoned else None

    @property
    def full_variant(self) -> str:
        """The name of the rendering that this style gives an activity; the same name, the same octets."""
        if self.options.detail == "BUSY":
            return self.busy_variant
        options = self.options
        reminder = "" if options.reminder_minutes is None else f" {options.reminder_minutes}"
        return f"{self._variant} {options.participants} {options.title_with}{reminder}"

    @property
    def busy_variant(self) -> str:
        return f"{self._variant} BUSY"

    @property
    def series_suffix(self) -> str:
        """What a rendering of a series depends on besides: cancelled occurrences, and the window but for its day."""
        options = self.options
        return f" {options.cancelled} {options.days_back} {options.days_ahead} {self.window.zone.key}"

    @property
    def _variant(self) -> str:
        zone = f"{self.zone.key} {ZONES} {self.window.years.start}-{self.window.years.stop}" if self.zone else "UTC"
        return f"{FORMAT} {self.say.language} {self.options.tasks_as} {zone}"
