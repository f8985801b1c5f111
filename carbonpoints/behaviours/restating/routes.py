"""Restatements over HTTP: what was restated, why, and how far it has come."""

from __future__ import annotations

from typing import Any

from carbonpoints.behaviours.restating import services
from carbonpoints.behaviours.restating.schemas import RestatementSchema, RestatementsSchema
from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration

blueprint = Blueprint(
    "restatements",
    __name__,
    url_prefix="/v1",
    description="Past periods that were judged again, and what was posted for it.",
)


@blueprint.route("/restatements")
@blueprint.response(200, RestatementsSchema)
def list_restatements() -> dict[str, Any]:
    """List the approved restatements; what one would post before it is approved is a back-test of its change."""
    return {"restatements": services.list_restatements(caller=current_caller())}


@blueprint.route("/restatements/<code>")
@blueprint.response(200, RestatementSchema)
def get_restatement(code: str) -> services.RestatementProgress:
    """Say how far a restatement has come, and what it has posted once it is done."""
    return services.read_restatement_progress(caller=current_caller(), code=code)


RESTATEMENTS = Registration(
    blueprint, scopes={"list_restatements": "changes:read", "get_restatement": "changes:read"}
)
