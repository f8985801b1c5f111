"""Answers of the events API."""

from __future__ import annotations

from marshmallow import fields, pre_dump, validate

from carbonpoints.accounts.schemas import BalancesSchema, PurposeQuerySchema
from carbonpoints.core.errors import FieldError
from carbonpoints.core.http import Schema
from carbonpoints.core.problems import field_body
from carbonpoints.core.sentences import Caveat, SentenceSchema, Told

_DRAFT = {"description": "Null for a draft that is tried out."}


class FieldErrorSchema(Schema):
    """One wrong field, its sentence in the language of the request."""

    @pre_dump
    def _in_the_callers_language(self, error: FieldError, **_: object) -> dict[str, str]:
        return field_body(error)

    field = fields.String(required=True)
    code = fields.String(required=True)
    detail = fields.String(required=True)


class DeliveredItemSchema(Schema):
    """What became of one event."""

    source = fields.String(required=True)
    id = fields.String(required=True)
    disposition = fields.String(required=True)
    event_id = fields.String(required=True, allow_none=True)
    account_id = fields.String(required=True, allow_none=True)
    reduction_mg = fields.Integer(required=True)
    amount_millicredits = fields.Integer(required=True)
    reason = fields.String(required=True, allow_none=True)
    errors = fields.List(fields.Nested(FieldErrorSchema), required=True)


class DeliveredSchema(Schema):
    """What became of a delivery, item by item in order."""

    items = fields.List(fields.Nested(DeliveredItemSchema), required=True)
    balances = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(BalancesSchema),
        required=True,
        metadata={
            "description": "After the delivery, by account; empty for callers that may not read accounts."
        },
    )
    caveat = Caveat()


class ConditionSchema(Schema):
    """A condition of the rule and whether it held; null where it was not reached."""

    code = fields.String(required=True)
    when = fields.String(required=True)
    text_en = fields.String(required=True)
    text_zh = fields.String(required=True)
    holds = fields.Boolean(required=True, allow_none=True)
    values = fields.Dict(
        keys=fields.String(),
        values=fields.String(allow_none=True),
        required=True,
        metadata={
            "description": "What it was judged by, by name; empty where the event's inputs are erased."
        },
    )


class StepSchema(Schema):
    """A part of a formula and its value."""

    text = Told(required=True)
    value = fields.String(required=True)


class FormulaSchema(Schema):
    """Baseline, project, leakage, or the estimate over the three: its lower bound where the rule gives a range."""

    name = fields.String(required=True)
    expression = fields.String(required=True)
    steps = fields.List(fields.Nested(StepSchema), required=True)
    result_g = fields.String(required=True, allow_none=True)


class FactorUsedSchema(Schema):
    """A factor as it was pinned."""

    code = fields.String(required=True)
    version_id = fields.Integer(required=True, allow_none=True, metadata=_DRAFT)
    value = fields.String(required=True)
    unit = fields.String(required=True)
    region = fields.String(required=True)
    data_year = fields.Integer(required=True, allow_none=True)
    grade = fields.String(required=True)
    use = fields.String(required=True)
    source_title = fields.String(required=True)
    source_address = fields.String(required=True)


class RangeSchema(Schema):
    """How far from its estimate the true reduction may lie; the lower bound is what the estimate counts."""

    below_percent = fields.String(required=True)
    above_percent = fields.String(required=True)


class RuleUsedSchema(Schema):
    """The rule version that decided."""

    code = fields.String(required=True)
    version_id = fields.Integer(required=True, allow_none=True, metadata=_DRAFT)
    title_en = fields.String(required=True)
    title_zh = fields.String(required=True)
    basis_en = fields.String(required=True)
    basis_zh = fields.String(required=True)
    label = fields.String(required=True)
    purpose = fields.String(required=True)
    uncertainty = fields.Nested(RangeSchema, required=True, allow_none=True)
    millicredits_per_mg = fields.String(required=True)
    grant_millicredits = fields.Integer(required=True)


class CutSchema(Schema):
    """The cap that cut the award, and what it had left before."""

    code = fields.String(required=True)
    window = fields.String(required=True)
    left = fields.Integer(required=True)


