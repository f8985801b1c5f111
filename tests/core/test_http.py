"""Requests in, problems out: limits of size and type, unknown fields, languages, request ids, headers."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from carbonpoints.app import create_app
from carbonpoints.core.config import Settings
from carbonpoints.core.errors import Busy, FieldError, InvalidRequest
from carbonpoints.core.http import PUBLIC, Blueprint, Registration, register
from carbonpoints.core.problems import FIELD_MESSAGES, field_errors

CLOCK = "/v1/test-clock"
STREAM_CHUNK = 1024 * 1024


def code_of(response: TestResponse) -> str:
    assert response.content_type == "application/problem+json"
    assert response.json is not None
    assert response.json["status"] == response.status_code
    return str(response.json["code"])


def test_an_unknown_address_is_a_problem(client: FlaskClient) -> None:
    response = client.get("/v1/nothing", headers={"X-Request-Id": "call-0001"})
    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert response.json == {
        "type": "urn:carbonpoints:problem:not_found",
        "title": "There is nothing here for you.",
        "status": 404,
        "code": "not_found",
        "instance": "/v1/nothing",
        "request_id": "call-0001",
    }


def test_a_wrong_method_says_which_are_allowed(client: FlaskClient, headers: Any) -> None:
    response = client.post(CLOCK, headers=headers())
    assert (response.status_code, code_of(response)) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"


@pytest.mark.parametrize(
    ("body", "content_type", "refusal"),
    [
        ("{", "application/json", (400, "malformed_request")),
        ('{"fixed_at":"x","fixed_at":"x"}', "application/json", (400, "malformed_request")),
        ("{}", "text/plain", (415, "unsupported_media_type")),
        ("fixed_at=1", "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
        ("", "application/json", (422, "invalid_request")),
        ("[]", "application/json", (422, "invalid_request")),
        ("null", "application/json", (422, "invalid_request")),
    ],
)
def test_bodies_that_cannot_be_taken(
    client: FlaskClient, headers: Any, body: str, content_type: str, refusal: tuple[int, str]
) -> None:
    response = client.put(CLOCK, headers=headers(), data=body, content_type=content_type)
    assert (response.status_code, code_of(response)) == refusal


def test_each_wrong_field_is_named(client: FlaskClient, headers: Any) -> None:
    body = {"fixed_at": "2026-03-01T09:00:00", "colour": "green"}
    response = client.put(CLOCK, headers=headers(), json=body)
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["errors"] == [
        {"field": "fixed_at", "code": "offset_missing", "detail": "Not a valid aware datetime."},
        {"field": "colour", "code": "unknown_field", "detail": "Unknown field."},
    ]


def test_the_same_error_in_chinese_has_the_same_code(client: FlaskClient, headers: Any) -> None:
    response = client.put(CLOCK, headers={**headers(), "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}, json={})
    assert response.headers["Content-Language"] == "zh-CN"
    assert response.headers["Vary"] == "Accept-Language"
    assert response.json is not None
    assert (response.json["code"], response.json["title"]) == ("invalid_request", "请求中有字段不正确。")
    assert response.json["errors"] == [{"field": "fixed_at", "code": "required", "detail": "缺少必填字段。"}]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh", "zh-CN"),
        ("zh-Hans-CN", "zh-CN"),
        ("zh-TW", "zh-CN"),
        ("de", "en"),
        ("fr,zh;q=0.1", "zh-CN"),
    ],
)
def test_the_language_is_the_caller_s(client: FlaskClient, accepted: str, language: str) -> None:
    assert client.get("/x", headers={"Accept-Language": accepted}).headers["Content-Language"] == language


@pytest.mark.parametrize("given", ["", "short", "a" * 65, "with space", 'quote"quote', "new\tline!"])
def test_a_request_id_that_is_not_sane_is_replaced(client: FlaskClient, given: str) -> None:
    answered = client.get("/health/live", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert answered != given
    assert len(answered) == 32


def test_answers_carry_security_headers(client: FlaskClient) -> None:
    for path in ("/health/live", "/nothing"):
        answer = client.get(path)
        assert {
            name: answer.headers[name]
            for name in ("X-Content-Type-Options", "X-Frame-Options", "Cache-Control")
        } == {
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cache-Control": "no-store",
        }
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "Strict-Transport-Security" not in answer.headers


def test_nul_reaches_no_route(client: FlaskClient) -> None:
    for path in ("/health/live%00", "/health/live?x=%00"):
        response = client.get(path)
        assert (response.status_code, code_of(response)) == (400, "malformed_request")


class Zeros(BytesIO):
    """A body without end, in chunks."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def read(self, size: int | None = -1) -> bytes:
        length = STREAM_CHUNK if size is None or size < 0 else min(size, STREAM_CHUNK)
        self.sent += length
        return b"0" * length

    def readinto(self, buffer: Any) -> int:
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def test_a_body_over_the_limit_is_refused(client: FlaskClient, headers: Any, settings: Settings) -> None:
    body = b'"' + b"x" * settings.request_bytes_max + b'"'
    response = client.put(CLOCK, headers=headers(), data=body, content_type="application/json")
    assert (response.status_code, code_of(response)) == (413, "content_too_large")


