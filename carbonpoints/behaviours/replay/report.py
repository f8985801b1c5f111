"""The report of a back-test: what a draft would have given, beside what was really given.

All of it follows from stored totals and from the accounts' rows; the same run gives the same report.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.replay.accounts import Handling
from carbonpoints.behaviours.replay.forecast import BudgetLimit, forecast_last_day
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.totals import CellKey, Compared, Side, Totals
from carbonpoints.core.clock import add_months
from carbonpoints.core.ids import account_public_id

SAMPLED_ACCOUNTS = 20
MICROFEN_PER_FEN = 10**6
"""Millicredits times millifen per credit are microfen."""
REPLAYED, NO_HISTORY_YET = "replayed", "no_history_yet"

WINNERS = text("""
SELECT count(*) AS accounts,
    count(*) FILTER (WHERE draft_millicredits > baseline_millicredits) AS accounts_with_more,
    count(*) FILTER (WHERE draft_millicredits < baseline_millicredits) AS accounts_with_less,
    coalesce(sum(greatest(draft_millicredits - baseline_millicredits, 0)), 0)::bigint AS more_millicredits,
    coalesce(sum(greatest(baseline_millicredits - draft_millicredits, 0)), 0)::bigint AS less_millicredits,
    count(*) FILTER (WHERE baseline_awarded > 0) AS baseline_awarded_accounts,
    count(*) FILTER (WHERE draft_awarded > 0) AS draft_awarded_accounts
FROM backtest_account WHERE run_id = :run_id
""")
DECILES = text("""
SELECT decile, count(*) AS accounts,
    count(*) FILTER (WHERE draft_millicredits > baseline_millicredits) AS accounts_with_more,
    count(*) FILTER (WHERE draft_millicredits < baseline_millicredits) AS accounts_with_less,
    sum(events)::bigint AS events,
    sum(baseline_awarded)::bigint AS baseline_awarded, sum(baseline_millicredits)::bigint AS baseline_millicredits,
    sum(baseline_reduction_mg)::bigint AS baseline_reduction_mg,
    sum(draft_awarded)::bigint AS draft_awarded, sum(draft_millicredits)::bigint AS draft_millicredits,
    sum(draft_reduction_mg)::bigint AS draft_reduction_mg