class BoostUsedSchema(Schema):
    """A campaign whose bonus is part of the amount."""

    campaign = fields.String(required=True)
    name_en = fields.String(required=True)
    name_zh = fields.String(required=True)
    text_en = fields.String(required=True)
    text_zh = fields.String(required=True)
    amount_millicredits = fields.Integer(required=True)


class TakenBackSchema(Schema):
    """What was taken back of an event because it was reversed or corrected."""

    event_id = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The event; null where it had not come when it was reversed."},
    )
    by_event_id = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The reversal, or the decision about the newest revision; null after a check of the bank's."
        },
    )
    reason = fields.String(required=True)
    booked_at = fields.AwareDateTime(required=True, format="iso")
    amount_millicredits = fields.Integer(
        required=True, metadata={"description": "Taken of what was still there."}
    )
    clawback_due_millicredits = fields.Integer(
        required=True, metadata={"description": "Had been spent or held, and became due."}
    )
    waived_millicredits = fields.Integer(
        required=True, metadata={"description": "Had been spent or held, beyond what may become due."}
    )
    reduction_mg = fields.Integer(required=True)


class EventAppealSchema(Schema):
    """The appeal about an event, and what came of it."""

    appeal_id = fields.String(required=True)
    outcome = fields.String(required=True, allow_none=True)
    resolved_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")
    amount_millicredits = fields.Integer(
        required=True, metadata={"description": "Granted by an adjustment beside what the event earned."}
    )
    reduction_mg = fields.Integer(required=True)


class EventRestatementSchema(Schema):
    """What an event comes to since its period was judged again, and why."""

    code = fields.String(required=True)
    booked_at = fields.AwareDateTime(required=True, format="iso")
    reduction_mg = fields.Integer(
        required=True, metadata={"description": "What it comes to, not what was added."}
    )
    amount_millicredits = fields.Integer(
        required=True, metadata={"description": "What it comes to, not what was added."}
    )
    paid_millicredits = fields.Integer(required=True)
    explanation_en = fields.String(required=True)
    explanation_zh = fields.String(required=True)


class EventSchema(Schema):
    """One decided event and why it came out as it did."""

    event_id = fields.String(required=True)
    account_id = fields.String(required=True)
    behaviour = fields.String(required=True, allow_none=True)
    disposition = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True)
    reduction_mg = fields.Integer(required=True)
    amount_millicredits = fields.Integer(required=True)
    taken_back = fields.Nested(TakenBackSchema, required=True, allow_none=True)
    appeal = fields.Nested(EventAppealSchema, required=True, allow_none=True)
    restatements = fields.List(
        fields.Nested(EventRestatementSchema),
        required=True,
        metadata={"description": "In order; all other fields say what was decided at first."},
    )
    occurred_at = fields.AwareDateTime(required=True, format="iso")
    received_at = fields.AwareDateTime(required=True, format="iso")
    booked_at = fields.AwareDateTime(required=True, format="iso")
    local_date = fields.Date(required=True)
    business_date = fields.Date(required=True)
    expires_on = fields.Date(required=True, allow_none=True)
    inputs_state = fields.String(
        required=True,
        validate=validate.OneOf(["kept", "erased"]),
        metadata={"description": "Whether the inputs are still kept; erased, `inputs` is null."},
    )
    inputs = fields.Dict(required=True, allow_none=True)
    rule = fields.Nested(RuleUsedSchema, required=True, allow_none=True)
    conditions = fields.List(fields.Nested(ConditionSchema), required=True)
    counters = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    factors = fields.List(fields.Nested(FactorUsedSchema), required=True)
    formulas = fields.List(fields.Nested(FormulaSchema), required=True)
    estimate_mg = fields.Integer(required=True, allow_none=True)
    cut_by = fields.Nested(CutSchema, required=True, allow_none=True)
    boosts = fields.List(fields.Nested(BoostUsedSchema), required=True)
    budget = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The budget that was used up, so that no credits were given."},
    )
    sentence = fields.Nested(SentenceSchema, required=True)
    caveat = Caveat()


