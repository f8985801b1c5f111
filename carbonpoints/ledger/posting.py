"""The one door into the ledger: open books under their locks, and write what became of them (M4).

`open_books` locks accounts in id order; `write_books` writes everything new in a handful of statements, the same
for one account and for five thousand. Who has much to work out reads books first, works, and then locks:
`lock_books` names those that moved meanwhile, to be read and worked out again. Nothing here commits.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import psycopg
from sqlalchemy.orm import Session

from carbonpoints.core import outbox
from carbonpoints.core.arrays import of_column, of_numbers
from carbonpoints.core.db import copy_rows, raw_connection
from carbonpoints.ledger import copying
from carbonpoints.ledger.book import CREDIT, Book, Moment
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.lots import Lot
from carbonpoints.ledger.transfers import TRANSFER_TOPIC, dump_parcels

SNAPSHOT_EVERY = 1_000
"""A snapshot of the balances whenever an account's number passes a multiple of this."""

LOCK = """
SELECT account_id, last_seq FROM account WHERE account_id = ANY(%s::bigint[]) ORDER BY account_id FOR UPDATE
"""
# Before everything else of an account: what is read later is not older, and `lock_books` tells whether it is newer.
HEADS = """
SELECT account_id, programme_id, holder_kind, status, last_seq, last_booked_at, opened_at, review_seq FROM account
WHERE account_id = ANY(%s::bigint[])
"""
# Lots have no amount.
LOTS_AND_BALANCES = """
SELECT account_id, unit_id, lot_no, NULL::smallint, NULL::bigint, batch, expires_on, created_seq
FROM lot WHERE account_id = ANY(%(ids)s::bigint[])
UNION ALL
SELECT account_id, unit_id, lot_no, kind, amount, NULL, NULL, NULL
FROM balance WHERE account_id = ANY(%(ids)s::bigint[]) AND amount > 0
"""

OPEN_ACCOUNTS = """
INSERT INTO account (programme_id, holder_kind, status, last_booked_at, opened_at)
SELECT %s, %s, 'open', %s, %s FROM generate_series(1, %s) RETURNING account_id
"""
# One statement for the two that every posting needs: what it saves is a tenth of writing a single event.
WRITE_HEADS_AND_BALANCES = """
WITH head AS (
    UPDATE account SET last_seq = new.last_seq, last_booked_at = new.last_booked_at, status = new.status,
        review_seq = new.review_seq
    FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::text[], %s::bigint[])
        AS new (account_id, last_seq, last_booked_at, status, review_seq)
    WHERE account.account_id = new.account_id
)
INSERT INTO balance (account_id, unit_id, kind, lot_no, amount)
SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::smallint[], %s::int[], %s::bigint[])
ON CONFLICT (account_id, unit_id, kind, lot_no) DO UPDATE SET amount = excluded.amount
"""
WRITE_LOTS = """
INSERT INTO lot (account_id, lot_no, unit_id, batch, expires_on, created_seq)
SELECT * FROM unnest(%s::bigint[], %s::int[], %s::smallint[], %s::text[], %s::date[], %s::bigint[])
"""
WRITE_SNAPSHOTS = """
INSERT INTO balance_snapshot (account_id, account_seq, booked_at, balances)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::jsonb[])
"""
WRITE_HOLDS = """
INSERT INTO hold (account_id, hold_seq, unit_id, amount, open_amount, reference, placed_at)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::bigint[], %s::bigint[], %s::text[],
    %s::timestamptz[])
ON CONFLICT (account_id, hold_seq) DO UPDATE SET open_amount = excluded.open_amount
"""
WRITE_PENDING = """
INSERT INTO pending_award (account_id, award_seq, unit_id, lot_no, amount, matures_on, review_seq)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::int[], %s::bigint[], %s::date[], %s::bigint[])
ON CONFLICT (account_id, award_seq, lot_no) DO UPDATE
    SET amount = excluded.amount, matures_on = excluded.matures_on, review_seq = excluded.review_seq
"""
DROP_PENDING = """
DELETE FROM pending_award p USING unnest(%s::bigint[], %s::bigint[], %s::int[]) AS ended (account_id, award_seq, lot_no)
WHERE p.account_id = ended.account_id AND p.award_seq = ended.award_seq AND p.lot_no = ended.lot_no
"""
WRITE_LEGS = """
INSERT INTO transfer_leg (account_id, transfer_id, direction, counterpart_account_id, decision_seq, parcels, booked_at)
SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::jsonb[],
    %s::timestamptz[])
"""

