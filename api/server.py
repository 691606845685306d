"""Runs the service until it is told to stop."""

import asyncio
import errno
import signal
from collections.abc import Callable

from aiohttp import web

from api.app import create_app
from api.logs import AccessLogger
from api.settings import PREFIX, Settings, SettingsError

SHUTDOWN_SECONDS = 5.0  # for requests that are being answered when the service is told to stop


async def serve(settings: Settings, dsn: str, started: Callable[[], None]) -> None:
    """Listen, call `started`, and serve until SIGINT or SIGTERM; then finish what is being answered."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = create_app(settings, dsn)
    runner = web.AppRunner(app, access_log_class=AccessLogger, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await _listen(runner, settings)
        started()
        await stop.wait()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as exc:
        where = f"{settings.host}:{settings.port}"
        if exc.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"{where} is taken: set {PREFIX}PORT to a free port, or stop what listens there."
            ) from None
        raise SettingsError(f"Cannot listen on {where} ({exc.strerror}): set {PREFIX}HOST and {PREFIX}PORT.") from None
