"""Logs: one JSON object a line on standard error, and never a path, because a feed's path holds its token."""

import logging
import sys

import structlog
from aiohttp.abc import AbstractAccessLogger
from aiohttp.web import BaseRequest, Request, StreamResponse
from structlog.typing import Processor


def configure_logs(level: str) -> None:
    """Send our own log and that of the libraries through one formatter."""
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    renderer: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[*renderer, structlog.processors.JSONRenderer()], foreign_pre_chain=shared
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("asyncio").setLevel(max(logging.INFO, logging.getLevelName(level)))


class AccessLogger(AbstractAccessLogger):
    """Logs the route's pattern in place of the path that was asked for."""

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        resource = request.match_info.route.resource if isinstance(request, Request) else None
        structlog.get_logger("access").info(
            "request",
            method=request.method,
            route=resource.canonical if resource else None,
            status=response.status,
            octets=response.body_length,
            ms=round(time * 1000, 1),
        )
