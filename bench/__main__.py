"""The benchmark: `python -m bench`, about 15 minutes; with `--quick` about two; with `--only 304,body` some of it."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from bench import kernel, report
from bench.compare import Measured, compare
from bench.data import FULL, QUICK, Crm, Scale, plant
from bench.load import LoadError, require_wrk
from bench.rig import Bench
from bench.rows import MIB, ROWS, Found
from bench.servers import analyze, command, free_port, service, service_environment
from db.embedded import postgres

PEERS = "peers"
PARTS = ",".join((PEERS, *ROWS))

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@contextmanager
def prepared(scale: Scale) -> Iterator[Bench]:
    """The service with its data, on a database that ends with it."""
    with tempfile.TemporaryDirectory(prefix="calendar-feeds-bench-") as name, postgres(Path(name) / "data") as dsn:
        folder = Path(name)
        environment = service_environment(dsn, free_port(), secrets.token_hex(32))
        command(environment, "migrate")
        with service(folder, environment) as server:
            crm = Crm.of_new_account(server, environment)
            planted = plant(crm, scale)
            asyncio.run(analyze(dsn))
            yield Bench(server, dsn, crm, planted, scale, folder)


def say_found(found: Found) -> None:
    sense, verdict = "at most" if found.at_most else "at least", "met" if found.met else "MISSED"
    typer.echo(f"  {verdict:7}{found.value:9.2f} {found.unit:3} {sense} {found.target:g}: {found.what}")
    typer.echo(f"{'':22}{found.beside}")


def say_measured(each: Measured) -> None:
    typer.echo(
        f"  {each.program:22}{each.size:7,} {each.way:10}{each.status} {each.per_second:10,.2f}/s"
        f" {each.p50:10,.2f} ms {each.cpu:12,.0f} µs {each.memory / MIB:7,.0f} MiB {each.octets:11,} octets"
    )


@dataclass
class Collected:
    found: list[Found] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def collect(self, bench: Bench, part: str) -> None:
        """Measure a part; where its answers are not such as it speaks of, others are measured all the same."""
        try:
            if part == PEERS:
                for each in compare(bench):
                    say_measured(each)
                    self.measured.append(each)
            else:
                for row in ROWS[part](bench):
                    say_found(row)
                    self.found.append(row)
        except LoadError as exc:
            typer.echo(f"  FAILED {exc}")
            self.failed.append(part)


def fit(parts: Sequence[str]) -> None:
    """Move to the core of the load, or end with what is missing."""
    if unknown := {*parts} - {*PARTS.split(",")}:
        sys.exit(f"There is no {', '.join(unknown)}, but {PARTS}.")
    try:
        kernel.settle()
        require_wrk()
    except kernel.UnfitMachineError as exc:
        sys.exit(str(exc))


@app.command()
def run(
    quick: Annotated[bool, typer.Option(help="Less data and fewer rounds.")] = False,
    only: Annotated[str, typer.Option(help="Some parts, with commas between.")] = PARTS,
    page: Annotated[Path | None, typer.Option("--report", help="Write the report, and its pictures beside it.")] = None,
    nice: Annotated[int, typer.Option(help="Run everything at this priority; below 0 needs root.")] = 0,
) -> None:
    parts, collected = only.split(","), Collected()
    fit(parts)
    os.nice(nice)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The benchmark was ended."))  # and with it all that it started
    load_average, began = os.getloadavg()[0], time.monotonic()
    with prepared(QUICK if quick else FULL) as bench:
        for part in parts:
            typer.echo(f"{part} (after {time.monotonic() - began:.0f} s)")
            collected.collect(bench, part)
    typer.echo(
        f"{time.monotonic() - began:.0f} s; load average {load_average:.1f} before, {os.getloadavg()[0]:.1f} now"
    )
    if page:
        said, latencies = f"make bench{'-quick' if quick else ''}", bench.latencies[-1] if bench.latencies else []
        results = (bench.scale.links, collected.found, collected.measured, latencies, load_average)
        report.write(report.Results(said, *results), page)
    if collected.failed:
        sys.exit(f"Not measured: {', '.join(collected.failed)}.")


if __name__ == "__main__":
    app()
