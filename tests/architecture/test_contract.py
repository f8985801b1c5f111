"""The API does what its description says: requests made up from the description, answers checked against it."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from carbonpoints.rules.workbook_routes import XLSX
from tests.architecture.calls import CALLS
from tests.architecture.conftest import World

schemathesis.serializer.alias(XLSX, "application/octet-stream")

EXAMPLES = 12
"""For each operation."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Outside:
    """The app, called from outside the test's app context, as every real caller does."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return contextvars.Context().run(self._app.wsgi_app, environ, start_response)


@pytest.fixture
def described(world: World) -> dict[str, Any]:
    """Every operation that needs a token, as schemathesis reads it from the description, by endpoint."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", Outside(world.app))
    endpoints = {endpoint.replace(".", "_"): endpoint for endpoint in CALLS}
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {
        endpoints[operation.definition.raw["operationId"]]: operation
        for operation in operations
        if operation.definition.raw["operationId"] in endpoints
    }


def test_answers_are_as_described_whatever_is_asked(world: World, described: dict[str, Any]) -> None:
    assert described.keys() == CALLS.keys()
    for endpoint in sorted(described):
        with world.undone():
            _try(world, endpoint, described[endpoint])


def _try(world: World, endpoint: str, operation: Any) -> None:
    """Ask made-up questions as the rightful caller; half of them about what really exists."""
    token = world.token(CALLS[endpoint].role)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), is_real=st.booleans())
    def ask(case: Any, is_real: bool) -> None:  # noqa: FBT001 - Hypothesis fills it by name
        if is_real:
            case.path_parameters = world.places(endpoint)
        response = case.call(headers={"Authorization": f"Bearer {token}"})
        case.validate_response(response, checks=CHECKS)

    ask()
