"""Routes that belong to no domain: health, the API's description, and the test clock outside production."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
import structlog
from flask import Response, current_app, jsonify, render_template, request
from marshmallow import fields, validate
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from carbonpoints.core.clock import now
from carbonpoints.core.db import reading, settings
from carbonpoints.core.http import PUBLIC, Blueprint, Registration, Schema
from carbonpoints.core.openapi import served_document
from carbonpoints.core.shared_clock import fix_shared_clock
from carbonpoints.core.timestamps import Timestamp

MIGRATION_HEAD = Path(__file__).resolve().parents[2] / "migrations" / "head.txt"
REFERENCE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' "
    # The one style element that rapidoc writes besides its constructed style sheets.
    "'sha256-2gD6VGXmWcMWc86EdR8R78p29AAtqNSab6sGvuksD6E='; "
    "style-src-attr 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REDIS_TIMEOUT_S = 1
CLOCK_MIN, CLOCK_MAX = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

log = structlog.get_logger()

health = Blueprint("health", __name__, description="Whether the service runs and can answer.")
description = Blueprint("description", __name__, description="The API's own description.")
test_clock = Blueprint(
    "test_clock", __name__, url_prefix="/v1", description="The clock of all processes; not in production."
)


class Live(Schema):
    """The process runs."""

    status = fields.Constant("live", required=True)


class Ready(Schema):
    """What the service needs, each `ok` or what is wrong with it."""

    status = fields.String(required=True, metadata={"enum": ["ready", "not ready"]})
    database = fields.String(required=True, metadata={"enum": ["ok", "unavailable"]})
    schema = fields.String(required=True, metadata={"enum": ["ok", "unavailable", "other revision"]})
    redis = fields.String(required=True, metadata={"enum": ["ok", "unavailable"]})


class ClockSetting(Schema):
    """Where the clock is to stand."""

    fixed_at = Timestamp(
        required=True,
        validate=validate.Range(min=CLOCK_MIN, max=CLOCK_MAX),
        metadata={"example": "2026-03-01T09:00:00+08:00"},
    )


class ClockState(Schema):
    """What the clock shows."""

    now = fields.AwareDateTime(required=True)


@health.route("/health/live")
@health.response(200, Live)
def live() -> dict[str, Any]:
    """Say that the process runs.

    Asks nothing else, so that an outage elsewhere restarts nobody.
    """
    return {}


@health.route("/health/ready")
@health.response(200, Ready)
@health.alt_response(
    503, schema=Ready, success=True, description="The database is away or of another revision."
)
def ready() -> Response:
    """Say whether requests can be answered.

    Without Redis they can: limits are then counted in each process, and tasks start with the next beat.
    """
    revision = _database_revision()
    head = MIGRATION_HEAD.read_text(encoding="ascii").strip()
    schema = "unavailable" if revision is None else "ok" if revision == head else "other revision"
    response = jsonify(
        status="ready" if schema == "ok" else "not ready",
        database="unavailable" if revision is None else "ok",
        schema=schema,
        redis="ok" if _redis_answers() else "unavailable",
    )
    response.status_code = 200 if schema == "ok" else 503
    return response


def _database_revision() -> str | None:
    """Return the schema's revision; empty before the first migration, None without a database."""
    try:
        with reading() as session:
            if session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                return ""
            return str(session.scalar(text("SELECT version_num FROM alembic_version")))
    except SQLAlchemyError as error:
        log.warning("database_not_ready", exc_info=error)
        return None


def _redis_answers() -> bool:
    options = {"socket_connect_timeout": REDIS_TIMEOUT_S, "socket_timeout": REDIS_TIMEOUT_S}
    try:
        with redis.Redis.from_url(settings().redis_url, **options) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@description.route("/openapi.json")
@description.response(200, {"type": "object"}, description="The OpenAPI 3.1 document.")
def openapi() -> Response:
    """Describe the API.

    With the tag of what a caller has already the answer is 304 while that is still so.
    """
    document = served_document(current_app)
    response = Response(document.content, content_type="application/json")
    response.set_etag(document.etag)
    response.headers["Cache-Control"] = "no-cache"  # It may be kept, and is asked for anew each time.
    response.make_conditional(request)
    return response


@description.route("/reference")
@description.response(200, {"type": "string"}, content_type="text/html", description="A page.")
def reference() -> Response:
    """Show the description as a page, which needs no network beyond this service."""
    response = Response(render_template("reference.html"), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = REFERENCE_CSP
    return response


@test_clock.route("/test-clock")
@test_clock.response(200, ClockState)
def read_clock() -> dict[str, datetime]:
    """Read the clock."""
    return {"now": now()}


@test_clock.route("/test-clock", methods=["PUT"])
@test_clock.arguments(ClockSetting)
@test_clock.response(200, ClockState)
def set_clock(setting: dict[str, datetime]) -> dict[str, datetime]:
    """Fix the clock of every process at one instant."""
    fix_shared_clock(setting["fixed_at"])
    return {"now": now()}


@test_clock.route("/test-clock", methods=["DELETE"])
@test_clock.response(200, ClockState)
def release_clock() -> dict[str, datetime]:
    """Let the clock run again."""
    fix_shared_clock(None)
    return {"now": now()}


HEALTH = Registration(health, scopes={"live": PUBLIC, "ready": PUBLIC})
DESCRIPTION = Registration(description, scopes={"openapi": PUBLIC, "reference": PUBLIC})
TEST_CLOCK = Registration(
    test_clock,
    scopes={"read_clock": "clock:write", "set_clock": "clock:write", "release_clock": "clock:write"},
)
