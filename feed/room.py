"""How much a feed may hold, and what a full one leaves out: the far past first."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from db.fragments import SelectedActivity
from feed.document import BEGIN
from feed.feeds import Feed

RULE = re.compile(rb"^RRULE:", re.MULTILINE)
BEGINS = re.compile(rb"^(?:DTSTART|DUE)(?:;[^:\r\n]*)?:([0-9]{8}(?:T[0-9]{6}Z?)?)", re.MULTILINE)
MOST_HEAD = 10_000  # octets kept for the head and the time zones of a feed


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """What the operator sets for all feeds: how often to come again, and how much a feed may hold."""

    refresh: timedelta = timedelta(hours=1)
    most_events: int = 5_000
    most_bytes: int = 5_000_000


class Piece(NamedTuple):
    """What a full feed keeps or leaves out as a whole: an activity, a series with its rule, one of its occurrences."""

    begins_at: datetime
    row: SelectedActivity
    place: int = 0  # among the pieces of the activity
    events: int = 1
    octets: bytes | None = None  # None: to be rendered if there is room for it


class Room:
    """What a feed may hold. It takes no more once one event finds no room; what is too large for any is passed over."""

    def __init__(self, limits: FeedLimits) -> None:
        self._events, self._octets = limits.most_events, limits.most_bytes - MOST_HEAD
        self._most_octets = self._octets
        self.taken: list[Piece] = []
        self.is_full = False

    def take(self, piece: Piece) -> None:
        """Take it if there is room; what is empty, as it could not be rendered, takes none."""
        size = len(piece.octets or b"")
        if not size or self.is_full:
            return
        if piece.events <= self._events and size <= self._octets:
            self._events -= piece.events
            self._octets -= size
            self.taken.append(piece)
        elif piece.events == 1 and size <= self._most_octets:
            self.is_full = True


def fits(limits: FeedLimits, events: int, octets: int) -> bool:
    """Whether a feed may hold all of that."""
    return events <= limits.most_events and octets <= limits.most_bytes - MOST_HEAD


def by_importance(pieces: Sequence[Piece], feed: Feed) -> list[Piece]:
    """What is to come, the next first, then what is past, the latest first: a full feed loses the far past first.

    `pieces` are in the order of their activities and places, which decides between what begins at the same moment.
    A series with its rule, which has no one time, counts as what comes next.
    """
    in_time = sorted(pieces, key=attrgetter("begins_at"))
    first = bisect_left(in_time, feed.today_at, key=lambda piece: piece.begins_at)
    return in_time[first:] + in_time[:first][::-1]


def pieces_of(feed: Feed, row: SelectedActivity) -> list[Piece]:
    """An activity, a rendered series with its rule, or each of its occurrences by itself."""
    return [Piece(row.begins_at, row, 0, 1, row.ics)] if row.begins_at else _series_pieces(feed, row)


def _series_pieces(feed: Feed, series: SelectedActivity) -> list[Piece]:
    """A rendered series with its rule, or its occurrences each by itself."""
    octets = series.ics or b""
    starts = [found.start() for found in BEGIN.finditer(octets)]
    if RULE.search(octets):
        return [Piece(feed.today_at, series, 0, len(starts), octets)]
    parts = [octets[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)] if starts else []
    return [Piece(_begins_at(part, feed), series, place, 1, part) for place, part in enumerate(parts)]


def _begins_at(octets: bytes, feed: Feed) -> datetime:
    """When the component begins; of a day about its midnight by the user's clock."""
    found = BEGINS.search(octets)
    assert found  # nothing is rendered without a time
    text, window = found[1].decode(), feed.style.window
    if len(text) == len("20260302"):
        return feed.today_at + (date.fromisoformat(text) - window.today)
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=window.zone)
