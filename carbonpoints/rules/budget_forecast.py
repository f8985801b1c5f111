"""When a budget will be used up, if it goes on being used as in the last days: a forecast, and labelled so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from carbonpoints.ledger.slices import Amount, Limits

WINDOW_DAYS = 14
"""Two of each day of the week."""


NOTHING = Amount(0, 0)


class Outlook(StrEnum):
    """How a budget stands."""

    NO_HISTORY_YET = "no_history_yet"
    """Nothing was given out on any whole day of the window."""
    USED_UP = "used_up"
    RUNS_OUT = "runs_out"
    LASTS = "lasts"
    """To the end of its period."""


@dataclass(frozen=True)
class Forecast:
    """What would come of it, and what that is worked out from."""

    outlook: Outlook
    last_day: date | None = None
    """The last business date on which something is left; only for what runs out before its period ends."""
    days: int = 0
    """How many days before today the burn was taken from."""
    burn: Amount = NOTHING
    """What those days gave out together."""


def forecast_last_day(burn: Mapping[date, Amount], *, left: Limits, today: date, ends_on: date) -> Forecast:
    """Return when a budget that has so much left today will be used up.

    `burn` is what was given out by business date. The mean of the whole days before today, from the first of the last
    WINDOW_DAYS on which anything was given out, goes on from today until either measure is used up.
    """
    window = {
        day: amount for day, amount in burn.items() if today - timedelta(days=WINDOW_DAYS) <= day < today
    }
    if 0 in left:
        return Forecast(Outlook.USED_UP)
    if not window:
        return Forecast(Outlook.NO_HISTORY_YET)
    days = (today - min(window)).days
    total = Amount(*(sum(column) for column in zip(*window.values(), strict=True)))
    # So many more days can be paid for, the last of them in part.
    lasting = [-(-rest * days // gone) for rest, gone in zip(left, total, strict=True) if rest and gone > 0]
    last_day = min((_after(today, each - 1, ends_on) for each in lasting), default=ends_on)
    if last_day < ends_on:
        return Forecast(Outlook.RUNS_OUT, last_day, days, total)
    return Forecast(Outlook.LASTS, None, days, total)


def _after(day: date, days: int, end: date) -> date:
    """Return the date so many days later, or `end` where that comes first."""
    return end if days >= (end - day).days else day + timedelta(days=days)