Cursor = psycopg.Cursor[Any]


def open_books(session: Session, account_ids: Collection[int]) -> dict[int, Book]:
    """Lock accounts, in id order, and return their books with lots and balances; missing ids are absent.

    Waits for other transactions at the most as long as the lock timeout, which then becomes Busy.
    """
    _lock(session, account_ids)
    return read_books(session, account_ids)


def read_books(session: Session, account_ids: Collection[int]) -> dict[int, Book]:
    """Return books as they stand, by rising id; what is worked out on them holds if `lock_books` finds them unmoved."""
    ids = of_numbers(account_ids)
    with raw_connection(session).cursor(binary=True) as cursor:
        books = {
            row[0]: Book(
                account_id=row[0],
                programme_id=row[1],
                holder_kind=row[2],
                status=row[3],
                last_seq=row[4],
                last_booked_at=row[5],
                opened_at=row[6],
                review_seq=row[7],
            )
            for row in sorted(cursor.execute(HEADS, (ids,)).fetchall())
        }
        for row in cursor.execute(LOTS_AND_BALANCES, {"ids": ids}).fetchall():
            account_id, unit_id, lot_no, kind, amount, batch, expires_on, created_seq = row
            if amount is None:
                books[account_id].add_lot(Lot(lot_no, unit_id, batch, expires_on, created_seq))
            else:
                books[account_id].balances[unit_id, kind, lot_no] = amount
    return books


def lock_books(session: Session, books: Mapping[int, Book]) -> set[int]:
    """Lock the accounts of books that were read, in id order, and return those that moved since then.

    Whatever changes an account takes its next number (M16), so a book that has not moved is as it would be read now.
    Waits as `open_books` does.
    """
    return {
        account_id
        for account_id, last_seq in _lock(session, books)
        if last_seq != books[account_id].first_seq - 1
    }


def _lock(session: Session, account_ids: Collection[int]) -> list[tuple[int, int]]:
    """Lock accounts in id order and return each with its last number."""
    return raw_connection(session).execute(LOCK, (of_numbers(account_ids),), binary=True).fetchall()


def open_accounts(
    session: Session, *, programme_id: int, holder_kind: str, moment: Moment, count: int
) -> list[Book]:
    """Make new accounts (`person` or `enterprise`), each with its opening decided; `write_books` writes it."""
    parameters = (programme_id, holder_kind, moment.booked_at, moment.booked_at, count)
    rows = raw_connection(session).execute(OPEN_ACCOUNTS, parameters).fetchall()
    books = []
    for (account_id,) in rows:
        book = Book(
            account_id=account_id,
            programme_id=programme_id,
            holder_kind=holder_kind,
            status="open",
            last_seq=0,
            last_booked_at=moment.booked_at,
            opened_at=moment.booked_at,
        )
        book.decide(
            DecisionKind.OPENING,
            moment,
            occurred_at=moment.booked_at,
            received_at=moment.booked_at,
            local_date=moment.local_date,
        )
        books.append(book)
    return books


def open_account(session: Session, *, programme_id: int, holder_kind: str, moment: Moment) -> Book:
    """Make one new account (`person` or `enterprise`), its opening decided; `write_books` writes it."""
    return open_accounts(session, programme_id=programme_id, holder_kind=holder_kind, moment=moment, count=1)[
        0
    ]


