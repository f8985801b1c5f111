"""The variables, values and tables that the tests of the expression language share."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from carbonpoints.rules.language import Value, ValueType, Variable, compile_expression

VARIABLES = {
    "distance_km": Variable("number", "km"),
    "BASE": Variable("number", "g/km"),
    "count": Variable("number"),
    "refund": Variable("number", nullable=True),
    "account": Variable("text"),
    "payee": Variable("text"),
    "note": Variable("text", nullable=True),
    "standing_order": Variable("flag"),
    "verified": Variable("flag", nullable=True),
    "made_on": Variable("date"),
    "started_at": Variable("instant"),
    "ended_at": Variable("instant"),
    "里程": Variable("number", "km"),
}
VALUES: dict[str, object] = {
    "distance_km": Decimal("5.3"),
    "BASE": Decimal("26.9"),
    "count": 7,
    "refund": None,
    "account": "A-17",
    "payee": " 北京 Metro ",
    "note": None,
    "standing_order": False,
    "verified": None,
    "made_on": date(1993, 2, 28),
    "started_at": datetime(2026, 1, 1, 8, tzinfo=UTC),
    "ended_at": datetime(2026, 1, 1, 9, tzinfo=UTC),
    "里程": Decimal("2.5"),
}
TABLE_TYPES: dict[str, ValueType] = {"standing_orders": "text", "fees": "number"}
TABLES: dict[str, dict[str, object]] = {
    "standing_orders": {"A-17|K": "order 3"},
    "fees": {"A-17": Decimal("1.50")},
}


def value_of(source: str) -> Value:
    expression = compile_expression(source, VARIABLES, tables=TABLE_TYPES)
    return expression.evaluate(VALUES, TABLES)
