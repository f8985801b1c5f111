"""The engine against a plain model that remembers every award and adds them up afresh for each act."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from math import floor
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from carbonpoints.core.amounts import plain
from carbonpoints.rules.definitions import CapDefinition, CounterDefinition, RuleDefinition
from carbonpoints.rules.engine import CompiledRule, Outcome
from carbonpoints.rules.usage import UsageBook, UsageRow, read_tallies
from tests.rules.engine_world import FACTOR_G_PER_KM, compiled, condition, counter, pays

FIRST_DAYS = (date(2024, 2, 26), date(2024, 12, 29), date(2023, 2, 26))
"""Before a leap day, a new year, and a February that has no leap day."""


@dataclass(frozen=True)
class Act:
    """An act as the model sees it; distances and fares in thousandths."""

    day: date
    metres: int
    fare_thousandths: int
    payee: str | None
    paid: bool

    @property
    def data(self) -> dict[str, str | bool]:
        data: dict[str, str | bool] = {
            "km": thousandths(self.metres),
            "fare": thousandths(self.fare_thousandths),
            "paid": self.paid,
        }
        return data if self.payee is None else {**data, "payee": self.payee}


def thousandths(amount: int) -> str:
    whole, rest = divmod(amount, 1000)
    return f"{whole}.{rest:03}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Award:
    act: Act
    granted_mg: int
    amount_millicredits: int


@dataclass
class Model:
    """What an account was awarded, and the rule in plain words."""

    rule: RuleDefinition
    awards: list[Award]

    def within(self, window: str, day: date) -> list[Award]:
        return [award for award in self.awards if _is_within(window, award.act.day, day)]

    def count(self, definition: CounterDefinition, act: Act) -> Fraction:
        earlier = [award.act for award in self.within(definition.window, act.day)]
        if definition.measure.startswith("distinct:"):
            return Fraction(len({other.payee for other in earlier if other.payee}))
        if definition.per:
            earlier = [other for other in earlier if other.payee == act.payee]
        if definition.measure == "count":
            return Fraction(len(earlier))
        return sum((Fraction(other.fare_thousandths, 1000) for other in earlier), Fraction())

    def refuse(self, act: Act) -> str | None:
        if not act.paid:
            return "paid"
        for code, definition in self.rule.counters.items():
            if self.count(definition, act) >= _limit(code):
                return f"few_{code}"
        return None

    def grant(self, act: Act) -> tuple[int, int, str | None, int | None]:
        """Return mg before the rule's purpose, millicredits, the cap that cut last and what it had left."""
        granted_mg = floor(Fraction(act.metres, 1000) * Fraction(FACTOR_G_PER_KM) * 1000)
        cut: tuple[str | None, int | None] = (None, None)
        for cap in self.rule.caps:
            used = _sums(self.within(cap.window, act.day))
            if cap.count is not None and used["count"] >= cap.count:
                return 0, 0, cap.code, 0
            if cap.mg is not None and granted_mg > cap.mg - used["mg"]:
                granted_mg = max(0, cap.mg - used["mg"])
                cut = cap.code, granted_mg
        rate, fixed = self.rule.credits.millicredits_per_mg, self.rule.credits.grant_millicredits
        amount = floor(granted_mg * Fraction(rate)) + fixed
        for cap in self.rule.caps:
            used = _sums(self.within(cap.window, act.day))
            if cap.millicredits is not None and amount > cap.millicredits - used["millicredits"]:
                amount = max(0, cap.millicredits - used["millicredits"])
                cut = cap.code, amount
        return granted_mg, amount, *cut

    def expect(self, act: Act) -> Outcome:
        """Return the outcome that the engine must give, and remember the award."""
        counters = {code: self.count(definition, act) for code, definition in self.rule.counters.items()}
        reason = self.refuse(act)
        granted_mg, amount, cap, left = (0, 0, None, None) if reason else self.grant(act)
        posted_mg = granted_mg if self.rule.purpose == "reduction" else 0
        is_nothing = posted_mg == amount == 0
        if reason is None and cap is None and is_nothing:
            reason = "nothing_earned"
        trace: dict[str, object] = {} if reason is None else {"reason": reason}
        if reason != "paid" and any(counters.values()):
            trace["counters"] = {code: _shown(value) for code, value in counters.items() if value}
        if cap is not None:
            trace |= {"cap": cap, "left": left}
            trace |= {"granted_mg": granted_mg} if granted_mg != posted_mg else {}
        if not is_nothing:
            self.awards.append(Award(act, granted_mg, amount))
        return Outcome(reason, posted_mg, amount, cap, trace or None)


def _limit(code: str) -> int:
    return int(code.rpartition("_")[2])


def _shown(value: Fraction) -> str:
    return thousandths(int(value * 1000))


def _is_within(window: str, day: date, today: date) -> bool:
    if window == "event":
        return False
    if window == "day":
        return day == today
    if window == "month":
        return (day.year, day.month) == (today.year, today.month)
    if window == "year":
        return day.year == today.year
    return today - timedelta(days=int(window[:-1])) < day <= today


