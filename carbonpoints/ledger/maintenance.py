"""Upkeep of the books: lots past their expiry end, and pending awards mature (M5, M23).

What can be spent does not wait for it: a lot past its expiry is not available before either. Finding takes no
locks; whatever changed in between is judged again in the locked books, so that any number of workers may do the
same page at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.core import clock
from carbonpoints.core.arrays import of_numbers
from carbonpoints.core.clock import Calendar
from carbonpoints.core.db import raw_connection
from carbonpoints.ledger import flows
from carbonpoints.ledger.book import AVAILABLE, CREDIT, Book, Moment
from carbonpoints.ledger.loading import load_open_items
from carbonpoints.ledger.posting import open_books, write_books

PAGE_ACCOUNTS = 2_000
"""So many accounts are looked at, and locked at the most, at a time."""

# A window of accounts is looked at, due or not, so that a page costs the same on any day. LIMIT 1 keeps the
# planner from reading all balances of the house to answer for these.
EXPIRED_LOTS = """
SELECT a.account_id, due.account_id IS NOT NULL
FROM (
    SELECT account_id FROM account WHERE programme_id = %(programme_id)s AND account_id > %(after)s
    ORDER BY account_id LIMIT %(limit)s
) AS a
LEFT JOIN LATERAL (
    SELECT b.account_id FROM balance b JOIN lot l ON l.account_id = b.account_id AND l.lot_no = b.lot_no
    WHERE b.account_id = a.account_id AND b.unit_id = %(unit)s AND b.kind = %(kind)s AND b.amount > 0
        AND l.expires_on < %(business_date)s
    LIMIT 1
) AS due ON true
ORDER BY a.account_id
"""
DUE_AWARDS = """
SELECT p.account_id, true FROM pending_award p JOIN account a ON a.account_id = p.account_id
WHERE p.matures_on <= %(business_date)s AND p.review_seq = 0 AND a.review_seq = 0 AND p.account_id > %(after)s AND a.programme_id = %(programme_id)s
GROUP BY p.account_id ORDER BY p.account_id LIMIT %(limit)s
"""
DECIDED = """
SELECT d.account_id, d.account_seq, d.pin_id, d.trace
FROM unnest(%s::bigint[], %s::bigint[]) AS asked (account_id, account_seq)
JOIN decision d ON d.account_id = asked.account_id AND d.account_seq = asked.account_seq
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Some accounts of a programme, in the order of their numbers."""

    due: tuple[int, ...]
    """Those of them for which there is something to do."""
    last: int | None
    """The last one looked at; None when there was none left."""


def find_expired(session: Session, programme_id: int, business_date: date, after: int) -> Page:
    """Look at the accounts after a number for credits available in lots past their expiry."""
    return _find(session, EXPIRED_LOTS, programme_id, business_date, after)


def find_mature(session: Session, programme_id: int, business_date: date, after: int) -> Page:
    """Find the accounts after a number with pending awards whose day has come."""
    return _find(session, DUE_AWARDS, programme_id, business_date, after)


def _find(session: Session, query: str, programme_id: int, business_date: date, after: int) -> Page:
    parameters = {
        "programme_id": programme_id,
        "business_date": business_date,
        "after": after,
        "limit": PAGE_ACCOUNTS,
        "unit": CREDIT,
        "kind": AVAILABLE,
    }
    rows = raw_connection(session).execute(query, parameters).fetchall()
    return Page(tuple(account_id for account_id, is_due in rows if is_due), rows[-1][0] if rows else None)


def expire_lots(session: Session, account_ids: Collection[int], calendar: Calendar) -> int:
    """End what is available in these accounts' lots past their expiry; returns how many accounts had some."""
    return _book(session, open_books(session, account_ids), calendar, flows.expire)


def mature_awards(session: Session, account_ids: Collection[int], calendar: Calendar) -> int:
    """Make these accounts' pending awards available whose day has come; returns how many accounts had some."""
    books = open_books(session, account_ids)
    load_open_items(session, books.values())
    return _book(session, books, calendar, flows.mature)


def _book(
    session: Session,
    books: dict[int, Book],
    calendar: Calendar,
    flow: Callable[[Book, Moment], int | None],
) -> int:
    moment = Moment.at(clock.now(), calendar)
    booked = [book for book in books.values() if flow(book, book.next_moment(moment, calendar)) is not None]
    write_books(session, booked)
    return len(booked)


def read_pins_and_traces(
    session: Session, decisions: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], tuple[int | None, Any]]:
    """Return pin and trace of decisions, each named by account and number; those that do not exist are absent."""
    asked = of_numbers(account_id for account_id, _ in decisions), of_numbers(seq for _, seq in decisions)
    rows = raw_connection(session).execute(DECIDED, asked)
    return {(account_id, seq): (pin_id, trace) for account_id, seq, pin_id, trace in rows}
