"""The test clock: one for all processes, for whom it is meant, never in production."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from carbonpoints.app import create_app
from carbonpoints.core.clock import now, set_clock
from carbonpoints.core.config import Settings
from carbonpoints.core.models import TestClock
from carbonpoints.core.roles import Role
from carbonpoints.core.shared_clock import fix_shared_clock, follow_shared_clock

CLOCK = "/v1/test-clock"
NOON = "2026-03-01T12:00:00+08:00"
NOON_UTC = datetime(2026, 3, 1, 4, tzinfo=UTC)


@pytest.fixture(autouse=True)
def running_clock(app: Flask) -> Iterator[None]:
    """Leave the process's clock as it was."""
    yield
    set_clock(None)
    app.extensions.pop("carbonpoints_shared_clock", None)


def test_it_is_set_read_and_released(client: FlaskClient, session: Session, headers: Any) -> None:
    assert client.put(CLOCK, headers=headers(), json={"fixed_at": NOON}).json == {
        "now": "2026-03-01T04:00:00+00:00"
    }
    assert now() == NOON_UTC
    assert session.scalar(select(TestClock.fixed_at)) == NOON_UTC
    assert client.get(CLOCK, headers=headers()).json == {"now": "2026-03-01T04:00:00+00:00"}
    assert client.delete(CLOCK, headers=headers()).status_code == 200
    assert session.scalar(select(TestClock.fixed_at)) is None
    assert now().year > 2025


def test_another_process_follows_with_its_next_request_or_task(app: Flask, session: Session) -> None:
    fix_shared_clock(NOON_UTC)
    # This is what another process has: the row, and no knowledge of it yet.
    set_clock(None)
    app.extensions.pop("carbonpoints_shared_clock")
    follow_shared_clock()
    assert now() == NOON_UTC
    fix_shared_clock(None)
    assert now() != NOON_UTC


def test_a_clock_set_in_one_process_alone_stays(session: Session) -> None:
    set_clock(NOON_UTC)
    follow_shared_clock()
    assert now() == NOON_UTC


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OPERATIONS])
def test_only_operations_may_touch_it(client: FlaskClient, headers: Any, role: Role) -> None:
    answer = client.put(CLOCK, headers=headers(role), json={"fixed_at": NOON})
    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="carbonpoints", error="insufficient_scope", scope="clock:write"'
    )


def test_production_has_no_such_address_and_refuses_the_function(settings: Settings) -> None:
    production = create_app(dataclasses.replace(settings, environment="production", jwt_hs256_secret=""))
    assert production.test_client().get(CLOCK).status_code == 404
    assert CLOCK not in {rule.rule for rule in production.url_map.iter_rules()}
    with production.app_context(), pytest.raises(RuntimeError, match="production"):
        fix_shared_clock(NOON_UTC)
