"""Where the flows of the ledger machine work: on books in memory, or through the database."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.core.clock import Calendar
from carbonpoints.ledger import loading, posting
from carbonpoints.ledger.book import Book, Capture, Moment
from carbonpoints.ledger.chart import DecisionKind, Flow
from carbonpoints.ledger.lots import Award, Causes, trace_award
from carbonpoints.ledger.queries import balances_of, read_balances
from carbonpoints.ledger.reconcile import check
from carbonpoints.ledger.seal import seal

CALENDAR = Calendar("UTC")


class InMemory:
    """Books that are never written: everything new stays in them."""

    def __init__(self, instant: datetime) -> None:
        self.books = [
            Book(
                account_id=number,
                programme_id=1,
                holder_kind="person",
                status="open",
                last_seq=0,
                last_booked_at=instant,
                opened_at=instant,
            )
            for number in (1, 2)
        ]

    @contextmanager
    def working(self, number: int):
        yield self.books[number]

    def award(self, book: Book, award_seq: int) -> Award:
        matured, was_reversed = {}, {}
        for decision in book.decisions:
            if decision[11] in {DecisionKind.MATURITY, DecisionKind.REVIEW}:
                matured[decision[1]] = decision[16].get("award_seqs", ())
            elif decision[11] == DecisionKind.REVERSAL:
                was_reversed[decision[1]] = decision[16]["award_seq"]
        return trace_award(award_seq, book.entries, Causes(matured, was_reversed))

    def capture(self, book: Book, capture_seq: int) -> Capture:
        refunds = {
            decision[1]
            for decision in book.decisions
            if decision[11] == DecisionKind.REFUND and decision[16]["capture_seq"] == capture_seq
        }
        parts: dict[int, int] = {}
        for entry in book.entries:
            if entry[9] == Flow.CAPTURE and entry[5] == capture_seq:
                parts[entry[7]] = entry[4]
            elif entry[9] == Flow.REFUND and entry[5] in refunds:
                parts[entry[7]] -= entry[4]
        return Capture(capture_seq, tuple((lot, amount) for lot, amount in parts.items() if amount))

    def balances(self, number: int, instant: datetime) -> Any:
        return balances_of(self.books[number], CALENDAR.business_date(instant))

    def finish(self) -> None:
        for book in self.books:
            seqs = sorted(row[1] for row in book.decisions + book.entries)
            assert seqs == list(range(1, book.last_seq + 1))


class InDatabase:
    """Each step opens the account, posts, and writes it; at the end the books prove themselves."""

    def __init__(self, session: Session, programme_id: int, instant: datetime) -> None:
        self.session = session
        moment = Moment.at(instant, CALENDAR)
        opened = posting.open_accounts(
            session, programme_id=programme_id, holder_kind="person", moment=moment, count=2
        )
        posting.write_books(session, opened)
        self.ids = [book.account_id for book in opened]
        self.past: list[tuple[int, datetime, Any]] = []

    @contextmanager
    def working(self, number: int):
        book = posting.open_books(self.session, [self.ids[number]])[self.ids[number]]
        loading.load_open_items(self.session, [book])
        yield book
        posting.write_books(self.session, [book])

    def award(self, book: Book, award_seq: int) -> Award:
        return loading.read_award(self.session, book, award_seq)

    def capture(self, book: Book, capture_seq: int) -> Capture:
        return loading.read_capture(self.session, book, capture_seq)

    def balances(self, number: int, instant: datetime) -> Any:
        now = read_balances(self.session, self.ids[number], CALENDAR, instant)
        self.past.append((self.ids[number], instant, now))
        return now

    def finish(self) -> None:
        for account_id, instant, then in self.past:
            assert read_balances(self.session, account_id, CALENDAR, instant) == then
        assert [finding for finding in check(self.session) if finding.differences] == []
        seal(self.session)
        assert [finding for finding in check(self.session) if finding.differences] == []
