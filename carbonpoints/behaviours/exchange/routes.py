"""The exchange over HTTP: agreements, marks in, claims out, and what was checked elsewhere."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

from flask import Response, request

from carbonpoints.behaviours.exchange import exports, imports
from carbonpoints.behaviours.exchange.agreements import list_callers_agreements
from carbonpoints.behaviours.exchange.coverage import read_coverage
from carbonpoints.behaviours.exchange.normal_form import parse_month
from carbonpoints.behaviours.exchange.schemas import (
    AgreementsSchema,
    ConflictsQuery,
    ConflictsSchema,
    CoverageQuery,
    CoverageSchema,
    ExportSchema,
    ExportsSchema,
    ImportedSchema,
    ImportsSchema,
    ListQuery,
    RequestExportSchema,
    agreement_view,
    conflicts_view,
    coverage_view,
    export_view,
    import_view,
    imported_view,
)
from carbonpoints.behaviours.uploads import UPLOAD_BODY, read_upload
from carbonpoints.core.auth import current_caller
from carbonpoints.core.db import settings
from carbonpoints.core.http import Blueprint, Registration

JSON_LINES = "application/jsonl"
BLOCK_BYTES = 1 << 16

blueprint = Blueprint(
    "exchange",
    __name__,
    url_prefix="/v1/exchange",
    description="Acts that other programmes may have credited too: under registered agreements, with consent.",
)


@blueprint.route("/agreements")
@blueprint.response(200, AgreementsSchema)
def list_agreements() -> dict[str, Any]:
    """List the agreements with other programmes; they are changed by change requests of kind `agreement`."""
    keys = frozenset(settings().exchange_keys)
    found = list_callers_agreements(caller=current_caller())
    return {"items": [agreement_view(version, keys) for version in found]}


@blueprint.route("/imports", methods=["POST"])
@blueprint.doc(requestBody=UPLOAD_BODY)
@blueprint.response(201, ImportedSchema)
def post_import() -> tuple[dict[str, Any], int]:
    """Take over a file of another programme's marks, whole or not at all; the same file again answers 200.

    From then on an act with such a mark earns nothing. What was credited before is counted as conflicts, and stays.
    """
    with read_upload(request, settings().spool_dir) as upload:
        imported = imports.import_marks(caller=current_caller(), file=upload.file)
    return imported_view(imported), 201 if imported.is_new else 200


@blueprint.route("/imports")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, ImportsSchema)
def list_imports(query: dict[str, Any]) -> dict[str, Any]:
    """List what was taken over, the latest first."""
    return {"items": [import_view(row) for row in imports.list_imports(caller=current_caller(), **query)]}


@blueprint.route("/imports/<uuid:import_id>/conflicts")
@blueprint.arguments(ConflictsQuery, location="query")
@blueprint.response(200, ConflictsSchema)
def get_conflicts(query: dict[str, Any], import_id: uuid.UUID) -> dict[str, Any]:
    """Name the events that were credited here and are marked by an import, as they stand now.

    Nothing happens to them by itself. Whoever decides that the other programme is right has the event reversed.
    """
    found = imports.read_conflicts(caller=current_caller(), import_id=import_id, purpose=query["purpose"])
    return conflicts_view(found)


@blueprint.route("/exports", methods=["POST"])
@blueprint.arguments(RequestExportSchema)
@blueprint.response(201, ExportSchema)
def post_export(body: dict[str, Any]) -> dict[str, Any]:
    """Ask for leave to tell another programme the claims of a month, once; another person approves it."""
    row = exports.request_export(
        caller=current_caller(),
        agreement=body["agreement"],
        month=parse_month(body["period"]),
        reason=body["reason"],
    )
    return export_view(row)


@blueprint.route("/exports")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, ExportsSchema)
def list_exports(query: dict[str, Any]) -> dict[str, Any]:
    """List who asked for, approved and took which export, with count and hash of what left; the latest first."""
    return {"items": [export_view(row) for row in exports.list_exports(caller=current_caller(), **query)]}


@blueprint.route("/exports/<uuid:export_id>/approval", methods=["POST"])
@blueprint.response(200, ExportSchema)
def approve_export(export_id: uuid.UUID) -> dict[str, Any]:
    """Approve an export, as another person than the one who asked for it."""
    return export_view(exports.approve_export(caller=current_caller(), export_id=export_id))


@blueprint.route("/exports/<uuid:export_id>/file", methods=["POST"])
@blueprint.response(200, {"type": "string"}, content_type=JSON_LINES, description="A file of marks")
def take_export(export_id: uuid.UUID) -> Response:
    """Take the file of an approved export, once: of what stands now, of customers who consent now.

    It is kept nowhere. Another file needs another request.
    """
    body = _file_of(export_id)
    name = next(body).decode()
    response = Response(body, content_type=JSON_LINES)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _file_of(export_id: uuid.UUID) -> Iterator[bytes]:
    """Yield the name of an export's file, once it is made, and then its bytes; it is gone with this iterator."""
    folder = settings().spool_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        name = exports.take_export(caller=current_caller(), export_id=export_id, file=file)
        file.seek(0)
        yield name.encode()
        while block := file.read(BLOCK_BYTES):
            yield block


@blueprint.route("/coverage")
@blueprint.arguments(CoverageQuery, location="query")
@blueprint.response(200, CoverageSchema)
def get_coverage(query: dict[str, Any]) -> dict[str, Any]:
    """Say how much of a month's reduction was checked against other programmes, and how much was not."""
    return coverage_view(read_coverage(caller=current_caller(), month=parse_month(query["period"])))


EXCHANGE = Registration(
    blueprint,
    scopes={
        "list_agreements": "exchange:read",
        "post_import": "exchange:write",
        "list_imports": "exchange:read",
        "get_conflicts": "exchange:read",
        "post_export": "exchange:write",
        "list_exports": "exchange:read",
        "approve_export": "exchange:write",
        "take_export": "exchange:write",
        "get_coverage": "coverage:read",
    },
    uploads=frozenset({"post_import"}),
)
