"""When a budget would be used up if acts went on as in a past period: a forecast, and nothing more. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class BudgetLimit:
    """What a budget still has on a day, for a period that ends on `ends_on`."""

    code: str
    ends_on: date
    left_millicredits: int


def forecast_last_day(limit: BudgetLimit, today: date, *, given_millicredits: int, days: int) -> date | None:
    """Return the last day on which the budget covers a whole day's awards, counted from `today` on; None if it lasts.

    `given_millicredits` is what `days` days of the past gave. The day before `today` where it does not last for one.
    """
    remaining_days = (limit.ends_on - today).days + 1
    if given_millicredits * remaining_days <= limit.left_millicredits * days:
        return None
    return today + timedelta(days=limit.left_millicredits * days // given_millicredits - 1)
