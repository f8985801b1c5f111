"""Connections that the database has ended: found out before they are used, or answered with 503 once."""

from __future__ import annotations

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from carbonpoints.core import db as database
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.db import db, raw_connection, reading, transaction
from carbonpoints.core.roles import Role
from tests.core.conftest import ISSUER, new_bank

END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
def pooled(committed: Flask) -> Flask:
    """An app of a bank with two connections in its pool."""
    with committed.app_context():
        with transaction() as session:
            session.add(new_bank("bank-a", ISSUER))
        with db.engine.connect() as one, db.engine.connect() as other:
            assert (one.scalar(text("SELECT 1")), other.scalar(text("SELECT 1"))) == (1, 1)
    return committed


def end_all(app: Flask) -> None:
    """Let the database end every connection of the app's pool."""
    address = app.config["CARBONPOINTS"].database_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(address) as connection:
        assert len(connection.execute(END_ALL).fetchall()) == 2


def ask(app: Flask) -> TestResponse:
    settings = app.config["CARBONPOINTS"]
    token = issue_demo_token(settings, issuer=ISSUER, subject="one", role=Role.OPERATIONS)
    client: FlaskClient = app.test_client()
    return client.get("/v1/test-clock", headers={"Authorization": f"Bearer {token}"})


def test_a_connection_that_rested_is_asked_before_it_is_used(
    pooled: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RESTED_S", 0.0)
    end_all(pooled)
    with pooled.app_context(), reading() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_one_that_has_just_answered_is_believed_and_its_end_is_answered_with_come_again(
    pooled: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RESTED_S", 3600.0)
    assert ask(pooled).status_code == 200
    end_all(pooled)
    refused = ask(pooled)
    assert refused.status_code == 503
    assert refused.json is not None
    assert refused.json["code"] == "unavailable"
    assert refused.headers["Retry-After"] == "5"
    assert ask(pooled).status_code == 200


def test_what_the_driver_itself_reports_is_answered_with_come_again_too(pooled: Flask) -> None:
    with pooled.test_request_context():
        pooled.preprocess_request()
        with reading() as session:
            raw_connection(session).execute("SET LOCAL statement_timeout = 1")
            with pytest.raises(psycopg.errors.QueryCanceled) as slow:
                raw_connection(session).execute("SELECT pg_sleep(10)")
        answer = pooled.make_response(pooled.handle_user_exception(slow.value))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
