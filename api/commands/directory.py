"""Finding what an operator names on the command line."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class NotFoundError(Exception):
    """Nothing, or more than one thing, has that name; the message lists what there is."""


def pick(kind: str, wanted: str, candidates: Sequence[tuple[T, Sequence[str | None]]]) -> T:
    """The candidate of that name, letter case aside; a candidate is a value and its names, the last its id."""
    found = [value for value, names in candidates if wanted.casefold() in (name.casefold() for name in names if name)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(str(names[-1]) for value, names in candidates if value in found)
        raise NotFoundError(f"More than one {kind} is called {wanted!r}: use the id, one of {ids}.")
    there = ", ".join(repr(names[0]) for _, names in candidates)
    raise NotFoundError(f"There is no {kind} {wanted!r}; there is {there or 'none yet'}.")
