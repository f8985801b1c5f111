"""What a flow needs beyond an open book: open holds, pending awards, a past award, a past capture.

All of it is read under the account's lock, in the transaction that posts. Which part of an award is still in its
lot is worked out from the recorded entries; nothing else is kept for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.book import AVAILABLE, Book, Capture, Hold, PendingAward
from carbonpoints.ledger.chart import DecisionKind, Flow
from carbonpoints.ledger.errors import AlreadyReversed, AwardNotFound, CaptureNotFound, LedgerFault
from carbonpoints.ledger.lots import Award, Causes, trace_award

OPEN_HOLDS = """
SELECT account_id, hold_seq, reference, amount, open_amount, placed_at FROM hold
WHERE account_id = ANY(%s) AND open_amount > 0
"""
# A decision's entries stand between it and the next decision.
HOLD_PARTS = """
SELECT h.account_id, h.hold_seq, e.lot_no, e.amount FROM hold h
LEFT JOIN LATERAL (
    SELECT account_seq FROM decision WHERE account_id = h.account_id AND account_seq > h.hold_seq
    ORDER BY account_seq LIMIT 1
) AS next ON true
JOIN entry e ON e.account_id = h.account_id AND e.account_seq > h.hold_seq
    AND e.account_seq < coalesce(next.account_seq, 9223372036854775807)
WHERE h.account_id = ANY(%s) AND h.open_amount > 0 ORDER BY h.account_id, e.account_seq
"""
PENDING_AWARDS = """
SELECT account_id, award_seq, lot_no, amount, matures_on FROM pending_award WHERE account_id = ANY(%s)
"""
# What touched the lots that the award fed or that a grace joins to them, and the award's reduction. Of what a grace
# carries, the entry into its lot follows the one out of the other. A lot has no entry before its first.
AWARD_ENTRIES = """
WITH RECURSIVE carried AS (
    SELECT o.lot_no AS from_lot, i.lot_no AS to_lot FROM entry o
    JOIN entry i ON i.account_id = o.account_id AND i.account_seq = o.account_seq + 1
    WHERE o.account_id = %(account_id)s AND o.flow = %(grace)s AND o.from_kind = %(available)s
),
fed AS (
    SELECT lot_no FROM entry WHERE account_id = %(account_id)s AND flow = ANY(%(earned)s)
        AND account_seq > %(award_seq)s AND account_seq < coalesce(
            (
                SELECT account_seq FROM decision
                WHERE account_id = %(account_id)s AND account_seq > %(award_seq)s ORDER BY account_seq LIMIT 1
            ),
            9223372036854775807
        )
    UNION
    SELECT CASE fed.lot_no WHEN from_lot THEN to_lot ELSE from_lot END
    FROM fed JOIN carried ON fed.lot_no IN (from_lot, to_lot)
)
SELECT * FROM entry WHERE account_id = %(account_id)s
    AND account_seq >= least(%(award_seq)s, (
        SELECT min(created_seq) FROM lot WHERE account_id = %(account_id)s AND lot_no IN (SELECT lot_no FROM fed)
    ))
    AND (lot_no IN (SELECT lot_no FROM fed) OR cause_seq = %(award_seq)s)
ORDER BY account_seq
"""
CAUSES = """
SELECT account_seq, kind, trace FROM decision WHERE account_id = %s AND kind = ANY(%s) ORDER BY account_seq
"""
CAPTURE_ENTRIES = """
SELECT lot_no, sum(CASE flow WHEN %(capture)s THEN amount ELSE -amount END)::bigint FROM entry
WHERE account_id = %(account_id)s AND cause_seq = ANY(%(causes)s) AND account_seq > %(capture_seq)s
    AND flow IN (%(capture)s, %(refund)s)
GROUP BY lot_no HAVING sum(CASE flow WHEN %(capture)s THEN amount ELSE -amount END) > 0
ORDER BY min(account_seq)
"""


def load_open_items(session: Session, books: Iterable[Book]) -> None:
    """Bring the open holds and pending awards into opened books.

    Needed before capture, release, mature, reverse, close and transfers. Raises LedgerFault when something is
    new in a book: the database does not know it.
    """
    by_id = {book.account_id: book for book in books}
    for book in by_id.values():
        _refuse_new(book)
    ids = list(by_id)
    connection = raw_connection(session)
    parts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for account_id, hold_seq, lot_no, amount in connection.execute(HOLD_PARTS, (ids,)):
        parts.setdefault((account_id, hold_seq), []).append((lot_no, amount))
    for account_id, hold_seq, reference, amount, open_amount, placed_at in connection.execute(
        OPEN_HOLDS, (ids,)
    ):
        taken = tuple(parts[account_id, hold_seq])
        by_id[account_id].holds[hold_seq] = Hold(hold_seq, reference, amount, open_amount, taken, placed_at)
    for account_id, award_seq, lot_no, amount, matures_on in connection.execute(PENDING_AWARDS, (ids,)):
        by_id[account_id].pending[award_seq] = PendingAward(award_seq, lot_no, amount, matures_on)


def read_award(session: Session, book: Book, award_seq: int) -> Award:
    """Return where an award's credits are now, for `flows.reverse`.

    Raises AwardNotFound where the decision earned nothing in this account, AlreadyReversed, and LedgerFault
    when the book has something new that the database does not know.
    """
    _refuse_new(book)
    connection = raw_connection(session)
    kinds = [int(DecisionKind.MATURITY), int(DecisionKind.REVERSAL)]
    matured: dict[int, list[int]] = {}
    was_reversed: dict[int, int] = {}
    for seq, kind, trace in connection.execute(CAUSES, (book.account_id, kinds)):
        if kind == DecisionKind.MATURITY:
            matured[seq] = trace["award_seqs"]
        else:
            was_reversed[seq] = trace["award_seq"]
    if award_seq in was_reversed.values():
        raise AlreadyReversed
    parameters: dict[str, Any] = {
        "account_id": book.account_id,
        "award_seq": award_seq,
        "earned": [int(Flow.EARN), int(Flow.EARN_PENDING)],
        "grace": int(Flow.GRACE),
        "available": AVAILABLE,
    }
    entries = connection.execute(AWARD_ENTRIES, parameters).fetchall()
    award = trace_award(award_seq, entries, Causes(matured, was_reversed))
    if not award.parts and not award.reduction_mg and award_seq not in book.pending:
        raise AwardNotFound
    return award


def read_capture(session: Session, book: Book, capture_seq: int) -> Capture:
    """Return what of a capture was not refunded yet, for `flows.refund`.

    Raises CaptureNotFound where the decision captured nothing in this account, and LedgerFault when the book has
    something new that the database does not know.
    """
    _refuse_new(book)
    connection = raw_connection(session)
    kinds = [int(DecisionKind.CAPTURE), int(DecisionKind.REFUND)]
    rows = connection.execute(CAUSES, (book.account_id, kinds)).fetchall()
    if not any(seq == capture_seq and kind == DecisionKind.CAPTURE for seq, kind, _ in rows):
        raise CaptureNotFound
    refunds = [seq for seq, _, trace in rows if trace.get("capture_seq") == capture_seq]
    parameters = {
        "account_id": book.account_id,
        "causes": [capture_seq, *refunds],
        "capture_seq": capture_seq,
        "capture": int(Flow.CAPTURE),
        "refund": int(Flow.REFUND),
    }
    return Capture(capture_seq, tuple(connection.execute(CAPTURE_ENTRIES, parameters)))


def _refuse_new(book: Book) -> None:
    if book.decisions:
        raise LedgerFault("what was posted is read before anything new is posted")