def _optional(limits: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | limits


@st.composite
def caps(draw: st.DrawFn) -> tuple[CapDefinition, ...]:
    found = []
    for number in range(draw(st.integers(0, 4))):
        window: Any = draw(st.sampled_from(["event", "day", "day", "month", "year"]))
        limits = {
            "count": draw(_optional(st.integers(1, 4))) if window != "event" else None,
            "mg": draw(_optional(st.integers(1, 200_000))),
            "millicredits": draw(_optional(st.integers(1, 200_000))),
        }
        if any(limits.values()):
            found.append(CapDefinition(code=f"cap_{number}", window=window, **limits))
    return tuple(found)


WINDOWS = st.sampled_from(["day", "month", "year", "1d", "2d", "7d"])


@st.composite
def counters(draw: st.DrawFn) -> dict[str, CounterDefinition]:
    """Counters by a code that ends with the value from which they refuse."""
    found = {}
    for name, limits in (("rides", 4), ("fares", 12), ("payees", 3)):
        if draw(st.booleans()):
            continue
        per = draw(st.sampled_from([None, "payee"]))
        measure = {"rides": "count", "fares": "sum:fare", "payees": "distinct:payee"}[name]
        limit = draw(st.integers(1, limits))
        found[f"{name}_{limit}"] = counter(measure, draw(WINDOWS), per if name != "payees" else None)
    return found


@st.composite
def rules(draw: st.DrawFn) -> CompiledRule:
    counted = draw(counters())
    return compiled(
        caps=draw(caps()),
        counters=counted,
        eligibility=(
            condition("paid", "paid"),
            *(condition(f"few_{code}", f"{code} < {_limit(code)}") for code in counted),
        ),
        purpose=draw(st.sampled_from(["reduction", "credits_only"])),
        credits=pays(
            draw(st.sampled_from(["0", "0.001", "0.37", "1", "2.5"])), draw(st.sampled_from([0, 0, 900]))
        ),
    )


@st.composite
def acts(draw: st.DrawFn) -> list[Act]:
    """Acts around a turn of month or year, in any order: some come late."""
    first = draw(st.sampled_from(FIRST_DAYS))
    act = st.builds(
        Act,
        day=st.integers(0, 6).map(lambda days: first + timedelta(days=days)),
        metres=st.sampled_from([0, 1, 37]) | st.integers(1, 6_000),
        fare_thousandths=st.integers(0, 5_000),
        payee=st.sampled_from([None, "a", "b", "c"]),
        paid=st.sampled_from([True, True, True, False]),
    )
    return draw(st.lists(act, max_size=25))


def _as_stored(usage: UsageBook) -> UsageBook:
    """Return the usage as another transaction would load it."""
    rows = {
        key: UsageRow(row.awards, row.reduction_mg, row.amount_millicredits, read_tallies(row.tallies_text()))
        for key, row in usage.rows.items()
    }
    return UsageBook(secret=usage.secret, rows=rows)


def _sums(awards: list[Award]) -> dict[str, int]:
    return {
        "count": len(awards),
        "mg": sum(award.granted_mg for award in awards),
        "millicredits": sum(award.amount_millicredits for award in awards),
    }


def _exceeded(model: Model) -> Iterator[tuple[str, date, str]]:
    for award in model.awards:
        for cap in model.rule.caps:
            sums = _sums([award] if cap.window == "event" else model.within(cap.window, award.act.day))
            for measure, used in sums.items():
                limit = getattr(cap, measure)
                if limit is not None and used > limit:
                    yield cap.code, award.act.day, measure


@settings(max_examples=200, deadline=None)
@given(rule=rules(), sequence=acts(), stores=st.booleans())
def test_every_outcome_is_that_of_the_plain_model_and_no_cap_is_exceeded(
    rule: CompiledRule,
    sequence: list[Act],
    stores: bool,  # noqa: FBT001 - drawn by Hypothesis
) -> None:
    model, usage = Model(rule.rule, []), UsageBook(secret=b"a secret")
    for act in sequence:
        expected = model.expect(act)
        assert rule.settle(rule.assess(rule.values(act.data)), usage, act.day) == expected
        if stores:
            usage = _as_stored(usage)
    assert list(_exceeded(model)) == []


NUMBERS = st.decimals("0", "99999999", places=12, allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(distance=NUMBERS, project=st.decimals("0", "1000", places=9), rate=st.decimals("0", "1000", places=8))
def test_milligrams_and_credits_are_each_rounded_down_once(distance: Any, project: Any, rate: Any) -> None:
    # 20 digits of distance, 12 of project and no division: 34 digits hold every step exactly
    rule = compiled(baseline="km", project=f"{project:f}", credits=pays(plain(rate)))
    outcome = rule.settle(rule.assess(rule.values({"km": f"{distance:f}"})), UsageBook(), FIRST_DAYS[0])
    exact_mg = max(Fraction(0), Fraction(distance) - Fraction(project)) * 1000
    assert outcome.reduction_mg == floor(exact_mg)
    assert outcome.amount_millicredits == floor(floor(exact_mg) * Fraction(rate))
