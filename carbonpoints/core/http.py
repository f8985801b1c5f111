"""What every route stands on: blueprints, schemas, the registration with its scopes, and the hooks around.

Routes do three things: schema in, one service call, schema out. Which scope an operation needs is declared
where its blueprint is registered, for each by name; nothing is public unless the table says PUBLIC.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import flask_smorest
import marshmallow
from flask import Flask, Request, Response, current_app, request
from flask_babel import Babel
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge

from carbonpoints.core import strict_json
from carbonpoints.core.auth import authorise
from carbonpoints.core.config import Settings
from carbonpoints.core.errors import InvalidRequest
from carbonpoints.core.problems import LANGUAGE_TAGS, MalformedRequest, UnsupportedMediaType, field_errors
from carbonpoints.core.roles import SCOPES

PUBLIC = "public"
"""The scope of an operation that asks for no token."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""On every answer that does not set its own."""


class Schema(marshmallow.Schema):
    """Base of every schema: unknown fields are refused, fields keep their order."""

    class Meta:
        """Refuse what we do not know."""

        unknown = marshmallow.RAISE


class Parser(FlaskParser):
    """Reads requests: strict JSON, unknown fields refused in queries too, errors as our own."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - webargs declares it for instances too
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": marshmallow.RAISE,
        "querystring": marshmallow.RAISE,
    }

    def _raw_load_json(self, req: Request) -> Any:
        body = req.get_data(cache=True)
        if not body:
            return {}
        if not req.is_json:
            raise UnsupportedMediaType
        return load_json(body)

    def handle_error(self, error: marshmallow.ValidationError, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse the request with each wrong field named."""
        fields = [field for place in error.messages_dict.values() for field in field_errors(place)]
        raise InvalidRequest(fields=fields) from error


class Blueprint(flask_smorest.Blueprint):
    """A domain's routes; documented in OpenAPI as they are declared."""

    ARGUMENTS_PARSER = Parser()


class Api(flask_smorest.Api):
    """flask-smorest's registry of operations, without its error shape."""

    def _register_error_handlers(self) -> None:
        """Leave errors to `core.problems`."""


@dataclass(frozen=True)
class Registration:
    """A blueprint and, for each of its functions by name, the scope it needs or PUBLIC."""

    blueprint: Blueprint
    scopes: Mapping[str, str]
    uploads: frozenset[str] = frozenset()
    """Functions that take a file and have the larger limit of body."""


class BoundedRequest(Request):
    """A request whose body is never cut short: Werkzeug reads one without a length up to the limit and stops."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """Return the body; RequestEntityTooLarge when it has no declared length and reaches the limit."""
        data = super().get_data(*args, **kwargs)
        limit = self.max_content_length
        if self.content_length is None and limit is not None and len(data) >= limit:
            raise RequestEntityTooLarge
        return data


def load_json(body: bytes) -> Any:
    """Return what a body says; MalformedRequest when it is not strict JSON."""
    try:
        return strict_json.loads(body)
    except ValueError as error:
        raise MalformedRequest("The body is not JSON that we can read.") from error


def scope_of(app: Flask, endpoint: str) -> str:
    """Return the scope that an endpoint needs, or PUBLIC."""
    scopes: dict[str, str] = app.extensions["carbonpoints_scopes"]
    return scopes[endpoint]


def register(app: Flask, api: Api, registration: Registration) -> None:
    """Register a blueprint with its scopes.

    Raises ValueError when the table misses one of its functions, names another or a scope that is none.
    """
    name = registration.blueprint.name
    api.register_blueprint(registration.blueprint)
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.startswith(f"{name}.")}
    declared = {f"{name}.{function}": scope for function, scope in registration.scopes.items()}
    uploads = {f"{name}.{function}" for function in registration.uploads}
    if endpoints != declared.keys() or not uploads <= endpoints:
        raise ValueError(f"the scopes of {name} do not fit its routes: {sorted(endpoints ^ declared.keys())}")
    unknown = set(declared.values()) - SCOPES - {PUBLIC}
    if unknown:
        raise ValueError(f"unknown scopes of {name}: {sorted(unknown)}")
    app.extensions["carbonpoints_scopes"].update(declared)
    app.extensions["carbonpoints_uploads"].update(uploads)


def request_language() -> str:
    """Return `zh` or `en`, whichever the caller prefers; `en` where neither is asked for."""
    for tag, quality in request.accept_languages:
        language = tag.partition("-")[0].lower()
        if quality > 0 and language in LANGUAGE_TAGS:
            return language
    return "en"


def _guard_request() -> None:
    """Bound the body, refuse what no table can keep."""
    if request.endpoint in current_app.extensions["carbonpoints_uploads"]:
        request.max_content_length = current_app.config["UPLOAD_BYTES_MAX"]
    if "\0" in request.path or b"%00" in request.query_string:
        raise MalformedRequest("The address contains NUL.")


def _authorise_request() -> None:
    """Ask for the scope that the registration declares. A route that is in no table answers 500."""
    if request.endpoint is None:
        return
    scope = scope_of(current_app, request.endpoint)
    if scope != PUBLIC:
        authorise(scope)


def _secure_answer(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if current_app.config["CARBONPOINTS"].is_production:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    return response


def init_http(app: Flask, settings: Settings) -> Api:
    """Prepare the app for blueprints and return the registry to register them with."""
    mimetypes.add_type("text/javascript", ".js")
    app.config["MAX_CONTENT_LENGTH"] = settings.request_bytes_max
    app.config["UPLOAD_BYTES_MAX"] = settings.upload_bytes_max
    app.extensions["carbonpoints_scopes"] = {"static": PUBLIC}
    app.extensions["carbonpoints_uploads"] = set()
    app.request_class = BoundedRequest
    strict_json.init_json(app)
    Babel(app, locale_selector=request_language)
    app.before_request(_guard_request)
    app.after_request(_secure_answer)
    return Api(app)


def init_authorisation(app: Flask) -> None:
    """Ask every request for its scope; comes after the limits, which count failed tokens too."""
    app.before_request(_authorise_request)
