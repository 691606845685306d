"""Logs: one JSON object a line on standard error, or words for people if that is a terminal.

Never a path, because a feed's path holds its token, and so never a request that could not be read.
"""

import logging
import sys
from contextlib import suppress

import structlog
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import BaseRequest, Request, StreamResponse
from gunicorn.config import Config
from gunicorn.glogging import Logger
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from feed.routes import PATHS

ACCESS = logging.getLogger("access")
FEEDS = "/feeds/"


def configure_logs(level: str) -> None:
    """Send our own log and that of the libraries through one formatter."""
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    structlog.configure(
        processors=[*shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    renderers: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if sys.stderr.isatty():
        renderers = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_without_requests)
    handler.setFormatter(
        ProcessorFormatter(processors=[ProcessorFormatter.remove_processors_meta, *renderers], foreign_pre_chain=shared)
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("alembic").setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _without_requests(record: logging.LogRecord) -> bool:
    """Take out what aiohttp says of a malformed request: it repeats the request's line, token and all."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.msg, record.args, record.exc_info = "malformed request", (), None
        record.levelno, record.levelname = logging.INFO, "INFO"  # anybody can send one
    return logging.getLogger().isEnabledFor(record.levelno)


class AccessLogger(AbstractAccessLogger):
    """Logs the route's pattern in place of the path that was asked for: polls, of which there are many, at DEBUG."""

    @property
    def enabled(self) -> bool:
        return ACCESS.isEnabledFor(logging.INFO)

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        level = logging.DEBUG if request.raw_path.startswith(FEEDS) else logging.INFO
        if ACCESS.isEnabledFor(level):
            said = {"status": response.status, "octets": response.body_length, "ms": round(time * 1000, 1)}
            structlog.get_logger(ACCESS.name).log(
                level, "request", method=request.method, route=_route(request), **said
            )


def _route(request: BaseRequest) -> str | None:
    with suppress(AssertionError):  # it was never matched
        resource = request.match_info.route.resource if isinstance(request, Request) else None
        return resource.canonical if resource else None
    if request.raw_path.startswith(FEEDS):  # a poll that took the short cut
        return PATHS[request.raw_path.count("/") < PATHS[0].count("/")]
    return None  # what could not be read


class ProcessLogger(Logger):
    """What gunicorn warns of, through our formatter."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(max(logging.WARNING, logging.root.level))
