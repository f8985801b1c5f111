"""What the ledger's tests start from: a programme, books, moments, awards."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from sqlalchemy.orm import Session

from carbonpoints.core.clock import Calendar
from carbonpoints.core.models import Bank, Programme
from carbonpoints.ledger import flows, posting
from carbonpoints.ledger.book import Book, Moment
from carbonpoints.ledger.chart import DecisionKind, Flow
from carbonpoints.ledger.lots import Award, Causes, trace_award

CALENDAR = Calendar("UTC")
DAY = date(2026, 11, 2)
NOVEMBER, DECEMBER, JANUARY = date(2026, 11, 30), date(2026, 12, 31), date(2027, 1, 31)


def make_programme(session: Session) -> int:
    """Make a bank with one programme and return the programme's id."""
    bank = Bank(code="ledger", issuer="https://ledger.test", name_en="Ledger", name_zh="账")
    session.add(bank)
    session.flush()
    programme = Programme(
        bank_id=bank.bank_id, code="main", name_en="Main", name_zh="主", time_zone="UTC", currency="CNY"
    )
    session.add(programme)
    session.flush()
    return programme.programme_id


def moment_on(day: date, hour: int = 12) -> Moment:
    """Return a moment on a business date."""
    return Moment.at(datetime.combine(day, time(hour), tzinfo=UTC), CALENDAR)


def make_book(account_id: int = 1) -> Book:
    """Return a new account's book that stands in no database."""
    return Book(
        account_id=account_id,
        programme_id=1,
        holder_kind="person",
        status="open",
        last_seq=0,
        last_booked_at=moment_on(DAY, 0).booked_at,
        opened_at=moment_on(DAY, 0).booked_at,
    )


def open_one(session: Session, programme_id: int, day: date = DAY) -> Book:
    """Return a new account's book, written."""
    book = posting.open_account(
        session, programme_id=programme_id, holder_kind="person", moment=moment_on(day, 0)
    )
    posting.write_books(session, [book])
    return book


def award(
    book: Book,
    amount: int,
    expires_on: date = NOVEMBER,
    *,
    day: date = DAY,
    matures_on: date | None = None,
    reduction_mg: int = 0,
    event_hash: bytes | None = None,
) -> int:
    """Decide an event, post what it earns, and return its number."""
    moment = moment_on(day)
    seq = book.decide(
        DecisionKind.EVENT,
        moment,
        occurred_at=moment.booked_at,
        received_at=moment.booked_at,
        local_date=day,
        disposition=1,
        amount_millicredits=amount,
        reduction_mg=reduction_mg,
        event_hash=event_hash,
        revision=None if event_hash is None else 0,
        commitment=None if event_hash is None else b"c" * 32,
    )
    flows.earn(
        book,
        moment,
        cause_seq=seq,
        occurred_at=moment.booked_at,
        amount_millicredits=amount,
        expires_on=expires_on,
        matures_on=matures_on,
    )
    if reduction_mg:
        flows.quantify(book, moment, cause_seq=seq, occurred_at=moment.booked_at, reduction_mg=reduction_mg)
    return seq


def spend(book: Book, amount: int, *, day: date = DAY) -> int:
    """Hold and capture, and return the capture's number."""
    hold_seq = flows.hold(
        book, moment_on(day), reference=f"order {book.last_seq}", amount_millicredits=amount
    )
    return flows.capture(book, moment_on(day), hold_seq=hold_seq)


def where_is(book: Book, award_seq: int) -> Award:
    """Trace an award in a book that was never written."""
    traces = {decision[1]: (decision[11], decision[16]) for decision in book.decisions}
    return trace_award(
        award_seq,
        book.entries,
        Causes(
            {s: t["award_seqs"] for s, (_, t) in traces.items() if t and "award_seqs" in t},
            {s: t["award_seq"] for s, (kind, t) in traces.items() if kind == DecisionKind.REVERSAL},
        ),
    )


def reverse(book: Book, award_seq: int, *, limit: int = 1_000_000, day: date = DAY) -> int:
    """Reverse an award in a book that was never written."""
    return flows.reverse(
        book, moment_on(day), award=where_is(book, award_seq), clawback_limit_millicredits=limit
    )


def moved(book: Book) -> list[tuple[str, int, int]]:
    """Return (flow, lot, amount) of every entry."""
    return [(Flow(entry[9]).name, entry[7], entry[4]) for entry in book.entries]