def test_a_body_without_length_is_read_to_the_limit_only(
    client: FlaskClient, headers: Any, settings: Settings
) -> None:
    body = Zeros()
    response = client.put(
        CLOCK,
        headers=headers(),
        input_stream=body,
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert (response.status_code, code_of(response)) == (413, "content_too_large")
    assert body.sent < 2 * settings.request_bytes_max + STREAM_CHUNK


probe = Blueprint("probe", __name__, url_prefix="/probe")
SECRET = "what the customer must not see"


@probe.route("/failing")
def failing() -> None:
    """Fail."""
    raise ValueError(SECRET)


@probe.route("/busy")
def busy() -> None:
    """Be busy."""
    raise Busy


@probe.route("/refusing")
def refusing() -> None:
    """Refuse a field."""
    raise InvalidRequest(
        "Must be one of: %(choices)s.",
        params={"choices": "a"},
        fields=[FieldError("x", "y", "At most %(max)s decimals are accepted.", {"max": 2})],
    )


@probe.route("/upload", methods=["POST"])
def upload() -> dict[str, int]:
    """Count what is uploaded."""
    from flask import request  # noqa: PLC0415 - the probe stands in for a domain's routes

    return {"bytes": len(request.get_data())}


@pytest.fixture
def probing(settings: Settings) -> FlaskClient:
    app = create_app(settings)
    scopes = {"failing": PUBLIC, "busy": PUBLIC, "refusing": PUBLIC, "upload": PUBLIC}
    register(app, app.extensions["carbonpoints_api"], Registration(probe, scopes, frozenset({"upload"})))
    return app.test_client()


def test_an_unexpected_error_says_nothing(probing: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    response = probing.get("/probe/failing")
    assert (response.status_code, code_of(response)) == (500, "internal")
    assert SECRET not in response.text
    assert "detail" not in (response.json or {})


def test_a_busy_account_says_when_to_come_back(probing: FlaskClient) -> None:
    response = probing.get("/probe/busy")
    assert (response.status_code, code_of(response)) == (503, "busy")
    assert response.headers["Retry-After"] == "1"


def test_details_are_translated_with_what_fills_them(probing: FlaskClient) -> None:
    response = probing.get("/probe/refusing", headers={"Accept-Language": "zh"})
    assert response.json is not None
    assert response.json["detail"] == "必须是以下之一：a。"
    assert response.json["errors"] == [{"field": "x", "code": "y", "detail": "最多接受 2 位小数。"}]


def test_an_upload_has_the_larger_limit(probing: FlaskClient, settings: Settings) -> None:
    size = settings.request_bytes_max + 1
    assert probing.post("/probe/upload", data=b"x" * size).json == {"bytes": size}


@pytest.mark.parametrize(
    "scopes",
    [
        {"failing": PUBLIC},
        {"failing": PUBLIC, "busy": PUBLIC, "refusing": PUBLIC, "upload": PUBLIC, "more": PUBLIC},
        {"failing": "accounts:everything", "busy": PUBLIC, "refusing": PUBLIC, "upload": PUBLIC},
    ],
)
def test_a_registration_names_every_function_and_a_real_scope(
    settings: Settings, scopes: dict[str, str]
) -> None:
    app = create_app(settings)
    with pytest.raises(ValueError, match="scopes of probe"):
        register(app, app.extensions["carbonpoints_api"], Registration(probe, scopes))


def test_every_message_of_marshmallow_is_recognised_with_its_values() -> None:
    samples = {"min": "3", "max": "7", "choices": "a, b", "other": "x", "equal": "5"}
    for template, code in FIELD_MESSAGES:
        (error,) = field_errors({"data": {"km": [template % samples]}})
        assert (error.field, error.code) == ("data.km", code)
    assert [e.code for e in field_errors({0: ["Something of our own."]})] == ["invalid"]


def test_nested_messages_become_paths() -> None:
    messages: dict[Any, Any] = {0: {"data": {"_schema": ["Invalid input type."], "km": ["Unknown field."]}}}
    assert [(e.field, e.code) for e in field_errors(messages)] == [
        ("0.data", "wrong_type"),
        ("0.data.km", "unknown_field"),
    ]
