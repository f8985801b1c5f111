"""The ledger against a plain model, through any order of its flows: in memory, and through the real database."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.orm import Session

from carbonpoints.ledger import flows, posting, reviewing, transfers
from carbonpoints.ledger.book import Book, Moment, Parcel
from carbonpoints.ledger.chart import DecisionKind, Kind, Unit
from carbonpoints.ledger.errors import HoldExceeded, HoldNotFound, InsufficientCredits
from tests.ledger.scenes import make_programme
from tests.properties.ledger_benches import CALENDAR, InDatabase, InMemory
from tests.properties.ledger_model import PlainAccount

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
AMOUNTS = st.integers(1, 12)
GRACES = st.sampled_from([0, 0, 5])
SPENDINGS = st.integers(1, 40)
SHARES = st.none() | SPENDINGS
"""Of what there is: all of it, or this many millicredits modulo the whole."""
MOSTLY_FIRST = st.sampled_from([0, 0, 0, 0, 1])
LIMITS = st.sampled_from([0, 8, 1_000_000, 1_000_000])


class LedgerMachine(RuleBasedStateMachine):
    """Two accounts of one holder. A rule picks what it works on by an index into what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.instant = START
        self.bench = self.make_bench()
        self.plain = [PlainAccount(START.date()), PlainAccount(START.date())]
        self.awards: list[list[int]] = [[], []]
        self.reviews: dict[int, int | None] = {}
        """Open reviews of the first account, each with its award, or None where it is the account's."""

    def make_bench(self) -> InMemory | InDatabase:
        return InMemory(START)

    def working(self, number: int) -> AbstractContextManager[Book]:
        self.instant += timedelta(seconds=1)
        return self.bench.working(number)

    @property
    def moment(self) -> Moment:
        return Moment.at(self.instant, CALENDAR)

    @initialize(amounts=st.lists(AMOUNTS, min_size=2, max_size=6))
    def begin(self, amounts: list[int]) -> None:
        for index, amount in enumerate(amounts):
            self.earn(0, amount, index % 3, None, 1)

    @rule(days=st.sampled_from([1, 5, 27, 31]))
    def pass_time(self, days: int) -> None:
        self.instant += timedelta(days=days)
        for plain in self.plain:
            plain.today = self.instant.date()

    @rule(
        number=MOSTLY_FIRST,
        amount=AMOUNTS,
        months=st.integers(0, 2),
        pending_days=st.sampled_from([None, None, 1, 5]),
        reduction_mg=st.integers(0, 5),
    )
    def earn(
        self, number: int, amount: int, months: int, pending_days: int | None, reduction_mg: int
    ) -> None:
        plain = self.plain[number]
        expires_on = date(plain.today.year, plain.today.month, 28) + timedelta(days=31 * months)
        matures_on = None if pending_days is None else plain.today + timedelta(days=pending_days)
        with self.working(number) as book:
            seq = book.decide(
                DecisionKind.EVENT,
                self.moment,
                occurred_at=self.instant,
                received_at=self.instant,
                local_date=plain.today,
                amount_millicredits=amount,
                reduction_mg=reduction_mg,
            )
            flows.earn(
                book,
                self.moment,
                cause_seq=seq,
                occurred_at=self.instant,
                amount_millicredits=amount,
                expires_on=expires_on,
                matures_on=matures_on,
            )
            if reduction_mg:
                flows.quantify(
                    book, self.moment, cause_seq=seq, occurred_at=self.instant, reduction_mg=reduction_mg
                )
        plain.earn(seq, amount, expires_on, matures_on, reduction_mg)
        self.awards[number].append(seq)

    @rule(number=MOSTLY_FIRST)
    def sweep(self, number: int) -> None:
        with self.working(number) as book:
            flows.mature(book, self.moment)
            flows.expire(book, self.moment)
        self.plain[number].mature()
        self.plain[number].expire()

    @rule(number=MOSTLY_FIRST, amount=SPENDINGS)
    def hold(self, number: int, amount: int) -> None:
        plain = self.plain[number]
        with self.working(number) as book:
            if amount > plain.available:
                with pytest.raises(InsufficientCredits):
                    flows.hold(book, self.moment, reference="too much", amount_millicredits=amount)
                return
            reference = f"order {book.last_seq}"
            seq = flows.hold(book, self.moment, reference=reference, amount_millicredits=amount)
        assert plain.hold(seq, amount)

    def _pick(self, found: Any, index: int) -> Any:
        ordered = sorted(found)
        return ordered[index % len(ordered)]

    @precondition(lambda self: self.plain[0].holds)
    @rule(index=st.integers(0, 9), share=SHARES)
    def capture(self, index: int, share: int | None) -> None:
        plain = self.plain[0]
        hold_seq = self._pick(plain.holds, index)
        held = plain.open_amount(hold_seq)
        amount = None if share is None else 1 + share % held
        with self.working(0) as book:
            with pytest.raises(HoldExceeded):
                flows.capture(book, self.moment, hold_seq=hold_seq, amount_millicredits=held + 1)
            seq = flows.capture(book, self.moment, hold_seq=hold_seq, amount_millicredits=amount)
        plain.capture(seq, hold_seq, held if amount is None else amount)

    @precondition(lambda self: self.plain[0].holds)
    @rule(index=st.integers(0, 9), grace_days=GRACES)
    def release(self, index: int, grace_days: int) -> None:
        hold_seq = self._pick(self.plain[0].holds, index)
        with self.working(0) as book:
            seq = flows.release(book, self.moment, hold_seq=hold_seq, grace_days=grace_days)
        with self.working(0) as book, pytest.raises(HoldNotFound):
            flows.release(book, self.moment, hold_seq=hold_seq, grace_days=grace_days)
        self.plain[0].release(hold_seq, grace_days, seq)

    @precondition(lambda self: self.plain[0].available)
    @rule(share=SHARES, days=st.sampled_from([27, 31, 62]), grace_days=st.sampled_from([5, 40]))
    def lapse(self, share: int | None, days: int, grace_days: int) -> None:
        """Hold credits until some are past their expiry and come back into a grace."""
        available = self.plain[0].available
        self.hold(0, available if share is None else 1 + share % available)
        self.pass_time(days)
        self.release(len(self.plain[0].holds) - 1, grace_days)

    @precondition(lambda self: self.plain[0].captures)
    @rule(index=st.integers(0, 9), share=SHARES, grace_days=GRACES)
    def refund(self, index: int, share: int | None, grace_days: int) -> None:
        plain = self.plain[0]
        capture_seq = self._pick(plain.captures, index)
        captured = sum(part for _, part in plain.captures[capture_seq])
        amount = None if share is None else 1 + share % captured
        with self.working(0) as book:
            capture = self.bench.capture(book, capture_seq)
            with pytest.raises(HoldExceeded):
                flows.refund(
                    book,
                    self.moment,
                    capture=capture,
                    amount_millicredits=captured + 1,
                    grace_days=grace_days,
                )
            seq = flows.refund(
                book, self.moment, capture=capture, amount_millicredits=amount, grace_days=grace_days
            )
        plain.refund(capture_seq, captured if amount is None else amount, grace_days, seq)

    @precondition(lambda self: any(self.awards))
    @rule(index=st.integers(0, 9), limit=LIMITS)
    def reverse(self, index: int, limit: int) -> None:
        number, award_seq = self._pick([(n, seq) for n in (0, 1) for seq in self.awards[n]], index)
        with self.working(number) as book:
            award = self.bench.award(book, award_seq)
            flows.reverse(book, self.moment, award=award, clawback_limit_millicredits=limit)
        self.plain[number].reverse(award_seq, limit)
        self.awards[number].remove(award_seq)

    @precondition(lambda self: bool(set(self.awards[0]) - set(self.reviews.values())))
    @rule(index=st.integers(0, 9))
    def review(self, index: int) -> None:
        award_seq = self._pick(set(self.awards[0]) - set(self.reviews.values()), index)
        with self.working(0) as book:
            award = self.bench.award(book, award_seq)
            seq = reviewing.review_event(book, self.moment, event_seq=award_seq, awards=[award])
        self.plain[0].review(seq, award_seq)
        self.reviews[seq] = award_seq

    @precondition(lambda self: not self.plain[0].under)
    @rule()
    def review_account(self) -> None:
        with self.working(0) as book:
            self.plain[0].under = reviewing.review_account(book, self.moment)
        self.reviews[self.plain[0].under] = None

    @precondition(lambda self: self.reviews)
    @rule(
        index=st.integers(0, 9),
        grace_days=GRACES,
        outcome=st.sampled_from(["released", "forfeited"]),
        limit=LIMITS,
    )
    def end_review(self, index: int, grace_days: int, outcome: str, limit: int) -> None:
        review_seq = self._pick(self.reviews, index)
        under = self.reviews.pop(review_seq)
        held = [seq for seq in self.awards[0] if seq == under or (under is None and seq > review_seq)]
        for award_seq in held if outcome == "forfeited" else ():
            if under is None and award_seq in self.reviews.values():
                continue
            with self.working(0) as book:
                award = self.bench.award(book, award_seq)
                flows.reverse(
                    book, self.moment, award=award, clawback_limit_millicredits=limit, is_forfeited=True
                )
            self.plain[0].reverse(award_seq, limit)
            self.awards[0].remove(award_seq)
        with self.working(0) as book:
            seq = reviewing.end_review(
                book, self.moment, review_seq=review_seq, grace_days=grace_days, trace={}
            )
        self.plain[0].end_review(review_seq, grace_days, seq)

    @rule(sender=MOSTLY_FIRST, amount=AMOUNTS)
    def transfer(self, sender: int, amount: int) -> None:
        receiver = 1 - sender
        amount = min(amount, self.plain[sender].available)
        if not amount:
            return
        plain_parcels = self.plain[sender].take_out(amount)
        parcels = [
            Parcel(int(Unit.CREDIT), int(Kind.AVAILABLE), part, None, expires)
            for expires, part in plain_parcels
        ]
        transfer_id = uuid.uuid4()
        with self.working(sender) as book:
            transfers.transfer_out(
                book,
                self.moment,
                transfer_id=transfer_id,
                counterpart_account_id=book.account_id + receiver - sender,
                parcels=parcels,
            )
        with self.working(receiver) as book:
            seq = transfers.transfer_in(
                book,
                self.moment,
                transfer_id=transfer_id,
                counterpart_account_id=book.account_id + sender - receiver,
                parcels=parcels,
            )
        self.plain[receiver].take_in(plain_parcels, seq)

    @invariant()
    def is_as_plain(self) -> None:
        for number, plain in enumerate(self.plain):
            balances = self.bench.balances(number, self.instant)
            assert (
                balances.available_millicredits,
                balances.held_millicredits,
                balances.pending_millicredits,
                balances.expiring_30d_millicredits,
                balances.clawback_due_millicredits,
                balances.lifetime_reduction_mg,
            ) == (plain.available, plain.held, plain.awaiting, plain.expiring(30), plain.due, plain.reduction)

    def teardown(self) -> None:
        self.bench.finish()


def test_any_order_of_flows_in_memory() -> None:
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=300, stateful_step_count=50, deadline=None)
    )


def test_any_order_of_flows_through_the_database(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "SNAPSHOT_EVERY", 5)
    programme_id = make_programme(session)

    class InDatabaseMachine(LedgerMachine):
        def make_bench(self) -> InDatabase:
            return InDatabase(session, programme_id, START)

    run_state_machine_as_test(
        InDatabaseMachine,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
