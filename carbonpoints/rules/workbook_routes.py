"""Factor tables and sample cases as XLSX: out, and checked on the way in."""

from __future__ import annotations

from flask import Response, request

from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration
from carbonpoints.core.problems import UnsupportedMediaType
from carbonpoints.rules.workbook_schemas import WorkbookReviewSchema
from carbonpoints.rules.workbook_services import (
    WorkbookReview,
    check_workbook,
    export_factors,
    export_samples,
)

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FILE = {"type": "string", "format": "binary"}

blueprint = Blueprint(
    "workbooks", __name__, url_prefix="/v1", description="Factor tables and sample cases as XLSX, out and in."
)


def _download(name: str, content: bytes) -> Response:
    response = Response(content, content_type=XLSX)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.xlsx"'
    return response


@blueprint.route("/workbooks/factors")
@blueprint.response(200, _FILE, content_type=XLSX)
def get_factors() -> Response:
    """Download the factors, a row for each current version; every cell is text."""
    return _download("factors", export_factors(caller=current_caller()))


@blueprint.route("/workbooks/rules/<code>")
@blueprint.response(200, _FILE, content_type=XLSX)
def get_samples(code: str) -> Response:
    """Download the sample cases of a rule, a column for each attribute, counter and expected result."""
    return _download(f"samples-{code}", export_samples(caller=current_caller(), code=code))


@blueprint.route("/workbooks/check", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {XLSX: {"schema": _FILE}}})
@blueprint.response(200, WorkbookReviewSchema)
def check() -> WorkbookReview:
    """Check a workbook that was downloaded here and changed: findings on the cell, or what it would change.

    Nothing is stored: the changes are what a change request takes.
    """
    if request.mimetype != XLSX:
        raise UnsupportedMediaType("Send %(type)s.", params={"type": XLSX})
    return check_workbook(caller=current_caller(), content=request.get_data())


WORKBOOKS = Registration(
    blueprint,
    scopes={"get_factors": "catalogue:read", "get_samples": "catalogue:read", "check": "rules:check"},
)
