"""A budget in slices against plain integers, through any order of draws, returns and changes of its limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.ledger.budgets import Wanted, draw, give_back, hand_back, read_burn, read_periods
from carbonpoints.ledger.slices import Amount, Limits, Terms
from tests.ledger.budget_scenes import terms
from tests.ledger.scenes import make_programme

DAYS = [date(2026, 11, 2), date(2026, 11, 3), date(2026, 12, 1)]
AMOUNTS = st.integers(1, 400) | st.integers(1, 5_000)
LIMITS = st.none() | st.integers(1, 10_000)
PRICES = st.sampled_from([1, 7, 20])


class PlainPeriod:
    """What a budget's month is: what limits it, and what was given out on which day."""

    def __init__(self) -> None:
        self.cut_by: Terms | None = None
        self.given: dict[date, Amount] = {}

    @property
    def used(self) -> Amount:
        return Amount(*(sum(amount[at] for amount in self.given.values()) for at in (0, 1)))

    def has(self, price: int) -> int:
        assert self.cut_by is not None
        limits, used = self.cut_by.limits, self.used
        rooms = []
        if limits.millicredits is not None:
            rooms.append(limits.millicredits - used.millicredits)
        if limits.microfen is not None:
            rooms.append((limits.microfen - used.microfen) // price)
        return max(0, min(rooms))

    def book(self, day: date, amount: Amount) -> None:
        before = self.given.get(day, Amount(0, 0))
        self.given[day] = Amount(*(one + other for one, other in zip(before, amount, strict=True)))


class BudgetMachine(RuleBasedStateMachine):
    """One session stands for transactions one after the other; every machine has a budget of its own."""

    session: Session
    programme_id: int
    codes = count(1)

    def __init__(self) -> None:
        super().__init__()
        self.code = f"budget_{next(self.codes)}"
        self.known = [terms(self.programme_id, 5_000, code=self.code)]
        self.periods: dict[int, PlainPeriod] = {11: PlainPeriod(), 12: PlainPeriod()}
        self.awards: list[tuple[date, Amount]] = []

    @rule(
        day=st.sampled_from(DAYS),
        wanted=AMOUNTS,
        least=AMOUNTS,
        kept=st.none() | AMOUNTS,
        price=PRICES,
        is_late=st.booleans(),
    )
    def give_out(
        self, *, day: date, wanted: int, least: int, kept: int | None, price: int, is_late: bool
    ) -> None:
        """A delivery that may have been begun before the last change, and may not use all it gets."""
        held = self.known[-2 if is_late and len(self.known) > 1 else -1]
        held = replace(
            held,
            business_date=day,
            starts_on=day.replace(day=1),
            ends_on=day.replace(day=30),
            millifen_per_credit=price,
        )
        period = self.periods[day.month]
        if period.cut_by is None or held.known_version_id > period.cut_by.known_version_id:
            period.cut_by = held
        least = min(least, wanted)
        expected = min(wanted, period.has(price))
        drawn = draw(self.session, held, Wanted(wanted, least))
        if drawn is None:
            assert expected < least, "nothing is refused while enough for an award is left"
            return
        assert drawn.millicredits == expected
        used = expected if kept is None else min(kept, expected)
        if used < expected:
            hand_back(self.session, drawn, expected - used)
        period.book(day, held.cost(used))
        self.awards.append((day, held.cost(used)))

    @precondition(lambda self: self.awards)
    @rule(place=st.integers(0, 1_000))
    def reverse(self, place: int) -> None:
        day, amount = self.awards.pop(place % len(self.awards))
        give_back(
            self.session, programme_id=self.programme_id, business_date=day, amounts={self.code: amount}
        )
        self.periods[day.month].book(day, Amount(-amount.millicredits, -amount.microfen))

    @rule(millicredits=LIMITS, microfen=LIMITS)
    def change(self, millicredits: int | None, microfen: int | None) -> None:
        version = self.known[-1].known_version_id + 1
        limits = Limits(5_000 if millicredits is microfen is None else millicredits, microfen)
        self.known.append(
            replace(self.known[-1], limits=limits, version_id=version, known_version_id=version)
        )

    @invariant()
    def is_as_plain(self) -> None:
        for day in (DAYS[0], DAYS[2]):
            period = self.periods[day.month]
            found = read_periods(self.session, self.programme_id, [self.code], day)
            assert [one.used for one in found] == ([period.used] if period.cut_by else [])
            for one in found:
                assert period.cut_by is not None
                assert (one.version_id, one.limits) == (period.cut_by.version_id, period.cut_by.limits)
                self.shares_are_within(one.budget_period_id, one.limits, one.used)

        burn = read_burn(self.session, self.programme_id, self.code, DAYS[0])
        given = {on: gone for period in self.periods.values() for on, gone in period.given.items()}
        assert {on: gone for on, gone in burn.items() if any(gone)} == {
            on: gone for on, gone in given.items() if any(gone)
        }

    def shares_are_within(self, budget_period_id: int, limits: Limits, used: Amount) -> None:
        shares = "SELECT sum(share_millicredits), sum(share_microfen) FROM budget_slice WHERE budget_period_id = :it"
        row = self.session.execute(text(shares), {"it": budget_period_id}).one()
        for share, limit, gone in zip(row, limits, used, strict=True):
            assert (share is None) is (limit is None)
            assert limit is None or gone <= share <= max(limit, gone)


def test_any_order_of_draws_returns_and_changes(session: Session) -> None:
    class Machine(BudgetMachine):
        programme_id = make_programme(session)

    Machine.session = session
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
