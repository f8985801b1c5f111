"""Budgets out: what they limit, what they gave out, what is left and for how long."""

from __future__ import annotations

from typing import Any

from carbonpoints.core.auth import current_caller
from carbonpoints.core.http import Blueprint, Registration
from carbonpoints.rules import budget_views
from carbonpoints.rules.budget_schemas import BudgetsQuery, BudgetsSchema

blueprint = Blueprint(
    "budgets",
    __name__,
    url_prefix="/v1",
    description="What a programme may give out in a month or a year, and how much of it is left.",
)


@blueprint.route("/budgets")
@blueprint.arguments(BudgetsQuery, location="query")
@blueprint.response(200, BudgetsSchema)
def list_budgets(query: dict[str, Any]) -> dict[str, Any]:
    """Show each budget's limits, what awards have drawn, what is left, and a forecast of its last day."""
    return budget_views.list_budgets(caller=current_caller(), on=query["on"])


BUDGETS = Registration(blueprint, scopes={"list_budgets": "budgets:read"})
