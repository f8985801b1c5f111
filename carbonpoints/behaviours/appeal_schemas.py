"""What callers send and see of appeals."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from carbonpoints.accounts.schemas import AccountId, PurposeQuerySchema
from carbonpoints.behaviours.appeals import ADJUSTED, OUTCOMES, appeal_id_of
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.models import Appeal
from carbonpoints.core.auth import Caller
from carbonpoints.core.http import Schema
from carbonpoints.core.ids import NumberedId
from carbonpoints.core.pagination import PageQuery
from carbonpoints.core.roles import HOLDERS
from carbonpoints.core.sentences import Caveat
from carbonpoints.rules.engine import AWARD_MAX

_NAME = validate.Regexp(r"[^\x00-\x1f\x7f]+\Z")
STATES = ("open", "proposed", "resolved")


class FileAppealSchema(Schema):
    """Which event, by our id or by its source's, and what the customer says."""

    event_id = fields.String(validate=validate.Length(min=1, max=60))
    source = fields.String(validate=[validate.Length(min=1, max=200), _NAME])
    id = fields.String(validate=[validate.Length(min=1, max=200), _NAME])
    text = fields.String(required=True, validate=validate.Length(min=1, max=2_000))
    attachments = fields.List(
        fields.String(validate=[validate.Length(min=1, max=200), _NAME]),
        load_default=list,
        validate=validate.Length(max=10),
        metadata={"description": "References to what was handed in elsewhere; no files."},
    )

    @validates_schema
    def _one_event(self, data: dict[str, Any], **_: object) -> None:
        names = {"event_id", "source", "id"} & data.keys()
        if names not in ({"event_id"}, {"source", "id"}):
            raise ValidationError("Name the event by event_id, or by source and id.", "event_id")


class ResolveAppealSchema(Schema):
    """The outcome with its reason; amounts for an adjustment, which another person confirms."""

    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    reason = fields.String(required=True, validate=validate.Length(min=1, max=1_000))
    amount_millicredits = fields.Integer(
        strict=True, load_default=0, validate=validate.Range(min=0, max=AWARD_MAX)
    )
    reduction_mg = fields.Integer(
        strict=True,
        load_default=0,
        validate=validate.Range(min=0, max=AWARD_MAX),
        metadata={"description": "At most what the act's rule estimates and was not posted."},
    )


class ConfirmAdjustmentSchema(Schema):
    """Which proposal the second person saw."""

    proposal_no = fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=32_767))


class AppealsQuerySchema(PageQuery, PurposeQuerySchema):
    """Which appeals."""

    resolved = fields.Boolean(load_default=None, metadata={"description": "Default: all."})


class AppealSummarySchema(Schema):
    """An appeal without its words."""

    appeal_id = fields.String(required=True)
    account_id = AccountId(required=True)
    event_id = fields.String(
        required=True, allow_none=True, metadata={"description": "Null where the event was not decided."}
    )
    disposition = fields.String(
        required=True, metadata={"description": "As the event stood when the appeal was filed."}
    )
    filed_at = fields.AwareDateTime(required=True, format="iso")
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    outcome = fields.String(required=True, allow_none=True, validate=validate.OneOf((*OUTCOMES, None)))
    resolved_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")


class AppealSchema(AppealSummarySchema):
    """An appeal; its words are null when they were erased. A customer sees no proposal and no person."""

    text = fields.String(required=True, allow_none=True)
    attachments = fields.List(fields.String(), required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    amount_millicredits = fields.Integer(required=True)
    reduction_mg = fields.Integer(required=True)
    proposal_no = fields.Integer(required=True)
    maker_person = fields.String(required=True, allow_none=True)
    checker_person = fields.String(required=True, allow_none=True)
    caveat = Caveat()


class AppealsSchema(Schema):
    """A page of appeals, the oldest first."""

    items = fields.List(fields.Nested(AppealSummarySchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


def appeal_view(appeal: Appeal, caller: Caller) -> dict[str, Any]:
    """Return an appeal in the shape of `AppealSchema`, as this caller may see it."""
    is_holder, is_resolved = caller.role in HOLDERS, appeal.resolved_at is not None
    shows = is_resolved or not is_holder
    state = "resolved" if is_resolved else "proposed" if appeal.outcome == ADJUSTED and shows else "open"
    return {
        "appeal_id": appeal_id_of(appeal.account_id, appeal.appeal_no),
        "account_id": appeal.account_id,
        "event_id": str(NumberedId("evt", appeal.account_id, appeal.event_seq)) if appeal.event_seq else None,
        "disposition": Disposition(appeal.disposition).code,
        "filed_at": appeal.filed_at,
        "state": state,
        "outcome": appeal.outcome if shows else None,
        "resolved_at": appeal.resolved_at,
        "text": appeal.text,
        "attachments": appeal.attachments,
        "reason": appeal.reason if shows else None,
        "amount_millicredits": appeal.amount_millicredits if shows else 0,
        "reduction_mg": appeal.reduction_mg if shows else 0,
        "proposal_no": 0 if is_holder else appeal.proposal_no,
        "maker_person": None if is_holder else appeal.maker_person,
        "checker_person": None if is_holder else appeal.checker_person,
    }
