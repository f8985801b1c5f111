"""Appeals over HTTP: schema in, one service call, schema out."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from carbonpoints.accounts.schemas import PurposeQuerySchema
from carbonpoints.behaviours import appeals
from carbonpoints.behaviours.appeal_schemas import (
    AppealSchema,
    AppealsQuerySchema,
    AppealsSchema,
    ConfirmAdjustmentSchema,
    FileAppealSchema,
    ResolveAppealSchema,
    appeal_view,
)
from carbonpoints.behaviours.models import Appeal
from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration
from carbonpoints.core.idempotency import IdempotencyHeaders, replayed

blueprint = Blueprint(
    "appeals",
    __name__,
    url_prefix="/v1",
    description="A customer's word against what became of an event, and the bank's answer.",
)
_APPEAL = AppealSchema()


def _view(appeal: Appeal) -> dict[str, Any]:
    return appeal_view(appeal, current_caller())


@blueprint.route("/appeals", methods=["POST"])
@blueprint.arguments(FileAppealSchema)
@blueprint.response(201, AppealSchema)
def file_appeal(body: dict[str, Any]) -> dict[str, Any]:
    """File the one appeal that a customer has about one of their events, decided or remembered."""
    filed = appeals.file_appeal(
        caller=current_caller(),
        event_id=body.get("event_id"),
        source=body.get("source"),
        id_=body.get("id"),
        words=body["text"],
        attachments=body["attachments"],
    )
    return _view(filed)


@blueprint.route("/appeals", methods=["GET"])
@blueprint.arguments(AppealsQuerySchema, location="query")
@blueprint.response(200, AppealsSchema)
def list_appeals(query: dict[str, Any]) -> dict[str, Any]:
    """List appeals without their words, the oldest first: a customer's own, or for staff all of the programme."""
    page = appeals.list_appeals(
        caller=current_caller(),
        is_resolved=query["resolved"],
        limit=query["limit"],
        cursor=query["cursor"],
        purpose=query["purpose"],
    )
    return {"items": [_view(each) for each in page.items], "next_cursor": page.next_cursor}


@blueprint.route("/appeals/<appeal_id>", methods=["GET"])
@blueprint.arguments(PurposeQuerySchema, location="query")
@blueprint.response(200, AppealSchema)
def get_appeal(query: dict[str, Any], appeal_id: str) -> dict[str, Any]:
    """Show one appeal with its words and its answer."""
    found = appeals.read_appeal(caller=current_caller(), appeal_id=appeal_id, purpose=query["purpose"])
    return _view(found)


@blueprint.route("/appeals/<appeal_id>/resolution", methods=["POST"])
@blueprint.arguments(ResolveAppealSchema)
@blueprint.response(200, AppealSchema)
def resolve_appeal(body: dict[str, Any], appeal_id: str) -> dict[str, Any]:
    """Reject an appeal, uphold it without value, or propose an adjustment for another person to confirm."""
    return _view(appeals.resolve_appeal(caller=current_caller(), appeal_id=appeal_id, **body))


@blueprint.route("/appeals/<appeal_id>/adjustment", methods=["POST"])
@blueprint.arguments(IdempotencyHeaders, location="headers")
@blueprint.arguments(ConfirmAdjustmentSchema)
@blueprint.response(200, AppealSchema)
def confirm_adjustment(headers: dict[str, Any], body: dict[str, Any], appeal_id: str) -> Response:
    """Book the proposed adjustment, as another person than the one who proposed it."""
    answer = appeals.confirm_adjustment(
        caller=current_caller(),
        appeal_id=appeal_id,
        proposal_no=body["proposal_no"],
        key=headers["idempotency_key"],
        answer=lambda appeal: _APPEAL.dump(_view(appeal)),
    )
    return replayed(answer.replay) if answer.replay else jsonify(answer.body)


APPEALS = Registration(
    blueprint,
    scopes={
        "file_appeal": "appeals:write",
        "list_appeals": "appeals:read",
        "get_appeal": "appeals:read",
        "resolve_appeal": "appeals:decide",
        "confirm_adjustment": "appeals:decide",
    },
)
