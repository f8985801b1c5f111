"""The part of flask-smorest that we use; it ships no types."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import apispec
import flask
import marshmallow
from flask_smorest.spec.plugins import FlaskPlugin
from webargs.flaskparser import FlaskParser

_F = TypeVar("_F", bound=Callable[..., Any])
_AnySchema = marshmallow.Schema | type[marshmallow.Schema]

class Blueprint(flask.Blueprint):
    ARGUMENTS_PARSER: FlaskParser
    def __init__(
        self, name: str, import_name: str, *, url_prefix: str | None = ..., description: str = ...
    ) -> None: ...
    def route(
        self,
        rule: str,
        *,
        parameters: list[Any] | None = ...,
        tags: list[str] | None = ...,
        **options: Any,
    ) -> Callable[[_F], _F]: ...
    def arguments(
        self,
        schema: _AnySchema,
        *,
        location: str = ...,
        content_type: str | None = ...,
        required: bool = ...,
        description: str | None = ...,
        example: Any = ...,
        examples: Mapping[str, Any] | None = ...,
        **kwargs: Any,
    ) -> Callable[[_F], _F]: ...
    def response(
        self,
        status_code: int,
        schema: _AnySchema | Mapping[str, Any] | str | None = ...,
        *,
        content_type: str | None = ...,
        description: str | None = ...,
        example: Any = ...,
        examples: Mapping[str, Any] | None = ...,
        headers: Mapping[str, Any] | None = ...,
    ) -> Callable[[_F], _F]: ...
    def alt_response(
        self,
        status_code: int,
        response: str | None = ...,
        *,
        schema: _AnySchema | Mapping[str, Any] | str | None = ...,
        content_type: str | None = ...,
        description: str | None = ...,
        example: Any = ...,
        examples: Mapping[str, Any] | None = ...,
        headers: Mapping[str, Any] | None = ...,
        success: bool = ...,
    ) -> Callable[[_F], _F]: ...
    def etag(self, func: _F) -> _F: ...
    @staticmethod
    def doc(**kwargs: Any) -> Callable[[_F], _F]: ...

class Api:
    spec: apispec.APISpec
    flask_plugin: FlaskPlugin
    def __init__(self, app: flask.Flask | None = ...) -> None: ...
    def register_blueprint(self, blp: Blueprint, **options: Any) -> None: ...
    def _register_error_handlers(self) -> None: ...
