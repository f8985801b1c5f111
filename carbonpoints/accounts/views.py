"""Entries and statements as the API shows them: codes instead of numbers, amounts under their unit's name."""

from __future__ import annotations

from typing import Any

from carbonpoints.core.ids import NumberedId
from carbonpoints.ledger.chart import Flow, Kind, Unit
from carbonpoints.ledger.queries import MovementTotal, Statement, StoredEntry

TRANSACTION_PREFIX = "txn"
EVENT_PREFIX = "evt"
AMOUNT_NAMES = {Unit.CREDIT: "amount_millicredits", Unit.MG_CO2E: "reduction_mg", Unit.CNY_FEN: "amount_fen"}
"""What the amount of each unit is called: an integer carries its unit in its name."""


def movement_view(moved: StoredEntry | MovementTotal) -> dict[str, Any]:
    """Return what moved, of which unit, from where to where."""
    unit = Unit(moved.unit_id)
    return {
        "flow": Flow(moved.flow).name.lower(),
        "unit": unit.name,
        "moved_from": Kind(moved.from_kind).name.lower(),
        "moved_to": Kind(moved.to_kind).name.lower(),
        AMOUNT_NAMES[unit]: moved.amount,
    }


def transaction_view(entry: StoredEntry) -> dict[str, Any]:
    """Return one entry, with the event that caused it where one did."""
    return {
        "transaction_id": str(NumberedId(TRANSACTION_PREFIX, entry.account_id, entry.account_seq)),
        **movement_view(entry),
        "occurred_at": entry.occurred_at,
        "booked_at": entry.booked_at,
        "business_date": entry.business_date,
        "expires_on": entry.expires_on,
        "event_id": str(NumberedId(EVENT_PREFIX, entry.account_id, entry.event_seq))
        if entry.event_seq is not None
        else None,
    }


def statement_view(statement: Statement, period: str) -> dict[str, Any]:
    """Return a statement of the period that was asked for."""
    opening, closing = statement.opening, statement.closing
    return {
        "account_id": statement.account_id,
        "period": period,
        "start": statement.start,
        "end": statement.end,
        "opening": opening,
        "movements": [
            {**movement_view(total), "entry_count": total.entry_count} for total in statement.movements
        ],
        "closing": closing,
        "period_reduction_mg": closing.lifetime_reduction_mg - opening.lifetime_reduction_mg,
    }
