from __future__ import annotations

import uuid
from datetime import date

import pytest
from sqlalchemy.orm import Session

from carbonpoints.behaviours.replay.forecast import BudgetLimit, forecast_last_day
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.report import Basis, make_report
from carbonpoints.behaviours.replay.totals import Compared, Side, Totals

TODAY, END = date(2026, 6, 10), date(2026, 6, 30)


@pytest.mark.parametrize(
    ("left", "given", "days", "last_day"),
    [
        (210, 100, 10, None),
        (209, 100, 10, date(2026, 6, 29)),
        (100, 100, 10, date(2026, 6, 19)),
        (9, 100, 10, date(2026, 6, 9)),
        (10, 10_000, 1_000, date(2026, 6, 10)),
        (0, 0, 10, None),
        (0, 1, 10, date(2026, 6, 9)),
    ],
)
def test_a_budget_lasts_as_many_whole_days_as_it_covers(
    left: int, given: int, days: int, last_day: date | None
) -> None:
    limit = BudgetLimit("all", END, left)
    assert forecast_last_day(limit, TODAY, given_millicredits=given, days=days) == last_day


def test_the_report_forecasts_every_limit_for_both_sides(session: Session) -> None:
    totals = Totals(
        cells={("bus_trip", date(2026, 5, 1), 24, 24): Compared(1, Side(1, 100, 0), Side(1, 310, 0))}
    )
    basis = Basis(
        run_id=uuid.uuid4(),
        period=Period(date(2026, 5, 1), date(2026, 5, 10)),
        today=TODAY,
        millifen_per_credit=1_000,
        outstanding_millicredits=500,
        limits=[BudgetLimit("all", END, 210)],
    )
    report = make_report(session, basis, totals)
    assert report["budget_forecasts"] == [
        {
            "code": "all",
            "ends_on": "2026-06-30",
            "left_millicredits": 210,
            "baseline_last_day": None,
            "draft_last_day": "2026-06-15",
        }
    ]
    assert (report["baseline"]["liability_millicredits"], report["draft"]["liability_millicredits"]) == (
        500,
        710,
    )
