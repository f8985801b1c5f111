"""Every route, called by everybody who must not: refused, and nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.http import PUBLIC, scope_of
from carbonpoints.core.roles import ROLE_SCOPES, Role
from tests.architecture.calls import CALLS, FOREIGNER, STRANGER
from tests.architecture.conftest import ABROAD, World

TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
)

PUBLIC_ENDPOINTS = {"static", "health.live", "health.ready", "description.openapi", "description.reference"}


def fingerprint(session: Session) -> dict[str, tuple[int, str]]:
    """How many rows each table has, and a digest over them."""
    found = {}
    for table in session.scalars(text(TABLES)).all():
        rows = sorted(session.scalars(text(f'SELECT t::text FROM "{table}" t')))
        found[table] = (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest())
    session.rollback()
    return found


def test_the_table_has_a_call_for_every_protected_route(world: World) -> None:
    assert CALLS.keys() == world.protected().keys()


def test_what_is_public_is_spelled_out(world: World) -> None:
    endpoints = {rule.endpoint for rule in world.app.url_map.iter_rules()}
    assert {endpoint for endpoint in endpoints if scope_of(world.app, endpoint) == PUBLIC} == PUBLIC_ENDPOINTS


def test_the_table_s_calls_work_for_whom_they_are_meant(world: World) -> None:
    """Without this, a refusal below might be due to the call and not to the caller."""
    refused = {}
    for endpoint in CALLS:
        with world.undone():
            answer = world.send_rightly(endpoint)
            if answer.status_code >= 300:
                refused[endpoint] = (answer.status_code, answer.text)
    assert refused == {}


Attempt = Callable[[World, str], str | None]


def without_a_token(_world: World, _endpoint: str) -> str | None:
    return None


def without_the_scope(world: World, endpoint: str) -> str | None:
    """The rightful caller, with every scope of theirs but the one that is needed."""
    role = CALLS[endpoint].role
    others = ROLE_SCOPES[role] - {scope_of(world.app, endpoint)}
    return world.token(role, scope=" ".join(sorted(others)))


def as_a_role_without_the_scope(world: World, endpoint: str) -> str | None:
    scope = scope_of(world.app, endpoint)
    return world.token(next(role for role in Role if scope not in ROLE_SCOPES[role]))


def as_another_customer(world: World, _endpoint: str) -> str | None:
    return world.token(Role.CUSTOMER, subject=STRANGER)


def as_another_bank(world: World, endpoint: str) -> str | None:
    return world.token(CALLS[endpoint].role, subject=FOREIGNER, issuer=ABROAD)


def with_a_forged_signature(world: World, endpoint: str) -> str | None:
    token = world.token(CALLS[endpoint].role)
    head, _, signature = token.rpartition(".")
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def everything() -> list[str]:
    return sorted(CALLS)


def what_a_customer_may_call_about_an_account() -> list[str]:
    return sorted(
        endpoint
        for endpoint, call in CALLS.items()
        if call.names and call.role is Role.CUSTOMER and not endpoint.startswith("catalogue.")
    )


def what_names_something() -> list[str]:
    return sorted(endpoint for endpoint, call in CALLS.items() if call.names)


@pytest.mark.parametrize(
    ("attempt", "endpoints", "expected"),
    [
        (without_a_token, everything, {401}),
        (with_a_forged_signature, everything, {401}),
        (without_the_scope, everything, {403}),
        (as_a_role_without_the_scope, everything, {403}),
        (as_another_customer, what_a_customer_may_call_about_an_account, {404}),
        (as_another_bank, what_names_something, {403, 404}),
    ],
)
def test_every_route_refuses_and_nothing_changes(
    world: World, session: Session, attempt: Attempt, endpoints: Callable[[], list[str]], expected: set[int]
) -> None:
    before = fingerprint(session)
    answers = {
        endpoint: world.send(endpoint, attempt(world, endpoint)).status_code for endpoint in endpoints()
    }
    assert {endpoint: status for endpoint, status in answers.items() if status not in expected} == {}
    assert fingerprint(session) == before
    assert len(answers) > 10
