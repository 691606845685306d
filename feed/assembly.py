"""What a feed holds → the blocks of its octets: a beginning, its components, an end."""

from collections.abc import Sequence
from dataclasses import dataclass

from feed.blocks import Block, Part, in_blocks
from feed.body import FeedContent
from feed.document import END, Head, beginning, nothing_planned
from feed.feeds import Feed
from feed.room import FeedLimits

MANY = 10  # activities of which none can be rendered: more than bad rows by chance


class NothingRenderedError(Exception):
    """Of many activities not one could be rendered: the fault is ours, and programs would believe an empty feed."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A feed with the blocks of its components, and of how much it has no room for."""

    feed: Feed
    blocks: Sequence[Block]
    over_cap: int = 0

    @property
    def count(self) -> int:
        """Its activities."""
        return sum(len(block.activity_ids) for block in self.blocks)

    @property
    def events(self) -> int:
        return sum(block.event_count for block in self.blocks)

    @property
    def size(self) -> int:
        """The octets of its components."""
        return sum(len(block.octets) for block in self.blocks)


def assemble(content: FeedContent) -> Assembled:
    """`NothingRenderedError` if it would be an empty feed that stands for a failure."""
    if not content.components and list(content.left_out.values()).count("CANNOT_BE_RENDERED") >= MANY:
        raise NothingRenderedError
    return Assembled(content.feed, in_blocks(parts(content)), content.over_cap)


def parts(content: FeedContent) -> list[Part]:
    return [Part(row.activity_id, octets, events) for row, octets, events in content.components]


def whole_calendar(assembled: Assembled, limits: FeedLimits) -> list[Block]:
    """The blocks of the whole calendar."""
    feed, say, blocks = assembled.feed, assembled.feed.style.say, assembled.blocks
    if not blocks:
        blocks = [Block(nothing_planned(feed.id, feed.style.window.first, feed.changed_at, say))]
    head = Head(
        name=feed.name,
        description=description(feed, assembled.over_cap),
        time_zone=feed.style.window.zone.key,
        color=feed.color,
        refresh=limits.refresh,
        publishes=feed.style.options.participants == "DESCRIPTION",
    )
    zones = frozenset[str]().union(*(block.zones for block in blocks))
    return [Block(beginning(head, feed.style.window.years, zones)), *blocks, Block(END)]


def description(feed: Feed, over_cap: int) -> str:
    """What the feed is, the days that it shows, and what it leaves out because it is full."""
    say, options = feed.style.say, feed.style.options
    back = say.count("{n} day back", "{n} days back", options.days_back)
    ahead = say.count("{n} day ahead", "{n} days ahead", options.days_ahead)
    sentences = [
        say("Meetings, calls and tasks from the CRM. Read-only."),
        say("Shows {back} and {ahead}.", back=back, ahead=ahead),
    ]
    if over_cap:
        sentences.append(
            say.count(
                "This calendar is full: {n} entry is left out, the oldest first.",
                "This calendar is full: {n} entries are left out, the oldest first.",
                over_cap,
            )
        )
    return " ".join(sentences)
