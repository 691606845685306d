"""Blocks: what stands side by side in a feed, put together, compressed and replaced together.

So one change makes one block anew, however large the feed is, and nobody holds the rest of it twice.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple
from uuid import UUID

from isal import igzip, isal_zlib

from feed.document import zones_in

PARTS = 100  # in a block: some 75 kB
GZIP_LEVEL = 2  # of ISA-L's: a tenth of zlib's time at its own sixth, and a body by a third larger
MOST_JOINED = 1_000_000  # octets
RAW = -15  # deflate without a header, with the largest window (RFC 1951)
GZIP_HEAD = igzip.compress(b"", GZIP_LEVEL, mtime=0)[:10]  # RFC 1952, section 2.3
GZIP_END = isal_zlib.compressobj(GZIP_LEVEL, wbits=RAW).flush()  # a last block, and nothing in it


class Part(NamedTuple):
    """What a feed holds of an activity."""

    activity_id: UUID
    octets: bytes
    events: int


@dataclass(frozen=True)  # without slots: what is found out about a block is kept with it
class Block:
    """Some octets, with the activities that they are of, ascending, how many are each one's, and how many events."""

    octets: bytes
    activity_ids: Sequence[UUID] = ()
    sizes: Sequence[int] = ()
    events: Sequence[int] = ()

    @cached_property
    def event_count(self) -> int:
        return sum(self.events)

    @cached_property
    def zones(self) -> Set[str]:
        return zones_in(self.octets)

    @cached_property
    def deflated(self) -> bytes:
        """Such that it stands for the octets behind whatever other blocks, and is not the last of them."""
        compressor = isal_zlib.compressobj(GZIP_LEVEL, wbits=RAW)
        return compressor.compress(self.octets) + compressor.flush(isal_zlib.Z_FULL_FLUSH)

    def parts(self) -> Iterator[Part]:
        spans = pairwise(accumulate(self.sizes, initial=0))
        for id_, (start, end), events in zip(self.activity_ids, spans, self.events, strict=True):
            yield Part(id_, self.octets[start:end], events)


def in_blocks(parts: Sequence[Part]) -> list[Block]:
    """Parts by their activities, ascending."""
    return [_block(parts[start : start + PARTS]) for start in range(0, len(parts), PARTS)]


def with_changes(blocks: Sequence[Block], changed: Iterable[UUID], fresh: Sequence[Part]) -> list[Block]:
    """The blocks without the changed activities, but with what there is of them now."""
    starts = [block.activity_ids[0] for block in blocks]
    moved: dict[int, dict[UUID, Part | None]] = defaultdict(dict)
    now: dict[UUID, Part | None] = {part.activity_id: part for part in fresh}
    for id_ in {*changed, *now}:
        moved[max(0, bisect_right(starts, id_) - 1)][id_] = now.get(id_)
    whole = list(blocks)
    for place in sorted(moved, reverse=True):
        whole[place : place + 1] = _changed(blocks[place : place + 1], moved[place])
    return whole


def gzip_parts(blocks: Sequence[Block]) -> list[bytes]:
    """The octets of the blocks by gzip, in one member: many programs read no more than the first (RFC 1952)."""
    crc = size = 0
    for block in blocks:
        crc, size = isal_zlib.crc32(block.octets, crc), size + len(block.octets)
    end = GZIP_END + crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
    return [GZIP_HEAD, *(block.deflated for block in blocks), end]


def joined(octets: Sequence[bytes]) -> Sequence[bytes]:
    """In one piece where that is not too much to hold twice: to send many small ones takes longer."""
    return [b"".join(octets)] if sum(map(len, octets)) <= MOST_JOINED else octets


def inflated(deflated: bytes) -> bytes:
    """The octets of a block."""
    octets: bytes = isal_zlib.decompressobj(wbits=RAW).decompress(deflated)
    return octets


def _changed(blocks: Sequence[Block], moved: dict[UUID, Part | None]) -> list[Block]:
    parts = {part.activity_id: part for block in blocks for part in block.parts()} | moved
    return in_blocks([part for _, part in sorted(parts.items()) if part])


def _block(parts: Sequence[Part]) -> Block:
    ids, octets, events = zip(*parts, strict=True)
    return Block(b"".join(octets), ids, [*map(len, octets)], events)
