"""The OpenAPI 3.1 document: what flask-smorest knows of the routes, completed with what holds for all."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, NamedTuple

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from carbonpoints.core.crypto import SUITE
from carbonpoints.core.http import PUBLIC, Api, scope_of
from carbonpoints.core.problems import PROBLEM_JSON
from carbonpoints.core.roles import ROLE_SCOPES

DOCUMENT = Path("docs/openapi.json")
_SERVED = "carbonpoints_openapi"
METHODS = ("get", "put", "post", "patch", "delete")
DESCRIPTION = """\
Personal carbon accounts at a bank: behaviours in, estimated reduction and credits out, each explained.

Amounts are integers with their unit in the name: `reduction_mg` is milligrams of CO2 equivalent,
`amount_millicredits` thousandths of a credit. Times are RFC 3339 with an offset. Errors are problem+json
(RFC 9457) with a stable `code`; texts come in English or Chinese by `Accept-Language`. Send `X-Request-Id` to
find a call again in the logs.
"""

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "code", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string", "description": "What kind of error, in the caller's language."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "description": "Stable name of the error, the same in every language."},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {
                    "field": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def configure_openapi(app: Flask, version: str) -> None:
    """Set what flask-smorest needs before its registry is made."""
    app.config.update(
        API_TITLE="carbonpoints",
        API_VERSION=version,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={"info": {"description": DESCRIPTION}, "servers": [{"url": "/"}]},
    )


def _problem_response(description: str) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {PROBLEM_JSON: {"schema": reference}}}


def _spoken(tag: str) -> str:
    return tag.replace("_", " ")


def _complete_operation(operation: dict[str, Any], scope: str) -> None:
    operation["tags"] = [_spoken(tag) for tag in operation["tags"]]
    operation["summary"] = operation["summary"].removesuffix(".")
    responses = operation.setdefault("responses", {})
    for status, response in list(responses.items()):
        if status.isdigit() and int(status) >= 400 and "$ref" in response:  # noqa: PLR2004 - first error status
            del responses[status]  # flask-smorest's own shape; ours is the default below.
    responses["default"] = _problem_response("An error; its `code` says which.")
    if scope == PUBLIC:
        operation["security"] = []
        return
    operation["security"] = [{"bearer": [scope]}]
    roles = sorted(role.value for role, scopes in ROLE_SCOPES.items() if scope in scopes)
    allowed = f"Scope `{scope}`; roles: {', '.join(roles)}."
    operation["description"] = "\n\n".join(filter(None, [operation.get("description"), allowed]))
    responses["401"] = _problem_response("No token, or one that does not hold.")
    responses["403"] = _problem_response("The token does not allow this.")
    responses["429"] = _problem_response("Too many requests; `Retry-After` says how long to wait.")


def _write_patterns_for_json_schema(node: Any) -> None:
    """Anchor patterns as JSON Schema reads them: Python matches from the start and has its own mark of the end."""
    if isinstance(node, dict):
        pattern = node.get("pattern")
        if isinstance(pattern, str):
            inner = pattern.removesuffix("\\Z")
            node["pattern"] = f"^(?:{inner})" + ("$" if inner != pattern else "")
        for value in node.values():
            _write_patterns_for_json_schema(value)
    elif isinstance(node, list):
        for value in node:
            _write_patterns_for_json_schema(value)


def build_document(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of the app as it is registered."""
    api: Api = app.extensions["carbonpoints_api"]
    document: dict[str, Any] = copy.deepcopy(api.spec.to_dict())
    _write_patterns_for_json_schema(document)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    for name in ("Error", "PaginationMetadata"):
        components["schemas"].pop(name, None)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    for tag in document["tags"]:
        tag["name"] = _spoken(tag["name"])
    operations = _operations_by_place(app)
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                endpoint = operations[path, method]
                item[method]["operationId"] = endpoint.replace(".", "_")
                _complete_operation(item[method], scope_of(app, endpoint))
    # Responses that flask-smorest keeps for its own error shape lead nowhere now.
    text = json.dumps(document["paths"])
    kept = components.get("responses", {}).items()
    components["responses"] = {name: one for name, one in kept if f'"#/components/responses/{name}"' in text}
    return document


def _operations_by_place(app: Flask) -> dict[tuple[str, str], str]:
    api: Api = app.extensions["carbonpoints_api"]
    return {
        (api.flask_plugin.flaskpath2openapi(rule.rule), method.lower()): rule.endpoint
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }


def document_text(app: Flask) -> str:
    """Return the document as it is written to `docs/openapi.json`."""
    return json.dumps(build_document(app), indent=2, ensure_ascii=False) + "\n"


class ServedDocument(NamedTuple):
    """The document as the API gives it out, and its tag."""

    content: bytes
    etag: str


def served_document(app: Flask) -> ServedDocument:
    """Return the document, made once in a process: routes do not change while it runs."""
    served: ServedDocument | None = app.extensions.get(_SERVED)
    if served is None:
        content = document_text(app).encode()
        served = app.extensions[_SERVED] = ServedDocument(content, SUITE.digest(content).hex())
    return served


openapi_cli = AppGroup("openapi", help="The API's own description.")


@openapi_cli.command("write")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=DOCUMENT)
def write_document(file: Path) -> None:
    """Write the OpenAPI document to FILE (default docs/openapi.json)."""
    file.write_text(document_text(current_app), encoding="utf-8")
