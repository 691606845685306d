"""Runs the service until it is told to stop, in this process or in several."""

import asyncio
import errno
import gc
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

from aiohttp import web
from gunicorn.app.base import BaseApplication

from api.app import create_app
from api.http.protocol import Runner
from api.http.screen import Users
from api.logs import AccessLogger, ProcessLogger
from api.settings import PREFIX, Settings, SettingsError

SHUTDOWN_SECONDS = 5.0  # for requests that are being answered when the service is told to stop
END_SECONDS = 20  # after which a process that was told to stop is killed
HUNG_SECONDS = 30  # after which a process that gives no sign of life is replaced
BACKLOG = 128
SWITCH_SECONDS = 0.0005  # a poll that finds activities being rendered has its turn after so long, not Python's 5 ms


async def serve(settings: Settings, dsn: str, started: Callable[[], None], users: Users | None = None) -> None:
    """Listen, call `started`, and serve until SIGINT or SIGTERM; then finish what is being answered."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = _runner(settings, dsn, users)
    await runner.setup()
    try:
        with _blaming(settings):
            await web.TCPSite(runner, settings.host, settings.port).start()
        started()
        await stop.wait()
    finally:
        await runner.cleanup()


def serve_with_workers(settings: Settings, dsn: str, workers: int, started: Callable[[], None]) -> None:
    """Likewise, in several processes. One that dies is replaced; if one cannot start, all end."""
    Workers(settings, dsn, workers, started).run()


class Workers(BaseApplication):
    """Processes of gunicorn's, which this one owns and whose sockets it holds."""

    def __init__(self, settings: Settings, dsn: str, workers: int, started: Callable[[], None]) -> None:
        self._runner = partial(_runner, settings, dsn)
        with _blaming(settings):
            sockets = asyncio.run(_listen(settings))
        self._options = {
            "bind": [f"fd://{listening.detach()}" for listening in sockets],
            "workers": workers,
            "worker_class": "aiohttp.GunicornUVLoopWebWorker",
            "when_ready": lambda _: started(),
            "backlog": BACKLOG,
            "timeout": HUNG_SECONDS,
            "graceful_timeout": END_SECONDS,
            "logger_class": ProcessLogger,
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[[], Awaitable[web.AppRunner]]:  # type: ignore[override]  # aiohttp's worker wants this
        async def make_runner() -> web.AppRunner:
            return self._runner()

        return make_runner


def _runner(settings: Settings, dsn: str, users: Users | None = None) -> Runner:
    app = create_app(settings, dsn, users)
    # What is there now stays: the collector need not walk over it, 0.1 s each time, whenever a call makes many objects.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
    return Runner(app, access_log_class=AccessLogger, shutdown_timeout=SHUTDOWN_SECONDS)


async def _listen(settings: Settings) -> list[socket.socket]:
    """Sockets on every address of the host, chosen and set up as for one process, for other processes to accept on."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, settings.host, settings.port, start_serving=False)
    sockets = [socket.socket(fileno=socket.dup(bound.fileno())) for bound in server.sockets]
    server.close()
    for listening in sockets:
        listening.listen(BACKLOG)  # another service may have been bound at the same time
    return sockets


@contextmanager
def _blaming(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        where = f"{settings.host}:{settings.port}"
        if exc.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"{where} is taken: set {PREFIX}PORT to a free port, or stop what listens there."
            ) from None
        raise SettingsError(f"Cannot listen on {where} ({exc.strerror}): set {PREFIX}HOST and {PREFIX}PORT.") from None
