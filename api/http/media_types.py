"""Which of GraphQL's two media types a caller takes (RFC 9110, section 12.5.1; GraphQL over HTTP, "Accept")."""

import re
from collections.abc import Iterable

JSON = "application/json"  # what callers get that do not choose: its answers are 200 as long as the request is one
GRAPHQL_JSON = "application/graphql-response+json"  # its status says whether the query was executed
QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def accepted_type(accept: Iterable[str]) -> str | None:
    """The best of the two for these Accept headers, of equals the one listed first; None if they take neither."""
    said = ",".join(accept)
    if not said.strip():
        return JSON
    ranges: dict[str, tuple[float, int]] = {}
    for place, item in enumerate(said.split(",")):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((float(found[1]) for p in parameters if (found := QUALITY.fullmatch(p))), 1.0)
        ranges.setdefault(name, (quality, -place))
    best = max((JSON, GRAPHQL_JSON), key=lambda name: _rank(name, ranges))
    return best if _rank(best, ranges)[0] else None


def _rank(name: str, ranges: dict[str, tuple[float, int]]) -> tuple[float, int]:
    """Quality and place of the narrowest range that the type is in."""
    return next((ranges[wider] for wider in (name, "application/*", "*/*") if wider in ranges), (0.0, 0))
