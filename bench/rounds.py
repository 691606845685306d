"""Rounds of load in which several ways take turns, so that a busy moment hits all of them, and what comes of them."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.load import Load, LoadError, Poll, load
from bench.servers import Server

Rounds = Mapping[str, Sequence[Load]]  # of each way one load a round


def turns(
    ways: Mapping[str, tuple[Server, Sequence[Poll]]], connections: int, rounds: int, seconds: float
) -> dict[str, list[Load]]:
    """After one load of each way that does not count. Every other round goes backwards."""
    found: dict[str, list[Load]] = {name: [] for name in ways}
    for server, polls in ways.values():
        load(server, polls, connections, 1)
    order = list(ways.items())
    for _ in range(rounds):
        for name, (server, polls) in order:
            found[name].append(load(server, polls, connections, seconds))
        order.reverse()
    return found


def middle(loads: Sequence[Load], name: str) -> float:
    return float(median(getattr(each, name) for each in loads))


def ratio(found: Rounds, one: str, other: str, name: str = "per_second") -> float:
    """The median of each round's."""
    pairs = zip(found[one], found[other], strict=True)
    return float(median(getattr(first, name) / getattr(second, name) for first, second in pairs))


def figures(found: Rounds) -> str:
    """For each way requests a second, p50, p99 and processor time."""
    return "; ".join(
        f"{name}: {middle(loads, 'per_second'):,.0f}/s, p50 {middle(loads, 'p50'):.2f} ms,"
        f" p99 {middle(loads, 'p99'):.2f} ms, {middle(loads, 'cpu'):.1f} µs"
        for name, loads in found.items()
    )


def only(found: Rounds, *, most: float = float("inf"), least: float = 0, refused: bool = False) -> None:
    """See that the answers were such as the row speaks of."""
    for name, loads in found.items():
        for each in loads:
            if not least <= each.octets <= most or each.refused != (each.requests if refused else 0):
                raise LoadError(f"{name}: {each.octets:,.0f} octets an answer, {each.refused} refused.")
