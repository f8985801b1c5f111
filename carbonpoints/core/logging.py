"""Logs: one JSON object per line on standard error, with the request's id and no personal data.

A line names the route, never the path, so that no identifier of a customer slips in; database errors are
logged by their code and primary message, without parameters and without the row's values.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import MutableMapping
from typing import Any

import psycopg
import structlog
from flask import Flask, Response, g, has_request_context, request
from sqlalchemy.exc import DBAPIError

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
Event = MutableMapping[str, Any]


def request_id() -> str | None:
    """Return the id of the request that is being answered; None outside requests."""
    return g.get("request_id") if has_request_context() else None


def _message(error: BaseException) -> str:
    if isinstance(error, DBAPIError):
        return _message(error.orig) if error.orig else type(error).__name__
    if isinstance(error, psycopg.Error) and error.sqlstate:
        # Class 22, data exceptions, quotes the value that was wrong.
        message = "" if error.sqlstate.startswith("22") else error.diag.message_primary
        return f"{type(error).__name__} {error.sqlstate}: {message}"
    return f"{type(error).__name__}: {error}"


def describe_exception(error: BaseException) -> list[str]:
    """Return the chain of an exception, innermost cause last: each message and then its frames."""
    lines: list[str] = []
    current: BaseException | None = error
    while current is not None:
        lines.append(_message(current))
        lines.extend(
            f"  {frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(current.__traceback__)
        )
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return lines


def _render_exception(_logger: Any, _method: str, event: Event) -> Event:
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["exception"] = describe_exception(error)
    return event


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _render_exception,
]


class _Handler(logging.StreamHandler[Any]):
    """Our handler on the root logger: one, however often an app is created."""


def configure_logging() -> None:
    """Send our own logs and those of every library through the same JSON lines."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    if any(isinstance(handler, _Handler) for handler in root.handlers):
        return
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    g.started_at = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    structlog.get_logger("carbonpoints.access").info(
        "request",
        method=request.method,
        route=request.url_rule.rule if request.url_rule else None,
        status=response.status_code,
        duration_ms=round((time.perf_counter() - g.started_at) * 1000, 1),
    )
    return response


def init_logging(app: Flask) -> None:
    """Give every request its id and one line in the log; must come before any other hook."""
    configure_logging()
    app.before_request(_begin)
    app.after_request(_finish)
