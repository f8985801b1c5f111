"""The API's description: valid, complete, as it is kept in docs, and shown without a network."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from carbonpoints.core import openapi
from carbonpoints.core.http import PUBLIC, scope_of
from carbonpoints.core.openapi import DOCUMENT, METHODS, build_document, document_text

ROOT = Path(__file__).resolve().parents[2]
RAPIDOC = ROOT / "carbonpoints" / "static" / "vendor" / "rapidoc"


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    with app.app_context():
        return build_document(app)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(p, m, item[m]) for p, item in document["paths"].items() for m in METHODS if m in item]


def test_what_is_kept_in_docs_is_what_the_code_says(app: Flask) -> None:
    assert (ROOT / DOCUMENT).read_text(encoding="utf-8") == document_text(app), "run: flask openapi write"


def test_every_operation_says_its_scope_its_problems_and_its_name(
    app: Flask, document: dict[str, Any]
) -> None:
    names = []
    for _, _, operation in operations(document):
        names.append(operation["operationId"])
        assert operation["summary"]
        assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}
        if operation["security"]:
            assert {"401", "403", "429"} <= operation["responses"].keys()
    assert len(names) == len(set(names))
    public = {
        endpoint.replace(".", "_") for endpoint in app.view_functions if scope_of(app, endpoint) == PUBLIC
    }
    assert {op["operationId"] for _, _, op in operations(document) if op["security"] == []} == public - {
        "static"
    }


def test_every_route_is_described(app: Flask, document: dict[str, Any]) -> None:
    described = {operation["operationId"] for _, _, operation in operations(document)}
    assert described == {endpoint.replace(".", "_") for endpoint in app.view_functions} - {"static"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(
        re.findall(r'"\$ref": "([^"]+)"', re.sub(r"\s+", " ", str(document).replace("'", '"')))
    ):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_integers_of_money_and_mass_are_documented_as_integers(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        for name, field in schema.get("properties", {}).items():
            is_amount = name.endswith(("_millicredits", "_mg", "_fen")) and "_per_" not in name
            if is_amount and "$ref" not in field:
                assert field["type"] in ("integer", ["integer", "null"]), name


def test_patterns_are_anchored_in_the_way_of_json_schema(document: dict[str, Any]) -> None:
    pattern = document["components"]["schemas"]["CloudEvent"]["properties"]["type"]["pattern"]
    assert pattern.startswith("^(?:carbonpoints")
    assert pattern.endswith(")$")
    assert "\\Z" not in str(document)


def test_the_document_is_made_once_and_not_sent_again(
    client: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.get("/openapi.json")
    assert (first.status_code, first.content_type) == (200, "application/json")
    assert first.text == (ROOT / DOCUMENT).read_text(encoding="utf-8")
    monkeypatch.setattr(openapi, "build_document", None)
    second = client.get("/openapi.json", headers={"If-None-Match": '"another"'})
    assert (second.status_code, second.data, second.headers["ETag"]) == (
        200,
        first.data,
        first.headers["ETag"],
    )
    third = client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert (third.status_code, third.data, third.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert first.headers["Cache-Control"] == third.headers["Cache-Control"] == "no-cache"


def test_the_reference_page_asks_no_other_server(client: FlaskClient) -> None:
    page = client.get("/reference")
    assert page.status_code == 200
    assert "http" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    for address in re.findall(r'(?:src|href|spec-url)="(/[^"]+)"', page.text):
        assert client.get(address, buffered=True).status_code == 200, address


def test_the_vendored_file_is_the_one_that_was_published() -> None:
    digest = hashlib.sha256((RAPIDOC / "rapidoc-min.js").read_bytes()).hexdigest()
    assert digest in (RAPIDOC / "README.md").read_text()
    assert "MIT" in (RAPIDOC / "LICENSE.txt").read_text()
