"""Which budgets an award draws on, and what they still cover for one delivery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from carbonpoints.core.clock import month_end
from carbonpoints.core.programmes import ProgrammeSettings
from carbonpoints.ledger.slices import Limits, Terms, covered
from carbonpoints.rules.definitions import BudgetDefinition
from carbonpoints.rules.draws import Amounts, Draw, Drawn
from carbonpoints.rules.timelines import Held
from carbonpoints.rules.usage import period_start

MICROFEN_PER_FEN = 10**6


def budgets_on(
    budgets: Sequence[Held[BudgetDefinition]], programme: ProgrammeSettings, day: date
) -> list[Held[BudgetDefinition]]:
    """Return the budgets in force on a business date, by code: those whose version holds when the date begins.

    A date begins at midnight in the programme's zone.
    """
    midnight = datetime.combine(day, time(), programme.calendar.zone)
    holding = (held for held in budgets if held.version.holds_at(midnight))
    return sorted(holding, key=lambda held: held.version.code)


def terms_on(
    budgets: Sequence[Held[BudgetDefinition]], programme: ProgrammeSettings, day: date
) -> tuple[Terms, ...]:
    """Return what holds for each budget in force on a business date, by code."""
    known: dict[str, int] = {}
    for held in budgets:
        code = held.version.code
        known[code] = max(known.get(code, 0), held.version.version_id)
    return tuple(
        Terms(
            programme_id=programme.id,
            code=held.version.code,
            campaign=held.definition.campaign,
            business_date=day,
            starts_on=period_start(held.definition.period, day),
            ends_on=period_end(held.definition.period, day),
            limits=limits_of(held.definition),
            millifen_per_credit=programme.millifen_per_credit,
            version_id=held.version.version_id,
            known_version_id=known[held.version.code],
        )
        for held in budgets_on(budgets, programme, day)
    )


@dataclass(frozen=True)
class BudgetLeft:
    """A budget in force on a business date, and what its period has left."""

    definition: BudgetDefinition
    terms: Terms
    left: Limits

    def covers(self, millicredits: int) -> bool:
        """Whether an award could draw as much."""
        return covered(self.left, self.terms.cost(millicredits)) == millicredits


def limits_of(budget: BudgetDefinition) -> Limits:
    """Return what a budget gives out in a period at the most."""
    return Limits(budget.millicredits, None if budget.fen is None else budget.fen * MICROFEN_PER_FEN)


def period_end(period: str, day: date) -> date:
    """Return the last day of the month or year that `day` lies in."""
    return month_end(day) if period == "month" else date(day.year, 12, 31)


@dataclass(frozen=True)
class Purse:
    """What the awards of one delivery may draw on budgets, asked award by award in order."""

    terms: Iterable[Terms]
    left: MutableMapping[str, int] | None = None
    """Millicredits by budget; None while nobody has asked the budgets: then everything is covered."""

    def draw(self, amounts: Amounts) -> Drawn:
        """Take the credits of an award from every budget that limits them, or from none when one is short."""
        wanted = [(terms, amounts.get(terms.campaign, 0)) for terms in self.terms]
        if self.left is not None:
            for terms, millicredits in wanted:
                if millicredits > self.left.get(terms.code, 0):
                    return Drawn(terms.code, {})
            for terms, millicredits in wanted:
                if millicredits:
                    self.left[terms.code] -= millicredits
        return Drawn(None, {terms.code: list(terms.cost(amount)) for terms, amount in wanted if amount})


def recorded(trace: Mapping[str, Any] | None) -> Draw:
    """Return what says of budgets what they said to an award that was decided before: replay takes it so (M16)."""
    found = trace or {}

    def draw(amounts: Amounts) -> Drawn:
        asks_bonus = any(campaign is not None for campaign in amounts)
        if asks_bonus and "bonus_budget" in found:
            return Drawn(found["bonus_budget"], {})
        return Drawn(found.get("budget"), found.get("budgets", {}))

    return draw
