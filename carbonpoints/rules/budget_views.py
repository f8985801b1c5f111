"""What a programme's budgets have given out, what is left, and when it will be used up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.core import clock
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading
from carbonpoints.core.programmes import ProgrammeSettings, programme_of
from carbonpoints.core.sentences import Sentence
from carbonpoints.ledger.budgets import read_burn, read_periods
from carbonpoints.ledger.slices import Amount
from carbonpoints.rules.budget_forecast import NOTHING, WINDOW_DAYS, Forecast, forecast_last_day
from carbonpoints.rules.budgets import (
    MICROFEN_PER_FEN,
    BudgetLeft,
    budgets_on,
    limits_of,
    period_end,
    terms_on,
)
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.definitions import BudgetDefinition
from carbonpoints.rules.timelines import Held
from carbonpoints.rules.usage import period_start

METHOD = Sentence(
    "A forecast and no promise: it goes on from today as on the days before, from the first of the last %(days)s on "
    "which anything was given out.",
    "仅为预测,不构成承诺:自最近%(days)s天内首个发放日起计算日均发放量,并假定今后按此继续。",
)


def list_budgets(*, caller: Caller, on: date | None) -> dict[str, Any]:
    """Return each budget in force on a business date, today by default, with the period that date lies in."""
    with reading() as session:
        programme = programme_settings(session, programme_of(session, caller))
        held = load_catalogue(session, programme.id).budgets
        day = on or programme.calendar.business_date(clock.now())
        items = [_view(session, programme, one.definition, day) for one in budgets_on(held, programme, day)]
        return {"business_date": day, "items": items}


def budgets_left(session: Session, programme: ProgrammeSettings, day: date) -> list[tuple[str, date, int]]:
    """Return code, last day and millicredits left of each budget that limits all credits in the period of a day.

    A budget in money leaves what its rest pays for.
    """
    found = []
    for budget in read_budgets_left(session, programme, load_catalogue(session, programme.id).budgets, day):
        left, price = budget.left, programme.millifen_per_credit
        payable = None if left.microfen is None or not price else left.microfen // price
        amounts = [amount for amount in (left.millicredits, payable) if amount is not None]
        if budget.definition.campaign is None and amounts:
            found.append((budget.definition.code, budget.terms.ends_on, min(amounts)))
    return found


def read_budgets_left(
    session: Session, programme: ProgrammeSettings, budgets: Sequence[Held[BudgetDefinition]], day: date
) -> list[BudgetLeft]:
    """Return each budget in force on a business date, by code, with what its period has left; it locks nothing."""
    definitions = [held.definition for held in budgets_on(budgets, programme, day)]
    terms = terms_on(budgets, programme, day)
    periods = read_periods(session, programme.id, [each.code for each in terms], day) if terms else []
    used = {period.code: period.used for period in periods}
    return [
        BudgetLeft(definition, each, each.limits.left(used.get(each.code, NOTHING)))
        for definition, each in zip(definitions, terms, strict=True)
    ]


def forecast_budget(session: Session, programme: ProgrammeSettings, budget: BudgetDefinition) -> Forecast:
    """Return how far today's period of a budget would go under its limits, be they in force or proposed."""
    today = programme.calendar.business_date(clock.now())
    left = limits_of(budget).left(_used(session, programme, budget, today))
    burn = read_burn(session, programme.id, budget.code, today - timedelta(days=WINDOW_DAYS))
    return forecast_last_day(burn, left=left, today=today, ends_on=period_end(budget.period, today))


def forecast_view(forecast: Forecast) -> dict[str, Any]:
    """Return a forecast as it is shown and kept as evidence, with the method it was made by."""
    return {
        "outlook": forecast.outlook.value,
        "last_day": forecast.last_day,
        "days": forecast.days,
        "burn_millicredits": forecast.burn.millicredits,
        "burn_fen": _rounded_up(forecast.burn.microfen),
        "method": {language: text % {"days": WINDOW_DAYS} for language, text in METHOD._asdict().items()},
    }


def _used(session: Session, programme: ProgrammeSettings, budget: BudgetDefinition, day: date) -> Amount:
    periods = read_periods(session, programme.id, [budget.code], day)
    return periods[0].used if periods else NOTHING


def _view(
    session: Session, programme: ProgrammeSettings, budget: BudgetDefinition, day: date
) -> dict[str, Any]:
    used = _used(session, programme, budget, day)
    left = limits_of(budget).left(used)
    starts_on, ends_on = period_start(budget.period, day), period_end(budget.period, day)
    is_running = starts_on <= programme.calendar.business_date(clock.now()) <= ends_on
    return {
        "code": budget.code,
        "name_en": budget.name_en,
        "name_zh": budget.name_zh,
        "campaign": budget.campaign,
        "period": budget.period,
        "starts_on": starts_on,
        "ends_on": ends_on,
        "limit_millicredits": budget.millicredits,
        "used_millicredits": used.millicredits,
        "left_millicredits": left.millicredits,
        "limit_fen": budget.fen,
        "used_fen": _rounded_up(used.microfen),
        "left_fen": None if left.microfen is None else left.microfen // MICROFEN_PER_FEN,
        "forecast": forecast_view(forecast_budget(session, programme, budget)) if is_running else None,
    }


def _rounded_up(microfen: int) -> int:
    """Return a cost in whole fen: what was begun counts."""
    return -(-microfen // MICROFEN_PER_FEN)
