"""Health: alive without asking anybody; ready when the database is there in the right revision."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from carbonpoints.app import create_app
from carbonpoints.core.config import load_settings
from carbonpoints.core.db import transaction

ALL_WELL = {"status": "ready", "database": "ok", "schema": "ok", "redis": "ok"}


@pytest.fixture
def nothing_there(environment: dict[str, str]) -> FlaskClient:
    """An app whose database and Redis are away."""
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    return create_app(load_settings({**environment, **away})).test_client()


def ready(client: FlaskClient) -> tuple[int, Any]:
    answer = client.get("/health/ready")
    return answer.status_code, answer.json


def test_with_everything_there_it_is_ready(client: FlaskClient) -> None:
    assert ready(client) == (200, ALL_WELL)


def test_alive_asks_nobody(nothing_there: FlaskClient) -> None:
    answer = nothing_there.get("/health/live")
    assert (answer.status_code, answer.json) == (200, {"status": "live"})


def test_without_a_database_it_is_alive_and_not_ready(nothing_there: FlaskClient) -> None:
    expected = {
        "status": "not ready",
        "database": "unavailable",
        "schema": "unavailable",
        "redis": "unavailable",
    }
    assert ready(nothing_there) == (503, expected)


def test_without_redis_it_is_ready(environment: dict[str, str]) -> None:
    app = create_app(load_settings({**environment, "REDIS_URL": "redis://127.0.0.1:1/0"}))
    assert ready(app.test_client()) == (200, {**ALL_WELL, "redis": "unavailable"})
    with app.app_context():
        from carbonpoints.core.db import db  # noqa: PLC0415

        db.engine.dispose()


def test_another_revision_of_the_schema_is_not_ready(committed: Flask, committed_client: FlaskClient) -> None:
    assert ready(committed_client) == (200, ALL_WELL)
    with committed.app_context(), transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'another'"))
    assert ready(committed_client) == (503, {**ALL_WELL, "status": "not ready", "schema": "other revision"})
    with committed.app_context(), transaction() as session:
        session.execute(text("DROP TABLE alembic_version"))
    assert ready(committed_client) == (503, {**ALL_WELL, "status": "not ready", "schema": "other revision"})
