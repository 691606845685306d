"""The benchmark: `python -m bench`, about 15 minutes; with `--quick` about two; with `--only 304,body` some of it."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bench import kernel, report
from bench.compare import Measured, compare
from bench.data import FULL, QUICK, Crm, Scale, plant
from bench.load import require_wrk
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


@app.command()
def run(
    quick: Annotated[bool, typer.Option(help="Less data and fewer rounds.")] = False,
    only: Annotated[str, typer.Option(help="Some parts, with commas between.")] = PARTS,
    page: Annotated[Path | None, typer.Option("--report", help="Write the report, and its pictures beside it.")] = None,
    nice: Annotated[int, typer.Option(help="Run everything at this priority; below 0 needs root.")] = 0,
) -> None:
    try:
        kernel.settle()
        require_wrk()
    except kernel.UnfitMachineError as exc:
        sys.exit(str(exc))
    os.nice(nice)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The benchmark was ended."))  # and with it all that it started
    load_average, began = os.getloadavg()[0], time.monotonic()
    found: list[Found] = []
    measured: list[Measured] = []
    with prepared(QUICK if quick else FULL) as bench:
        for name in only.split(","):
            typer.echo(f"{name} (after {time.monotonic() - began:.0f} s)")
            for each in compare(bench) if name == PEERS else ():
                say_measured(each)
                measured.append(each)
            for row in ROWS[name](bench) if name in ROWS else ():
                say_found(row)
                found.append(row)
        latencies = bench.latencies[-1] if bench.latencies else []
    typer.echo(
        f"{time.monotonic() - began:.0f} s; load average {load_average:.1f} before, {os.getloadavg()[0]:.1f} now"
    )
    if page:
        command_line = "make bench-quick" if quick else "make bench"
        links = bench.scale.links
        report.write(report.Results(command_line, links, found, measured, latencies, load_average), page)


if __name__ == "__main__":
    app()
