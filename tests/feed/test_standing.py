"""Where a link stands, and until when that holds though nothing is written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.accounts import PolicyRecord
from db.gate import Gate
from feed.feeds import gate_feed
from feed.room import FeedLimits
from feed.standing import Standing, ended_at, is_current, standing
from feed.tokens import FeedToken
from tests.feed.subscription import Subscription, gate_of, subscribe, token_of
from tests.seed import Seed, Service

TICK, MINUTE, HOUR, DAY = timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 3, 2, 11, 0, 0, 500_000, tzinfo=UTC)  # in Berlin, where Anna lives
LONG_AGO = NOON - 100 * DAY


@pytest.fixture
async def link(seed: Seed, service: Service) -> Subscription:
    return await subscribe(service, seed.anna)


async def quiet_gate(seed: Seed, link: Subscription, **said: Any) -> Gate:
    """The link's gate, as if nothing had changed for long, but for what is said."""
    return replace(await gate_of(seed.conn, link), **{"changed_at": LONG_AGO, "made_at": LONG_AGO, **said})


def stands(token: FeedToken, gate: Gate, now: datetime) -> Standing | None:
    """None where the link is not open."""
    is_open = is_current(token, gate, now) and ended_at(token, gate, now) is None
    return standing(token, gate, gate_feed(gate, now), FeedLimits(), now) if is_open else None


MIDNIGHT = datetime(2026, 3, 2, 23, tzinfo=UTC)
TURNS: dict[str, tuple[dict[str, Any], datetime]] = {
    "midnight by the user's clock": ({}, MIDNIGHT),
    "midnight in another zone": ({"time_zone": "America/New_York"}, datetime(2026, 3, 3, 5, tzinfo=UTC)),
    "end of the URL": ({"expires_at": NOON + HOUR}, NOON + HOUR),
    "end by the policy": ({"policy": PolicyRecord(longest_days=101)}, MIDNIGHT),
    "end by the policy, today": ({"policy": PolicyRecord(longest_days=1), "made_at": NOON - DAY + HOUR}, NOON + HOUR),
    "end of a URL that lies far ahead": ({"expires_at": NOON + 9 * DAY}, MIDNIGHT),
}


@pytest.mark.parametrize("turn", TURNS)
async def test_standing_holds_until_the_next_turn(seed: Seed, link: Subscription, turn: str) -> None:
    said, until = TURNS[turn]
    gate, token = await quiet_gate(seed, link, **said), token_of(link.url)
    found = stands(token, gate, NOON)
    assert found
    assert found.until == until
    assert stands(token, gate, until - TICK) == found
    assert stands(token, gate, until) != found


async def test_standing_of_an_old_url_holds_until_its_grace_is_over(seed: Seed, link: Subscription) -> None:
    token = token_of(link.url)
    grace = {"grace_until": NOON + HOUR, "grace_generation": 1, "grace_key_id": token.key_id}
    gate = await quiet_gate(seed, link, generation=2, **grace)
    found = stands(token, gate, NOON)
    assert found
    assert found.until == NOON + HOUR
    assert stands(token, gate, NOON + HOUR) is None


@pytest.mark.parametrize("seconds", [0, 0.000_001, 0.5, 0.7, 30, 59.9, 60, 60.4, 60.6, 61, 3_600])
async def test_date_of_a_change_moves_once_when_that_has_settled(
    seed: Seed, link: Subscription, seconds: float
) -> None:
    changed_at, token = NOON - timedelta(seconds=seconds), token_of(link.url)
    gate = replace(await quiet_gate(seed, link), changed_at=changed_at)
    found = stands(token, gate, NOON)
    assert found
    assert stands(token, gate, found.until - TICK) == found
    if found.until < MIDNIGHT:
        settled = stands(token, gate, found.until)
        assert settled
        assert (settled.tag, settled.until) == (found.tag, MIDNIGHT)
        assert settled.modified > found.modified


async def test_date_of_a_change_ahead_of_our_clock_goes_with_the_clock(seed: Seed, link: Subscription) -> None:
    gate, token = replace(await quiet_gate(seed, link), changed_at=NOON + MINUTE), token_of(link.url)
    found = stands(token, gate, NOON)
    assert found
    assert found.until == NOON + timedelta(seconds=1)
