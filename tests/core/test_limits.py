"""Limits: per caller, told in headers, counted in Redis or, while it is away, in the process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from carbonpoints.app import create_app
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import load_settings
from carbonpoints.core.db import transaction
from carbonpoints.core.roles import Role
from tests.core.conftest import ISSUER, new_bank

CLOCK = "/v1/test-clock"


LIMIT = "2"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "CARBONPOINTS_RATE_LIMIT_PER_MINUTE": LIMIT}


@pytest.fixture
def limited(committed: Flask) -> FlaskClient:
    """Two requests a minute, at a bank that was committed."""
    with committed.app_context(), transaction() as session:
        session.add(new_bank("bank-a", ISSUER))
    return committed.test_client()


@pytest.fixture
def bearer(committed: Flask) -> Callable[[str], dict[str, str]]:
    """Make the headers of a customer of the bank."""

    def make(subject: str) -> dict[str, str]:
        token = issue_demo_token(
            committed.config["CARBONPOINTS"], issuer=ISSUER, subject=subject, role=Role.CUSTOMER
        )
        return {"Authorization": f"Bearer {token}"}

    return make


@pytest.fixture
def without_redis(environment: dict[str, str]) -> FlaskClient:
    return create_app(load_settings({**environment, "REDIS_URL": "redis://127.0.0.1:1/0"})).test_client()


def remaining(client: FlaskClient, headers: dict[str, str]) -> tuple[int, str, str]:
    answer = client.get("/openapi.json", headers=headers)
    return answer.status_code, answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]


def test_the_third_call_of_a_minute_is_refused_and_another_caller_is_not(
    limited: FlaskClient, bearer: Callable[[str], dict[str, str]]
) -> None:
    one, other = bearer("one"), bearer("other")
    assert [remaining(limited, one) for _ in range(2)] == [(200, "2", "1"), (200, "2", "0")]
    refused = limited.get("/openapi.json", headers=one)
    assert refused.status_code == 429
    assert refused.json is not None
    assert refused.json["code"] == "too_many_requests"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert "X-RateLimit-Retry-After" not in refused.headers
    assert remaining(limited, other) == (200, "2", "1")


def test_an_answer_that_is_no_refusal_tells_nobody_to_wait(
    limited: FlaskClient, bearer: Callable[[str], dict[str, str]]
) -> None:
    assert "Retry-After" not in limited.get("/openapi.json", headers=bearer("one")).headers


def test_tokens_that_do_not_hold_are_counted_by_address(
    limited: FlaskClient, bearer: Callable[[str], dict[str, str]]
) -> None:
    statuses = [
        limited.get("/openapi.json", headers={"Authorization": f"Bearer guess-{n}"}).status_code
        for n in range(3)
    ]
    assert statuses == [200, 200, 429]
    assert limited.get(CLOCK).status_code == 429
    assert remaining(limited, bearer("one"))[0] == 200


def test_health_is_never_refused(limited: FlaskClient) -> None:
    assert [limited.get("/health/live").status_code for _ in range(4)] == [200] * 4


def test_limits_hold_while_redis_is_away(without_redis: FlaskClient) -> None:
    assert [without_redis.get("/openapi.json").status_code for _ in range(3)] == [200, 200, 429]
