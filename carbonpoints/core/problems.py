"""Every error as problem+json (RFC 9457), in the caller's language, with the same code in each.

Errors say what they mean in English; titles and details are looked up in `translations` when the answer is
written, so that the code that raises them knows no language.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import psycopg
import structlog
from flask import Flask, Response, request
from flask_babel import get_locale, gettext
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from carbonpoints.core.errors import CarbonpointsError, FieldError, Message, NotFound
from carbonpoints.core.logging import request_id

PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:carbonpoints:problem:"
LANGUAGE_TAGS = {"en": "en", "zh": "zh-CN"}

log = structlog.get_logger()


class MalformedRequest(CarbonpointsError):
    """The request cannot be read: its JSON, an address, a header."""

    code = "malformed_request"
    status = 400
    title = "The request cannot be read."


class WrongMethod(CarbonpointsError):
    """The resource exists and does not take this method; `Allow` names those it takes."""

    code = "method_not_allowed"
    status = 405
    title = "This method is not allowed here."


class PreconditionFailed(CarbonpointsError):
    """The resource has changed since the caller read it."""

    code = "precondition_failed"
    status = 412
    title = "This has changed since you read it."


class TooLarge(CarbonpointsError):
    """The body is longer than this operation takes."""

    code = "content_too_large"
    status = 413
    title = "The request is too large."


class UnsupportedMediaType(CarbonpointsError):
    """The body is not of a type that this operation takes."""

    code = "unsupported_media_type"
    status = 415
    title = "This operation does not take this type of content."


class PreconditionRequired(CarbonpointsError):
    """A change must say which state it was made from."""

    code = "precondition_required"
    status = 428
    title = "Say which version you are changing, with If-Match."


class TooManyRequests(CarbonpointsError):
    """The caller's limit is used up; `Retry-After` says for how long."""

    code = "too_many_requests"
    status = 429
    title = "Too many requests; please wait."


class Unavailable(CarbonpointsError):
    """The database cannot be reached or is out of connections."""

    code = "unavailable"
    status = 503
    title = "The service is not available just now; please try again."
    retry_after_s = 5


_BY_STATUS: dict[int, type[CarbonpointsError]] = {
    kind.status: kind
    for kind in (
        MalformedRequest,
        NotFound,
        WrongMethod,
        PreconditionFailed,
        TooLarge,
        UnsupportedMediaType,
        PreconditionRequired,
        TooManyRequests,
    )
}

FIELD_MESSAGES = (
    ("Missing data for required field.", "required"),
    ("Unknown field.", "unknown_field"),
    ("Field may not be null.", "null"),
    ("Not a valid string.", "wrong_type"),
    ("Not a valid integer.", "wrong_type"),
    ("Not a valid number.", "wrong_type"),
    ("Not a valid boolean.", "wrong_type"),
    ("Not a valid list.", "wrong_type"),
    ("Not a valid mapping type.", "wrong_type"),
    ("Invalid input type.", "wrong_type"),
    ("Invalid type.", "wrong_type"),
    ("Not a valid UUID.", "wrong_format"),
    ("Not a valid date.", "wrong_format"),
    ("Not a valid datetime.", "wrong_format"),
    ("Not a valid aware datetime.", "offset_missing"),
    ("String does not match expected pattern.", "wrong_format"),
    ("Special numeric values (nan or infinity) are not permitted.", "wrong_type"),
    ("Number too large.", "too_large"),
    ("Must be one of: %(choices)s.", "not_a_choice"),
    ("Must be equal to %(other)s.", "not_a_choice"),
    ("Must be greater than or equal to %(min)s and less than or equal to %(max)s.", "out_of_range"),
    ("Must be greater than or equal to %(min)s.", "too_small"),
    ("Must be greater than %(min)s.", "too_small"),
    ("Must be less than or equal to %(max)s.", "too_large"),
    ("Must be less than %(max)s.", "too_large"),
    ("Shorter than minimum length %(min)s.", "too_short"),
    ("Longer than maximum length %(max)s.", "too_long"),
    ("Length must be between %(min)s and %(max)s.", "wrong_length"),
    ("Length must be %(equal)s.", "wrong_length"),
)
"""What marshmallow says of a wrong field, and our stable code for it; the first that fits."""


