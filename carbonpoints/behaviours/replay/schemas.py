"""What the routes of replays take and answer."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from carbonpoints.core.http import Schema
from carbonpoints.core.pagination import LIMIT_DEFAULT, LIMIT_MAX
from carbonpoints.rules.drafting import JUDGING

DRAFT_ITEMS_MAX = 200
STATES = ("running", "done", "cancelled")


class TriedItemSchema(Schema):
    """One version that is tried: a factor, a behaviour type or a rule."""

    kind = fields.String(required=True, validate=validate.OneOf(sorted(JUDGING)))
    content = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={"description": "As in the catalogue's versions of this kind."},
    )


class BacktestRequestSchema(Schema):
    """A draft, or the change request that proposes it, and the local dates it is held against, both included.

    Without dates: what the restatement that the change request proposes would post, over its own.
    """

    draft = fields.List(fields.Nested(TriedItemSchema), validate=validate.Length(min=1, max=DRAFT_ITEMS_MAX))
    change_request_id = fields.Integer(strict=True, validate=validate.Range(min=1, max=2**31 - 1))
    first_day = fields.Date(metadata={"example": "2026-05-01"})
    last_day = fields.Date(metadata={"example": "2026-05-31"})

    @validates_schema
    def fit(self, data: dict[str, Any], **_kwargs: Any) -> None:
        """Refuse a period that ends before it begins, and anything but one draft."""
        if ("draft" in data) == ("change_request_id" in data):
            raise ValidationError("Give either draft or change_request_id.", "draft")
        dates = data.keys() & {"first_day", "last_day"}
        if len(dates) == 1 or (not dates and "draft" in data):
            missing = min({"first_day", "last_day"} - dates)
            raise ValidationError("Missing data for required field.", missing)
        if dates and data["last_day"] < data["first_day"]:
            raise ValidationError("The period must not end before it begins.", "last_day")


class SideSchema(Schema):
    """What one side gave: the baseline is what was really decided."""

    awarded_events = fields.Integer(required=True)
    amount_millicredits = fields.Integer(required=True)
    reduction_mg = fields.Integer(required=True)


class WholeSideSchema(SideSchema):
    """One side over all accounts; money is null while the programme sets no millifen_per_credit."""

    awarded_accounts = fields.Integer(required=True)
    cost_fen = fields.Integer(required=True, allow_none=True)
    liability_millicredits = fields.Integer(
        required=True,
        metadata={
            "description": "Outstanding and not expired at the end of the period, by what happened until then."
        },
    )
    liability_fen = fields.Integer(required=True, allow_none=True)


class ComparedSchema(Schema):
    """So many events, and both sides of them."""

    events = fields.Integer(required=True)
    baseline = fields.Nested(SideSchema, required=True)
    draft = fields.Nested(SideSchema, required=True)


class BehaviourSchema(ComparedSchema):
    """The events of one behaviour."""

    behaviour = fields.String(required=True)


class DaySchema(ComparedSchema):
    """The events of one local date."""

    local_date = fields.String(required=True, metadata={"format": "date"})


class DecileSchema(ComparedSchema):
    """A tenth of the accounts, by what they were really given; 10 got most."""

    decile = fields.Integer(required=True)
    accounts = fields.Integer(required=True)
    accounts_with_more = fields.Integer(required=True)
    accounts_with_less = fields.Integer(required=True)


class SampledAccountSchema(ComparedSchema):
    """An account that chance has chosen, before and after."""

    account_id = fields.String(required=True)


class BacktestForecastSchema(Schema):
    """A forecast: the last day that a budget covers if acts go on as in the period; null where it lasts."""

    code = fields.String(required=True)
    ends_on = fields.String(required=True, metadata={"format": "date"})
    left_millicredits = fields.Integer(required=True)
    baseline_last_day = fields.String(required=True, allow_none=True, metadata={"format": "date"})
    draft_last_day = fields.String(required=True, allow_none=True, metadata={"format": "date"})


class ReportSchema(Schema):
    """What the draft would have given, beside what was really given."""

    result = fields.String(required=True, validate=validate.OneOf(("replayed", "no_history_yet")))
    events = fields.Integer(required=True)
    events_judged = fields.Integer(required=True)
    events_untouched = fields.Integer(
        required=True, metadata={"description": "The draft cannot touch them: equal on both sides."}
    )
    events_kept = fields.Integer(
        required=True,
        metadata={
            "description": "Decided for reasons outside the rules: the recorded outcome stands on both sides."
        },
    )
    events_evidence_erased = fields.Integer(
        required=True,
        metadata={
            "description": "Their inputs, or those of an earlier event that they depend on, were erased: the recorded "
            "outcome stands on both sides."
        },
    )
    millifen_per_credit = fields.Integer(required=True, allow_none=True)
    accounts = fields.Integer(required=True, metadata={"description": "With an event in the period."})
    accounts_with_more = fields.Integer(required=True)
    accounts_with_less = fields.Integer(required=True)
    more_millicredits = fields.Integer(required=True)
    less_millicredits = fields.Integer(required=True)
    baseline = fields.Nested(WholeSideSchema, required=True)
    draft = fields.Nested(WholeSideSchema, required=True)
    behaviours = fields.List(fields.Nested(BehaviourSchema), required=True)
    days = fields.List(fields.Nested(DaySchema), required=True)
    deciles = fields.List(fields.Nested(DecileSchema), required=True)
    budget_forecasts = fields.List(fields.Nested(BacktestForecastSchema), required=True)
    sampled_accounts = fields.List(fields.Nested(SampledAccountSchema), required=True)
    kept_millicredits = fields.Integer(
        metadata={
            "description": "Of a restatement: granted and not given by what judges the acts now; it stays."
        }
    )
    withheld_millicredits = fields.Integer(
        metadata={"description": "Of a restatement: what closed accounts would get, and do not."}
    )


class BacktestSchema(Schema):
    """How far a back-test has come, and its report once it is done."""

    run_id = fields.UUID(required=True)
    change_request_id = fields.Integer(required=True, allow_none=True)
    draft_hash = fields.String(required=True, metadata={"description": "SHA-256 of the draft, hexadecimal."})
    first_day = fields.String(required=True, metadata={"format": "date"})
    last_day = fields.String(required=True, metadata={"format": "date"})
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    requested_at = fields.AwareDateTime(required=True, format="iso")
    finished_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    partitions = fields.Integer(required=True)
    partitions_done = fields.Integer(required=True)
    events = fields.Integer(required=True, metadata={"description": "Replayed so far."})
    report = fields.Nested(ReportSchema, required=True, allow_none=True)


class FindingsQuery(Schema):
    """How many."""

    limit = fields.Integer(load_default=LIMIT_DEFAULT, validate=validate.Range(min=1, max=LIMIT_MAX))


class OutcomeSchema(Schema):
    """What came out, to the last digit."""

    disposition = fields.String(required=True)
    reduction_mg = fields.Integer(required=True)
    amount_millicredits = fields.Integer(required=True)
    trace = fields.Dict(keys=fields.String(), required=True, allow_none=True)


class OutcomesSchema(Schema):
    """What was recorded, and what the same inputs and versions give today."""

    recorded = fields.Nested(OutcomeSchema, required=True)
    replayed = fields.Nested(OutcomeSchema, required=True)


class ReexecutionFindingSchema(Schema):
    """A decision that came out differently when it was run again."""

    event_id = fields.String(required=True)
    executed_at = fields.AwareDateTime(required=True, format="iso")
    outcomes = fields.Nested(OutcomesSchema, required=True)


class ReexecutionFindingsSchema(Schema):
    """Differences, latest first: there should be none."""

    findings = fields.List(fields.Nested(ReexecutionFindingSchema), required=True)
