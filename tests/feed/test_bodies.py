"""Bodies in memory: made once, kept under the version that they are of, and within bounds."""

import asyncio
import gzip
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from feed.blocks import Block
from feed.bodies import Bodies, Body
from feed.standing import Standing

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def body(tag: str, octets: bytes = b"BEGIN:VCALENDAR") -> Body:
    return Body(Standing(b"", NOW, tag, (f'"{tag}"', f'"{tag}-gzip"'), NOW, ""), "Team", [Block(octets)], [octets])


@dataclass
class Maker:
    """Makes a body once it is let."""

    made: Body
    calls: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> Body:
        self.calls += 1
        await self.free.wait()
        return self.made


def free_maker(made: Body) -> Maker:
    maker = Maker(made)
    maker.free.set()
    return maker


async def test_body_is_made_once_for_all_who_ask_together_in_both_encodings() -> None:
    bodies, maker = Bodies(10_000), Maker(body("v1"))
    asked = [asyncio.create_task(bodies.get("v1", maker, gzipped=n % 2 == 1)) for n in range(100)]
    await asyncio.sleep(0)
    maker.free.set()
    answers = await asyncio.gather(*asked)
    assert {b"".join(answer.octets) for answer in answers[::2]} == {b"BEGIN:VCALENDAR"}
    assert {gzip.decompress(b"".join(answer.octets)) for answer in answers[1::2]} == {b"BEGIN:VCALENDAR"}
    assert await bodies.get("v1", maker, gzipped=True) is answers[1]
    assert maker.calls == 1


async def test_body_by_gzip_is_the_same_bytes_each_time() -> None:
    made = [await Bodies(0).get("v1", free_maker(body("v1")), gzipped=True) for _ in range(2)]
    assert made[0].octets == made[1].octets


async def test_body_of_a_later_version_is_kept_under_that_version() -> None:
    bodies, later = Bodies(10_000), free_maker(body("v2"))
    assert (await bodies.get("v1", later, gzipped=False)).standing.tag == "v2"
    assert (await bodies.get("v2", later, gzipped=False)).standing.tag == "v2"
    assert later.calls == 1
    await bodies.get("v1", later, gzipped=False)
    assert later.calls == 2


async def test_bodies_are_kept_up_to_the_bound_those_that_were_asked_for_last() -> None:
    bodies, makers = Bodies(250), {tag: free_maker(body(tag, b"x" * 100)) for tag in ("a", "b", "c")}
    for tag in ("a", "b", "a", "c", "a", "b"):
        await bodies.get(tag, makers[tag], gzipped=False)
    assert {tag: maker.calls for tag, maker in makers.items()} == {"a": 1, "b": 2, "c": 1}


async def test_body_beyond_the_bound_is_served_and_not_kept() -> None:
    bodies, maker = Bodies(10), free_maker(body("v1"))
    assert [(await bodies.get("v1", maker, gzipped=False)).octets for _ in range(2)] == [maker.made.octets] * 2
    assert maker.calls == 2


async def test_failure_is_told_to_all_who_ask_and_not_kept() -> None:
    calls = 0

    async def fail() -> Body:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise ValueError("no body")

    bodies = Bodies(10_000)
    answers = await asyncio.gather(
        *(bodies.get("v1", fail, gzipped=n % 2 == 0) for n in range(6)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [ValueError] * 6
    assert calls == 1
    with pytest.raises(ValueError, match="no body"):
        await bodies.get("v1", fail, gzipped=False)
    assert calls == 2


async def test_client_that_hangs_up_leaves_the_body_to_the_others() -> None:
    bodies, maker = Bodies(10_000), Maker(body("v1"))
    gone, stays = (asyncio.create_task(bodies.get("v1", maker, gzipped=False)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    maker.free.set()
    assert await stays == maker.made
    assert gone.cancelled()
    assert maker.calls == 1
