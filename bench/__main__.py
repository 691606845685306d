"""The benchmark: `python -m bench`, all of it about 15 minutes; `--quick`, about two; `--only 304,body`, some rows."""

import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bench import kernel
from bench.data import FULL, QUICK, Crm, Scale, plant
from bench.load import require_wrk
from bench.rows import ROWS, Bench, Found
from bench.servers import command, free_port, service, service_environment
from db.embedded import postgres


@contextmanager
def prepared(scale: Scale) -> Iterator[Bench]:
    """The service with its data, on a database that ends with it."""
    with tempfile.TemporaryDirectory(prefix="calendar-feeds-bench-") as name, postgres(Path(name) / "data") as dsn:
        folder = Path(name)
        environment = service_environment(dsn, free_port(), secrets.token_hex(32))
        command(environment, "migrate")
        with service(folder, environment) as server:
            crm = Crm.of_new_account(server, environment)
            yield Bench(server, dsn, crm, plant(crm, scale), scale, folder)


def say(found: Found) -> None:
    sense = "at most" if found.at_most else "at least"
    verdict = "met" if found.met else "MISSED"
    typer.echo(
        f"  {verdict:7}{found.value:9.2f} {found.unit:3} {sense} {found.target:g}: {found.what}\n{'':22}{found.beside}"
    )


def run(
    quick: Annotated[bool, typer.Option(help="Less data and fewer rounds.")] = False,
    only: Annotated[str, typer.Option(help=f"Some of {','.join(ROWS)}.")] = ",".join(ROWS),
) -> None:
    try:
        kernel.settle()
        require_wrk()
    except kernel.UnfitMachineError as exc:
        sys.exit(str(exc))
    began = time.monotonic()
    with prepared(QUICK if quick else FULL) as bench:
        typer.echo(f"{time.monotonic() - began:.0f} s until the data was there")
        for name in only.split(","):
            started = time.monotonic()
            typer.echo(name)
            for found in ROWS[name](bench):
                say(found)
            typer.echo(f"  ({time.monotonic() - started:.0f} s)")


if __name__ == "__main__":
    typer.run(run)