def _compile(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(template)))


_COMPILED = [(_compile(template), template, code) for template, code in FIELD_MESSAGES]


def _recognise(text: str) -> tuple[str, dict[str, str], str]:
    """Return the template, the values in its places and the code of what marshmallow says."""
    for pattern, template, code in _COMPILED:
        match = pattern.fullmatch(text)
        if match:
            return template, match.groupdict(), code
    return text, {}, "invalid"


def field_errors(messages: Mapping[Any, Any] | list[Any], path: str = "") -> Iterator[FieldError]:
    """Flatten marshmallow's nested messages: one FieldError for each sentence."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            # `_schema` is marshmallow's place for what is wrong with the object as a whole.
            yield from field_errors(inner, path if name == "_schema" else f"{path}.{name}".lstrip("."))
        return
    for message in messages:
        if isinstance(message, str):
            # Marshmallow's own words: those of FIELD_MESSAGES, or of a ValidationError of ours.
            yield FieldError(path, _recognise(message)[2], detail=message)
        else:
            yield from field_errors(message, path)


def told(message: object) -> object:
    """Return a Message in the language of the request; everything else as it is."""
    return _translated(message.template, message.params) if isinstance(message, Message) else message


def _translated(text: str, params: Mapping[str, object]) -> str:
    return str(gettext(text, **{name: told(value) for name, value in params.items()}))


def field_body(error: FieldError) -> dict[str, str]:
    """Return one wrong field as answers name it, in the language of the request."""
    template, values, _ = _recognise(error.detail)
    detail = _translated(template, {**values, **error.params})
    return {"field": error.field, "code": error.code, "detail": detail}


def problem_body(error: CarbonpointsError, status: int) -> dict[str, Any]:
    """Return the members of the problem document, in the language of the request."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + error.code,
        "title": _translated(error.title, error.params),
        "status": status,
        "code": error.code,
        "instance": quote(request.path),
        "request_id": request_id(),
    }
    if error.detail:
        body["detail"] = _translated(error.detail, error.params)
    if error.fields:
        body["errors"] = [field_body(field) for field in error.fields]
    return body


def problem(error: CarbonpointsError, status: int | None = None) -> Response:
    """Return the answer for an error; `status` overrides the class's own."""
    status = status or error.status
    text = json.dumps(problem_body(error, status), ensure_ascii=False)
    response = Response(text, status=status, content_type=PROBLEM_JSON)
    response.headers["Content-Language"] = LANGUAGE_TAGS[get_locale().language]
    response.vary.add("Accept-Language")
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    challenge = getattr(error, "challenge", None)
    if challenge is not None:
        response.headers["WWW-Authenticate"] = challenge
    return response


def _answer_http(error: HTTPException) -> Response | HTTPException:
    """Turn what Flask and Werkzeug raise into our shape; a redirect stays what it is."""
    status = error.code or 500
    if status < 400:  # noqa: PLR2004 - the first status that is an error
        return error
    response = problem(_BY_STATUS.get(status, MalformedRequest)(), status)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _answer_unexpected(error: Exception) -> Response:
    """Say nothing, log everything."""
    if isinstance(error, OperationalError | psycopg.OperationalError | PoolTimeout):
        log.error("database_unavailable", exc_info=error)
        return problem(Unavailable())
    log.error("unexpected_error", exc_info=error)
    return problem(CarbonpointsError())


def init_problems(app: Flask) -> None:
    """Answer every error of the app as problem+json."""
    app.register_error_handler(CarbonpointsError, problem)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_unexpected)
