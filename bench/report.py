"""The report: a page of Markdown and its pictures."""

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import kernel
from bench.compare import SERVICE, Measured
from bench.data import THOUSAND
from bench.environments import HERE, python, versions
from bench.patience import Small
from bench.rows import MIB, Found

PICTURES = "speed"  # the folder beside the page
OURS = ("aiohttp", "uvloop", "asyncpg", "icalendar")
PEERS = {
    "peers/radicale": ["radicale"],
    "peers/xandikos": ["xandikos"],
    "peers/django": ["django", "django-ical", "gunicorn"],
}
HEAD = """# Speed

Written by `{command}` on {date:%-d %B %Y}: {machine}, {system}, Python {python}, {ours}. Peers: {peers}.

The server has one core, the load (wrk) and PostgreSQL have the other. Polls come by {links} links of 200 calendars, the
k-th of them 1/k as often as the first; every poll is authorised by the database, limits are on, polls are counted.
"Bare" is an aiohttp and uvloop handler that sends the same bytes, ready made. Both take turns in each round,
and ratios are medians of those of each round. Processor time is the kernel's, of the server's processes alone.
"""


@dataclass(frozen=True)
class Results:
    command: str
    links: int
    found: Sequence[Found]
    measured: Sequence[Measured]
    latencies: Sequence[Small]
    load_average: float


def write(results: Results, page: Path) -> None:
    folder = page.parent / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    drawing = [python("pictures"), str(HERE / "pictures/draw.py"), str(folder)]
    subprocess.run(drawing, input=json.dumps(charts(results)), text=True, check=True)
    parts = [head(results), targets(results.found), peers(results), growth(results), latency(results)]
    page.write_text("\n".join(part for part in parts if part))


def head(results: Results) -> str:
    return HEAD.format(
        command=results.command, date=datetime.now(UTC), machine=kernel.machine(), system=platform.system(),
        python=platform.python_version(), ours=", ".join(f"{name} {version(name)}" for name in OURS),
        peers=", ".join(each for of in PEERS for each in versions(of, PEERS[of])), links=f"{results.links:,}",
    ) + f"The machine's load average was {results.load_average:.1f} when it began.\n"  # fmt: skip


def table(rows: Sequence[Sequence[str]]) -> str:
    heads, *others = rows
    ruler = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ruler, *others)) + "\n"


def number(value: float) -> str:
    """Three digits, or all that stand before the point."""
    return f"{float(f'{value:.3g}'):,.10g}" if abs(value) < THOUSAND else f"{value:,.0f}"


def targets(found: Sequence[Found]) -> str:
    if not found:
        return ""
    rows = [("what", "target", "measured", "met")]
    for row in found:
        sense = "at most" if row.at_most else "at least"
        met = "yes" if row.met else "**no**"
        rows.append((row.what, f"{sense} {row.target:g} {row.unit}", f"{number(row.value)} {row.unit}", met))
    details = "\n".join(f"- {row.what}: {row.beside}" for row in found)
    return f"## What it must reach\n\n{table(rows)}\nThe figures behind them:\n\n{details}\n"


def peers(results: Results) -> str:
    if not results.measured:
        return ""
    names = list(dict.fromkeys(each.program for each in results.measured))
    by = {(each.program, each.size, each.way): each for each in results.measured}
    whole_cells = ("requests/s", "p50, ms", "p99, ms", "CPU, µs", "memory, MiB")
    rows = [["program", *whole_cells, "gzip, requests/s", "304, requests/s", "304, CPU, µs"]]
    for name in names:
        whole, gzip, again = (by.get((name, THOUSAND, way)) for way in ("whole", "gzip", "unchanged"))
        if again and again.status != HTTPStatus.NOT_MODIFIED:
            again = None
        cells = [*_cells(whole, "per_second", "p50", "p99", "cpu", "memory"), *_cells(gzip, "per_second")]
        rows.append([name, *cells, *_cells(again, "per_second", "cpu")])
    return (
        f"## Beside other programs\n\n{THOUSAND:,} events, one connection. All serve the same: UID, SUMMARY, LOCATION,"
        " DTSTART and DTEND were compared before. –: the program has no such answer; some send an ETag, and never 304."
        " Memory is the most that was used meanwhile.\n\n"
        f"![Requests a second of each program]({PICTURES}/peers.svg)\n\n{table(rows)}"
    )


def _cells(measured: Measured | None, *names: str) -> list[str]:
    if measured is None:
        return ["–"] * len(names)
    return [number(getattr(measured, name) / (MIB if name == "memory" else 1)) for name in names]


def growth(results: Results) -> str:
    if not results.measured:
        return ""
    sizes = sorted({each.size for each in results.measured})
    rows = [("program, median ms", *(f"{size:,}" for size in sizes))]
    for name, points in _growth(results.measured).items():
        rows.append((name, *(number(dict(points)[size]) if size in dict(points) else "–" for size in sizes)))
    return f"## Growth\n\n![Milliseconds by the number of events]({PICTURES}/growth.svg)\n\n{table(rows)}"


def _growth(measured: Sequence[Measured]) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for each in measured:
        if each.way == "whole":
            found.setdefault(each.program, []).append((each.size, each.p50))
        elif each.way == "unchanged" and each.program == SERVICE:
            found.setdefault(f"{SERVICE}, 304", []).append((each.size, each.p50))
    return found


def latency(results: Results) -> str:
    if not results.latencies:
        return ""
    return (
        "## Small polls while a large feed is rendered\n\n304s at a steady pace, each timed from the moment at which it"
        " was due. At 0 a feed is asked for of which nothing is rendered; it is answered at the last point.\n\n"
        f"![Milliseconds of each small poll]({PICTURES}/latency.svg)\n"
    )


def charts(results: Results) -> dict[str, dict[str, Any]]:
    rates = {each.program: each.per_second for each in results.measured if (each.size, each.way) == (THOUSAND, "whole")}
    polls = [(round(each.at, 2), round(each.milliseconds, 2)) for each in results.latencies]
    found = {
        "peers.svg": {
            "kind": "bars",
            "title": f"A feed of {THOUSAND:,} events",
            "x": "requests a second, one connection",
            "y": "",
            "series": rates,
        },
        "growth.svg": {
            "kind": "lines",
            "title": "One answer",
            "x": "events in the feed",
            "y": "milliseconds",
            "series": _growth(results.measured),
        },
        "latency.svg": {
            "kind": "points",
            "title": "Small polls while a large feed is rendered",
            "x": "seconds since it was asked for",
            "y": "milliseconds of each",
            "series": {"small polls": polls} if polls else {},
        },
    }
    return {name: chart for name, chart in found.items() if chart["series"]}
