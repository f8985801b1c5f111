"""What callers send and see of reviews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from carbonpoints.accounts.models import Review, ReviewStep
from carbonpoints.accounts.schemas import AccountId, PurposeQuerySchema
from carbonpoints.behaviours.delivering import EVENT_PREFIX
from carbonpoints.behaviours.review_ends import OUTCOMES, REVERSED
from carbonpoints.behaviours.reviews import Reason, review_id_of
from carbonpoints.core.http import Schema
from carbonpoints.core.ids import NumberedId
from carbonpoints.core.pagination import PageQuery

_NAME = validate.Regexp(r"[^\x00-\x1f\x7f]+\Z")
STATES = ("open", "proposed", "ended")


class Words(fields.String):
    """Why somebody did something, for those who decide."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            validate=[validate.Length(min=1, max=1_000), validate.Regexp(r"\s*\S")],
            metadata={"description": "Kept for good, so it names no person. Customers never see it."},
            **options,
        )


class OpenReviewSchema(Schema):
    """An account, or an event by our id or by its source's; and why."""

    account_id = fields.String(validate=validate.Length(min=1, max=60))
    event_id = fields.String(validate=validate.Length(min=1, max=60))
    source = fields.String(validate=[validate.Length(min=1, max=200), _NAME])
    id = fields.String(validate=[validate.Length(min=1, max=200), _NAME])
    reason_code = fields.Enum(Reason, by_value=True, required=True)
    text = Words(required=True)

    @validates_schema
    def _one_thing(self, data: dict[str, Any], **_: object) -> None:
        names = {"account_id", "event_id", "source", "id"} & data.keys()
        if names not in ({"account_id"}, {"event_id"}, {"source", "id"}):
            raise ValidationError("Name an account, or an event by event_id or by source and id.", "event_id")


class ProposeEndSchema(Schema):
    """How the review is to end, and why."""

    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    text = Words(required=True)


class SeenProposalSchema(Schema):
    """Which proposal the second person saw."""

    proposal_no = fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=32_767))


class ReturnProposalSchema(SeenProposalSchema):
    """Which proposal is sent back, and why."""

    text = Words(required=True)


class ReviewsQuerySchema(PageQuery, PurposeQuerySchema):
    """Which reviews."""

    ended = fields.Boolean(load_default=None, metadata={"description": "Default: all."})


class ReviewSummarySchema(Schema):
    """A review without its steps."""

    review_id = fields.String(required=True)
    account_id = AccountId(required=True)
    event_id = fields.String(
        required=True, allow_none=True, metadata={"description": "Null where the account is under review."}
    )
    reason_code = fields.String(required=True, validate=validate.OneOf([each.value for each in Reason]))
    opened_at = fields.AwareDateTime(required=True, format="iso")
    opened_by = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    proposal_no = fields.Integer(required=True)
    proposed_outcome = fields.String(
        required=True, allow_none=True, validate=validate.OneOf((*OUTCOMES, None))
    )
    outcome = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf((*OUTCOMES, REVERSED, None)),
        metadata={"description": "`reversed`: its source took the event back meanwhile."},
    )
    ended_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")


class ReviewStepSchema(Schema):
    """Who did what, when and why."""

    step = fields.String(required=True)
    outcome = fields.String(required=True, allow_none=True)
    person = fields.String(required=True, allow_none=True)
    text = fields.String(required=True, allow_none=True)
    taken_at = fields.AwareDateTime(required=True, format="iso")


class ReviewSchema(ReviewSummarySchema):
    """A review with all that was done in it."""

    steps = fields.List(fields.Nested(ReviewStepSchema), required=True)


class ReviewsSchema(Schema):
    """A page of reviews, the oldest first."""

    items = fields.List(fields.Nested(ReviewSummarySchema), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


def review_view(review: Review, steps: Sequence[ReviewStep] = ()) -> dict[str, Any]:
    """Return a review in the shape of `ReviewSchema`."""
    event_id = NumberedId(EVENT_PREFIX, review.account_id, review.event_seq) if review.event_seq else None
    state = "ended" if review.ended_at else "proposed" if review.proposed_outcome else "open"
    return {
        "review_id": review_id_of(review),
        "account_id": review.account_id,
        "event_id": str(event_id) if event_id else None,
        "reason_code": review.reason_code,
        "opened_at": review.opened_at,
        "opened_by": review.opened_by,
        "state": state,
        "proposal_no": review.proposal_no,
        "proposed_outcome": review.proposed_outcome,
        "outcome": review.outcome,
        "ended_at": review.ended_at,
        "steps": steps,
    }
