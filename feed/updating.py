"""Large feeds are kept in their components: what has changed of one is put into its place, and the rest stays."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import UUID

from cachetools import LRUCache

from db.changes import Version, list_changed_activities
from db.gate import Gate
from db.pool import Conn
from feed.body import Component, FeedContent
from feed.feeds import Feed
from feed.room import FeedLimits, fits

FEWEST = 500  # components: a smaller feed is read anew in no more time


@dataclass(frozen=True, slots=True)
class Kept:
    """A feed that holds all of its activities, at these versions of its calendars."""

    content: FeedContent
    components: Mapping[UUID, Component]  # by activity, in the order of these
    versions: Mapping[UUID, Version]
    octets: int

    async def changed(self, conn: Conn, gate: Gate, feed: Feed) -> set[UUID] | None:
        """The activities to read of the feed that the gate has now; None: all of them."""
        if replace(feed, changed_at=self.content.feed.changed_at) != self.content.feed:
            return None
        return await list_changed_activities(conn, feed.account_id, self.versions, _versions(gate))

    def with_changes(self, changed: Collection[UUID], content: FeedContent, limits: FeedLimits) -> FeedContent | None:
        """The whole feed, of which `content` is what there is now of the changed ones; None if it is too large now."""
        fresh = _by_activity(content)
        components = {**self.components, **fresh}
        for gone in set(changed) - fresh.keys():
            components.pop(gone, None)
        if not components.keys() <= self.components.keys():
            components = dict(sorted(components.items()))
        left_out = {id_: why for id_, why in self.content.left_out.items() if id_ not in changed}
        left_out |= content.left_out
        whole = FeedContent(content.feed, [*components.values()], left_out, content.over_cap)
        return whole if whole.over_cap == 0 and fits(limits, whole.events, whole.size) else None


class KeptFeeds:
    """So many octets of feeds, those that changed last, by their links."""

    def __init__(self, most_octets: int, fewest: int = FEWEST) -> None:
        self._fewest = fewest
        self._kept: LRUCache[UUID, Kept] = LRUCache(most_octets, getsizeof=lambda kept: kept.octets)

    def get(self, link_id: UUID) -> Kept | None:
        return self._kept.get(link_id)

    def keep(self, gate: Gate, content: FeedContent) -> None:
        """Keep the feed as the gate has it, if that is worth it."""
        self._kept.pop(gate.link_id, None)
        if len(content.components) >= self._fewest and content.over_cap == 0:
            with suppress(ValueError):  # larger than all that may be kept
                self._kept[gate.link_id] = Kept(content, _by_activity(content), _versions(gate), content.size)


def _by_activity(content: FeedContent) -> dict[UUID, Component]:
    return {component.row.activity_id: component for component in content.components}


def _versions(gate: Gate) -> dict[UUID, Version]:
    versions = map(Version, gate.calendar_versions, gate.calendar_times)
    return dict(zip(gate.calendar_ids, versions, strict=True))