def write_books(session: Session, books: Iterable[Book]) -> None:
    """Write what is new in locked books; afterwards nothing in them is new."""
    changed = [book for book in books if book.decisions]
    if not changed:
        return
    instants = copying.new_instants()
    decisions = chain.from_iterable(book.decisions for book in changed)
    entries = chain.from_iterable(book.entries for book in changed)
    with raw_connection(session).cursor() as cursor:
        copy_rows(session, "decision", copying.decision_bytes(decisions, instants))
        copy_rows(session, "entry", copying.entry_bytes(entries, instants))
        heads = [
            (book.account_id, book.last_seq, book.last_booked_at, book.status, book.review_seq)
            for book in changed
        ]
        balances = [(book.account_id, *key, book.balances[key]) for book in changed for key in book.touched]
        cursor.execute(WRITE_HEADS_AND_BALANCES, [*_columns(heads, 5), *_columns(balances, 5)])
        for statement, rows in (
            (WRITE_LOTS, _lot_rows(changed)),
            (WRITE_SNAPSHOTS, [_snapshot_row(book) for book in changed if _is_snapshot_due(book)]),
            (WRITE_HOLDS, _hold_rows(changed)),
            (WRITE_PENDING, _pending_rows(changed)),
            (DROP_PENDING, _dropped_pending_rows(changed)),
            (WRITE_LEGS, _leg_rows(changed)),
        ):
            if rows:
                cursor.execute(statement, _columns(rows, len(rows[0])))
    for book in changed:
        _send_transfers(session, book)
        book.mark_written()


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[str]:
    """Return rows as one array for each of `width` columns."""
    return [of_column(column) for column in zip(*rows, strict=True)] or ["{}"] * width


def _lot_rows(books: Iterable[Book]) -> list[tuple[Any, ...]]:
    return [
        (book.account_id, lot.lot_no, lot.unit_id, lot.batch, lot.expires_on, lot.created_seq)
        for book in books
        for lot in book.new_lots
    ]


def _is_snapshot_due(book: Book) -> bool:
    return book.last_seq // SNAPSHOT_EVERY > (book.first_seq - 1) // SNAPSHOT_EVERY


def _snapshot_row(book: Book) -> tuple[Any, ...]:
    balances = [[*key, amount] for key, amount in sorted(book.balances.items()) if amount]
    return book.account_id, book.last_seq, book.last_booked_at, json.dumps(balances)


def _hold_rows(books: Iterable[Book]) -> list[tuple[Any, ...]]:
    return [
        (book.account_id, seq, CREDIT, hold.amount, hold.open_amount, hold.reference, hold.placed_at)
        for book in books
        for seq, hold in ((seq, book.holds[seq]) for seq in sorted(book.touched_holds))
    ]


def _pending_rows(books: Iterable[Book]) -> list[tuple[Any, ...]]:
    return [
        (
            book.account_id,
            award.award_seq,
            CREDIT,
            award.lot_no,
            award.amount,
            award.matures_on,
            award.review_seq,
        )
        for book in books
        for award in (book.pending[key] for key in sorted(book.touched_pending) if key in book.pending)
    ]


def _dropped_pending_rows(books: Iterable[Book]) -> list[tuple[Any, ...]]:
    return [
        (book.account_id, *key)
        for book in books
        for key in sorted(book.touched_pending)
        if key not in book.pending
    ]


def _leg_rows(books: Iterable[Book]) -> list[tuple[Any, ...]]:
    return [
        (
            book.account_id,
            leg.transfer_id,
            leg.direction,
            leg.counterpart_account_id,
            leg.decision_seq,
            json.dumps(dump_parcels(leg.parcels)),
            leg.booked_at,
        )
        for book in books
        for leg in book.legs
    ]


def _send_transfers(session: Session, book: Book) -> None:
    """Let the second leg of each transfer leave from the outbox (M17)."""
    for leg in book.legs:
        if leg.direction == "out":
            outbox.enqueue(
                session,
                account_id=book.account_id,
                account_seq=leg.decision_seq,
                message_no=0,
                topic=TRANSFER_TOPIC,
                body={
                    "transfer_id": str(leg.transfer_id),
                    "to_account_id": leg.counterpart_account_id,
                    "parcels": dump_parcels(leg.parcels),
                },
            )
