"""Blocks: what they hold together is what their parts are, whatever changes, and by gzip one member of it."""

import gzip
import zlib
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from feed.blocks import PARTS, Block, Part, gzip_parts, in_blocks, inflated, joined, with_changes

EVENT = b"BEGIN:VEVENT\r\nDTSTART;TZID=%s:20260302T090000\r\nEND:VEVENT\r\n"
OCTETS = st.sampled_from([b"a", b"bc" * 500, EVENT % b"Europe/Berlin", EVENT % b"America/New_York"])
PART = st.builds(Part, st.integers(0, 400).map(lambda n: UUID(int=n)), OCTETS, st.integers(1, 3))
PARTS_BY_ID = st.lists(PART, max_size=300).map(lambda parts: {part.activity_id: part for part in parts})


def in_order(parts: dict[UUID, Part]) -> list[Part]:
    return [part for _, part in sorted(parts.items())]


def check(blocks: Sequence[Block], expected: list[Part]) -> None:
    assert [part for block in blocks for part in block.parts()] == expected
    assert b"".join(block.octets for block in blocks) == b"".join(part.octets for part in expected)
    assert all(0 < len(block.activity_ids) <= PARTS for block in blocks)
    assert sum(block.event_count for block in blocks) == sum(part.events for part in expected)
    assert all(one.activity_ids[-1] < other.activity_ids[0] for one, other in pairwise(blocks))


@given(PARTS_BY_ID, st.lists(st.tuples(PARTS_BY_ID, st.sets(st.integers(0, 400))), max_size=4))
def test_changes_leave_the_parts_that_there_are(
    parts: dict[UUID, Part], changes: list[tuple[dict[UUID, Part], set[int]]]
) -> None:
    blocks = in_blocks(in_order(parts))
    check(blocks, in_order(parts))
    for fresh, gone in changes:
        changed = {UUID(int=n) for n in gone} | fresh.keys()
        parts = {id_: part for id_, part in parts.items() if id_ not in changed} | fresh
        blocks = with_changes(blocks, changed, [*fresh.values()])
        check(blocks, in_order(parts))


def test_change_makes_one_block_anew() -> None:
    parts = [Part(UUID(int=2 * n), b"x", 1) for n in range(10 * PARTS)]
    blocks = in_blocks(parts)
    for id_, fresh in ((UUID(int=500), [Part(UUID(int=500), b"y", 1)]), (UUID(int=500), [])):
        after = with_changes(blocks, {id_}, fresh)
        assert sum(one is not other for one, other in zip(blocks, after, strict=True)) == 1


@given(st.lists(st.binary(max_size=100_000), max_size=5))
def test_gzip_is_one_member_that_holds_all_blocks(octets: list[bytes]) -> None:
    blocks = [Block(one) for one in octets]
    by_gzip = b"".join(gzip_parts(blocks))
    reader = zlib.decompressobj(wbits=31)  # as programs do that read no more than the first member
    assert reader.decompress(by_gzip) == gzip.decompress(by_gzip) == b"".join(octets)
    assert (reader.eof, reader.unused_data) == (True, b"")
    assert by_gzip == b"".join(gzip_parts([Block(one) for one in octets]))
    assert [inflated(block.deflated) for block in blocks] == octets


def test_zones_are_those_of_times() -> None:
    text = b"SUMMARY:no zone\r\n DTSTART;TZID=Asia/Tokyo:\r\n"
    (block,) = in_blocks([Part(UUID(int=n), EVENT % zone + text, 1) for n, zone in enumerate((b"Europe/Paris",) * 2)])
    assert block.zones == {"Europe/Paris"}
    assert Block(b"SUMMARY:DTSTART;TZID=Asia/Tokyo:20260302T090000\r\n").zones == set()


def test_only_what_is_small_is_held_in_one_piece() -> None:
    assert joined([b"a", b"b"]) == [b"ab"]
    large = [b"x" * 600_000] * 2
    assert joined(large) is large
