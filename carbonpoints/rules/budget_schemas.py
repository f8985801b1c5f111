"""What the budgets' route takes and answers."""

from __future__ import annotations

from marshmallow import fields, validate

from carbonpoints.accounts.schemas import DAY
from carbonpoints.core.http import Schema
from carbonpoints.core.sentences import SentenceSchema
from carbonpoints.rules.budget_forecast import Outlook


class BudgetsQuery(Schema):
    """On which day."""

    on = fields.Date(
        load_default=None,
        validate=DAY,
        metadata={"description": "A business date of the programme; default: today."},
    )


class BudgetForecastSchema(Schema):
    """A forecast of when the budget will be used up, and how it was made. It promises nothing."""

    outlook = fields.String(required=True, validate=validate.OneOf([outlook.value for outlook in Outlook]))
    last_day = fields.Date(
        required=True,
        allow_none=True,
        metadata={"description": "Last business date on which something is left; null unless it runs out."},
    )
    days = fields.Integer(required=True)
    burn_millicredits = fields.Integer(required=True)
    burn_fen = fields.Integer(required=True)
    method = fields.Nested(SentenceSchema, required=True)


class BudgetSchema(Schema):
    """A budget in one of its periods. A limit that is null does not limit, and nothing is left of it."""

    code = fields.String(required=True)
    name_en = fields.String(required=True)
    name_zh = fields.String(required=True)
    campaign = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Whose bonus credits it limits; null: all credits of the programme."},
    )
    period = fields.String(required=True, validate=validate.OneOf(["month", "year"]))
    starts_on = fields.Date(required=True)
    ends_on = fields.Date(required=True)
    limit_millicredits = fields.Integer(required=True, allow_none=True)
    used_millicredits = fields.Integer(required=True)
    left_millicredits = fields.Integer(required=True, allow_none=True)
    limit_fen = fields.Integer(required=True, allow_none=True)
    used_fen = fields.Integer(
        required=True, metadata={"description": "What the used credits cost, rounded up to whole fen."}
    )
    left_fen = fields.Integer(required=True, allow_none=True)
    forecast = fields.Nested(
        BudgetForecastSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Null unless the period is running."},
    )


class BudgetsSchema(Schema):
    """Every budget in force on a business date, by code."""

    business_date = fields.Date(required=True)
    items = fields.List(fields.Nested(BudgetSchema), required=True)