FROM (
    SELECT *, ntile(10) OVER (ORDER BY baseline_millicredits, account_id) AS decile
    FROM backtest_account WHERE run_id = :run_id
) AS ranked
GROUP BY decile ORDER BY decile
""")
# By a hash of run and account: nobody chooses them, and the same run always shows the same.
SAMPLE = text("""
SELECT * FROM backtest_account WHERE run_id = :run_id
ORDER BY sha256(convert_to(run_id || ':' || account_id, 'UTF8')), account_id LIMIT :limit
""")


@dataclass(frozen=True)
class Basis:
    """What a report rests on beside the totals."""

    run_id: uuid.UUID
    period: Period
    today: date
    millifen_per_credit: int | None
    """What a credit costs the programme; None where its settings do not say."""
    outstanding_millicredits: int
    """What could really be spent at the end of the period."""
    limits: Sequence[BudgetLimit]


def make_report(session: Session, basis: Basis, totals: Totals) -> dict[str, Any]:
    """Return the report, JSON-able."""
    whole = _sum(totals.cells.values())
    accounts = session.execute(WINNERS, {"run_id": basis.run_id}).one()._asdict()
    awarded = {side: accounts.pop(f"{side}_awarded_accounts") for side in ("baseline", "draft")}
    gained = _unexpired(totals, basis.period.last_day)
    outstanding = {
        "baseline": basis.outstanding_millicredits,
        "draft": basis.outstanding_millicredits + gained,
    }
    return {
        "result": REPLAYED if whole.events else NO_HISTORY_YET,
        "events": whole.events,
        **{f"events_{handling.name.lower()}": totals.handled[handling] for handling in Handling},
        "millifen_per_credit": basis.millifen_per_credit,
        **accounts,
        **{
            name: {
                **_side(side),
                "awarded_accounts": awarded[name],
                "cost_fen": _cost_fen(side.amount_millicredits, basis.millifen_per_credit),
                "liability_millicredits": outstanding[name],
                "liability_fen": _cost_fen(outstanding[name], basis.millifen_per_credit),
            }
            for name, side in (("baseline", whole.baseline), ("draft", whole.draft))
        },
        "behaviours": _grouped(totals, "behaviour", lambda key: key[0]),
        "days": _grouped(totals, "local_date", lambda key: key[1].isoformat()),
        "deciles": [_split(row._asdict()) for row in session.execute(DECILES, {"run_id": basis.run_id})],
        "budget_forecasts": [_forecast(limit, basis, whole) for limit in basis.limits],
        "sampled_accounts": [
            _sampled(row._asdict())
            for row in session.execute(SAMPLE, {"run_id": basis.run_id, "limit": SAMPLED_ACCOUNTS})
        ],
    }


def _side(side: Side) -> dict[str, int]:
    return {
        "awarded_events": side.awarded,
        "amount_millicredits": side.amount_millicredits,
        "reduction_mg": side.reduction_mg,
    }


def _sides(compared: Compared) -> dict[str, Any]:
    return {
        "events": compared.events,
        "baseline": _side(compared.baseline),
        "draft": _side(compared.draft),
    }


def _sum(parts: Iterable[Compared]) -> Compared:
    whole = Compared()
    for part in parts:
        whole.merge(part)
    return whole


def _grouped(totals: Totals, name: str, group: Callable[[CellKey], Hashable]) -> list[dict[str, Any]]:
    """Return the sums of the cells that have the same name, by name."""
    found: dict[Any, list[Compared]] = {}
    for key, compared in totals.cells.items():
        found.setdefault(group(key), []).append(compared)
    return [{name: value, **_sides(_sum(found[value]))} for value in sorted(found)]


def _split(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of accounts with its two sides apart."""
    sides = {
        side: {
            "awarded_events": row[f"{side}_awarded"],
            "amount_millicredits": row[f"{side}_millicredits"],
            "reduction_mg": row[f"{side}_reduction_mg"],
        }
        for side in ("baseline", "draft")
    }
    return {
        name: value for name, value in row.items() if not name.startswith(("baseline_", "draft_"))
    } | sides


def _sampled(row: Mapping[str, Any]) -> dict[str, Any]:
    split = _split(row)
    del split["run_id"]
    return {**split, "account_id": account_public_id(row["account_id"])}


def _cost_fen(amount_millicredits: int, millifen_per_credit: int | None) -> int | None:
    """Return what credits cost, rounded up: a cost is never shown too low."""
    if millifen_per_credit is None:
        return None
    return -(-amount_millicredits * millifen_per_credit // MICROFEN_PER_FEN)


def _unexpired(totals: Totals, last_day: date) -> int:
    """Return by how many millicredits the draft's awards that hold on the last day exceed those really given.

    Expiry counts from the month of the act (M5). What was spent meanwhile was spent under both.
    """
    gained: Counter[str] = Counter()
    for (_, day, baseline_months, draft_months), compared in totals.cells.items():
        if add_months(day, draft_months) >= last_day:
            gained["draft"] += compared.draft.amount_millicredits
        if add_months(day, baseline_months) >= last_day:
            gained["baseline"] += compared.baseline.amount_millicredits
    return gained["draft"] - gained["baseline"]


def _forecast(limit: BudgetLimit, basis: Basis, whole: Compared) -> dict[str, Any]:
    days = (basis.period.last_day - basis.period.first_day).days + 1
    last_days = {
        side: forecast_last_day(limit, basis.today, given_millicredits=given, days=days)
        for side, given in (
            ("baseline", whole.baseline.amount_millicredits),
            ("draft", whole.draft.amount_millicredits),
        )
    }
    return {
        **asdict(limit),
        "ends_on": limit.ends_on.isoformat(),
        **{f"{side}_last_day": day.isoformat() if day else None for side, day in last_days.items()},
    }