class EventQuerySchema(Schema):
    """Which event, as its source named it."""

    source = fields.String(required=True)
    id = fields.String(required=True)


class EventStandingSchema(Schema):
    """Where an event stands."""

    source = fields.String(required=True)
    id = fields.String(required=True)
    disposition = fields.String(required=True)
    event_id = fields.String(required=True, allow_none=True)
    received_at = fields.AwareDateTime(required=True, format="iso")
    sentence = fields.Nested(SentenceSchema, required=True)


class CapLeftSchema(Schema):
    """A cap and what is left of it in the running period; null where it does not limit."""

    code = fields.String(required=True)
    window = fields.String(required=True)
    count = fields.Integer(required=True, allow_none=True)
    count_left = fields.Integer(required=True, allow_none=True)
    mg = fields.Integer(required=True, allow_none=True)
    mg_left = fields.Integer(required=True, allow_none=True)
    millicredits = fields.Integer(required=True, allow_none=True)
    millicredits_left = fields.Integer(required=True, allow_none=True)


class UsedUpSchema(Schema):
    """A budget that is used up, or has too little left, until a new period begins after `ends_on`."""

    code = fields.String(required=True)
    name_en = fields.String(required=True)
    name_zh = fields.String(required=True)
    ends_on = fields.Date(required=True)


class RunningCampaignSchema(Schema):
    """A campaign of today for a behaviour."""

    code = fields.String(required=True)
    name_en = fields.String(required=True)
    name_zh = fields.String(required=True)
    text_en = fields.String(required=True)
    text_zh = fields.String(required=True)
    segment = fields.String(
        required=True, metadata={"description": "The condition on account and act; empty for everybody."}
    )
    applies = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether this account is meant; null where it depends on the act."},
    )
    multiplier = fields.String(required=True)
    bonus_millicredits = fields.Integer(required=True)
    valid_from = fields.AwareDateTime(required=True, format="iso")
    valid_to = fields.AwareDateTime(required=True, format="iso")


class OfferedCampaignSchema(RunningCampaignSchema):
    """A campaign of today for a behaviour, and whether there is anything left to give."""

    budget = fields.Nested(
        UsedUpSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The budget that covers no bonus of it today."},
    )


class TaskSchema(Schema):
    """What one behaviour is worth to this customer today."""

    behaviour = fields.String(required=True)
    name_en = fields.String(required=True)
    name_zh = fields.String(required=True)
    behaviour_class = fields.String(required=True)
    title_en = fields.String(required=True)
    title_zh = fields.String(required=True)
    label = fields.String(required=True)
    grant_millicredits = fields.Integer(required=True)
    millicredits_per_mg = fields.String(required=True)
    posts_reduction = fields.Boolean(required=True)
    expiry_months = fields.Integer(required=True)
    pending_days = fields.Integer(required=True)
    caps = fields.List(fields.Nested(CapLeftSchema), required=True)
    campaigns = fields.List(fields.Nested(OfferedCampaignSchema), required=True)
    earns_credits = fields.Boolean(
        required=True,
        metadata={"description": "Whether an act of today can still earn credits, by caps and budgets."},
    )
    earns_reduction = fields.Boolean(
        required=True, metadata={"description": "Whether it can still earn an estimated reduction."}
    )
    used_up_cap = fields.String(
        required=True, allow_none=True, metadata={"description": "The cap because of which it cannot."}
    )
    used_up_budget = fields.Nested(
        UsedUpSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The budget because of which it earns no credits."},
    )
    sentence = fields.Nested(
        SentenceSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Where a cap or a budget is used up: what that means for an act of today."},
    )
    consent_source = fields.String(required=True)
    consent_needed = fields.Boolean(required=True)


class TasksSchema(Schema):
    """Every behaviour that has a rule in force today."""

    tasks = fields.List(fields.Nested(TaskSchema), required=True)


class TasksQuerySchema(PurposeQuerySchema):
    """Whose tasks."""

    account_id = fields.String(load_default=None, metadata={"description": "Default: the caller's own."})
