"""Bodies in memory: made once, kept under the version that they are of, and within bounds."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from feed.blocks import Block
from feed.bodies import Bodies, Body, Key
from feed.ready import Ready
from feed.standing import Standing

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
V1 = Key("v1", False)


def body(tag: str, octets: bytes = b"BEGIN:VCALENDAR") -> Body:
    return Body(
        Standing(b"", NOW, tag, (f'"{tag}"', f'"{tag}-gzip"'), NOW, ""),
        "Team",
        [Block(octets)],
        Ready(200, b"", [octets]),
    )


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


async def test_body_is_made_once_for_all_who_ask_together() -> None:
    bodies, maker = Bodies(10_000), Maker(body("v1"))
    asked = [asyncio.create_task(bodies.get(V1, maker)) for _ in range(100)]
    await asyncio.sleep(0)
    maker.free.set()
    assert {id(answer) for answer in await asyncio.gather(*asked)} == {id(maker.made)}
    assert await bodies.get(V1, maker) is maker.made
    assert maker.calls == 1


async def test_encodings_are_kept_each_by_itself() -> None:
    bodies, plain, by_gzip = Bodies(10_000), free_maker(body("v1")), free_maker(body("v1", b"by gzip"))
    for _ in range(2):
        assert await bodies.get(V1, plain) is plain.made
        assert await bodies.get(Key("v1", True), by_gzip) is by_gzip.made
    assert (plain.calls, by_gzip.calls) == (1, 1)


async def test_body_of_a_later_version_is_kept_under_that_version() -> None:
    bodies, later = Bodies(10_000), free_maker(body("v2"))
    assert (await bodies.get(V1, later)).standing.tag == "v2"
    assert (await bodies.get(Key("v2", False), later)).standing.tag == "v2"
    assert later.calls == 1
    await bodies.get(V1, later)
    assert later.calls == 2


async def test_bodies_are_kept_up_to_the_bound_those_that_were_asked_for_last() -> None:
    bodies, makers = Bodies(250), {tag: free_maker(body(tag, b"x" * 100)) for tag in ("a", "b", "c")}
    for tag in ("a", "b", "a", "c", "a", "b"):
        await bodies.get(Key(tag, False), makers[tag])
    assert {tag: maker.calls for tag, maker in makers.items()} == {"a": 1, "b": 2, "c": 1}


async def test_body_beyond_the_bound_is_served_and_not_kept() -> None:
    bodies, maker = Bodies(10), free_maker(body("v1"))
    assert [await bodies.get(V1, maker) for _ in range(2)] == [maker.made] * 2
    assert maker.calls == 2


async def test_failure_is_told_to_all_who_ask_and_not_kept() -> None:
    calls = 0

    async def fail() -> Body:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise ValueError("no body")

    bodies = Bodies(10_000)
    answers = await asyncio.gather(*(bodies.get(V1, fail) for n in range(6)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError] * 6
    assert calls == 1
    with pytest.raises(ValueError, match="no body"):
        await bodies.get(V1, fail)
    assert calls == 2


async def test_client_that_hangs_up_leaves_the_body_to_the_others() -> None:
    bodies, maker = Bodies(10_000), Maker(body("v1"))
    gone, stays = (asyncio.create_task(bodies.get(V1, maker)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    maker.free.set()
    assert await stays == maker.made
    assert gone.cancelled()
    assert maker.calls == 1
