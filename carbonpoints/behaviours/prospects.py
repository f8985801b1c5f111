"""What an act of today can still give an account: what caps have left, and whether budgets cover anything. Pure.

Nobody is to be sent out for an act that can earn nothing. What is said here is certain: a budget is named where it
does not cover the least that the rule could give. Where it covers that, an act may still be worth too much for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from carbonpoints.core.sentences import Sentence
from carbonpoints.rules.budgets import BudgetLeft
from carbonpoints.rules.campaigns import Boost
from carbonpoints.rules.definitions import CapDefinition, RuleDefinition
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.usage import UsageBook, UsageRow


@dataclass(frozen=True)
class CapLeft:
    """A cap, and what this account has left of it in the running period; null where it does not limit."""

    code: str
    window: str
    count: int | None
    count_left: int | None
    mg: int | None
    mg_left: int | None
    millicredits: int | None
    millicredits_left: int | None


@dataclass(frozen=True)
class UsedUp:
    """A budget that covers nothing more for this act, in the running period."""

    code: str
    name_en: str
    name_zh: str
    ends_on: date
    """The last business date of its period."""


@dataclass(frozen=True)
class Prospect:
    """Whether an act of today can still earn credits and an estimated reduction; if not, because of what."""

    earns_credits: bool
    earns_reduction: bool
    least_millicredits: int
    """The rule gives so much if it gives any credits; 1 where that depends on the act."""
    cap: str | None
    budget: UsedUp | None

    @property
    def sentence(self) -> Sentence | None:
        """What is to be said where a cap or a budget is used up; else None."""
        if self.budget is not None:
            budget, until = self.budget, self.budget.ends_on.isoformat()
            why = Sentence(
                f"the budget “{budget.name_en}” is used up until {until}",
                f"预算“{budget.name_zh}”已用完,截至 {until}",
            )
        elif self.cap is not None:
            why = Sentence(f"the cap {self.cap} is used up", f"上限 {self.cap} 已用完")
        else:
            return None
        if self.earns_reduction:
            return Sentence(
                f"An act of today earns no credits: {why.en}; its estimated reduction counts all the same.",
                f"今日的行为不能获得积分:{why.zh};估算减排量照常计入。",
            )
        if self.earns_credits:
            return Sentence(
                f"An act of today earns credits and no reduction: {why.en}.",
                f"今日的行为可获得积分,不计减排量:{why.zh}。",
            )
        return Sentence(f"An act of today earns nothing: {why.en}.", f"今日的行为不能获得积分:{why.zh}。")


def caps_left(compiled: CompiledRule, usage: UsageBook, today: date) -> list[CapLeft]:
    """Return each cap of a rule, shared ones too, with what an account has left of it on a date."""
    return [_cap_left(cap, used) for cap, used in compiled.used(usage, today)]


def prospect_of(rule: RuleDefinition, caps: Sequence[CapLeft], budgets: Iterable[BudgetLeft]) -> Prospect:
    """Return what an act of the rule's behaviour can still earn under its caps and the programme's budgets."""
    full = [cap.code for cap in caps if cap.count_left == 0]
    no_mg = full + [cap.code for cap in caps if cap.mg_left == 0]
    grant = rule.credits.grant_millicredits
    gives_credits = bool(grant or rule.credits.millicredits_per_mg)
    no_credits = [cap.code for cap in caps if cap.millicredits_left == 0] + (full if grant else no_mg)
    rooms = [cap.millicredits_left for cap in caps if cap.millicredits_left is not None]
    least = max(1, min([grant, *rooms]))
    short = short_of(budgets, {None: least}) if gives_credits and not no_credits else None
    posts_reduction = rule.purpose == "reduction"
    if short is not None:
        cap = None
    elif gives_credits and no_credits:
        cap = no_credits[0]
    else:
        cap = no_mg[0] if posts_reduction and no_mg else None
    return Prospect(
        earns_credits=gives_credits and not no_credits and short is None,
        earns_reduction=posts_reduction and not no_mg,
        least_millicredits=least,
        cap=cap,
        budget=short,
    )


def bonus_short_of(
    boost: Boost, rows: Sequence[UsageRow], prospect: Prospect, budgets: Iterable[BudgetLeft]
) -> UsedUp | None:
    """Return the budget that covers no bonus of a campaign today; None where there is none.

    `rows` are those of the rule's places, as `CompiledRule.rows` has them.
    """
    bonus = max(1, min([boost.definition.bonus_millicredits, *boost.caps_left(rows)]))
    return short_of(budgets, {None: prospect.least_millicredits + bonus, boost.definition.code: bonus})


def short_of(budgets: Iterable[BudgetLeft], amounts: dict[str | None, int]) -> UsedUp | None:
    """Return the first budget that does not cover these amounts, which are as a draw has them."""
    for budget in budgets:
        if not budget.covers(amounts.get(budget.definition.campaign, 0)):
            definition = budget.definition
            return UsedUp(definition.code, definition.name_en, definition.name_zh, budget.terms.ends_on)
    return None


def _cap_left(cap: CapDefinition, used: UsageRow) -> CapLeft:
    return CapLeft(
        code=cap.code,
        window=cap.window,
        count=cap.count,
        count_left=_left(cap.count, used.awards),
        mg=cap.mg,
        mg_left=_left(cap.mg, used.reduction_mg),
        millicredits=cap.millicredits,
        millicredits_left=_left(cap.millicredits, used.amount_millicredits),
    )


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)
