"""What a flow needs beyond an open book: open holds, pending awards, a past award, a past capture.

All of it is read under the account's lock, in the transaction that posts, or before the lock where `lock_books` tells
whether it still holds. Which part of an award is still in its lot is worked out from the recorded entries; nothing
else is kept for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.core.arrays import of_numbers
from carbonpoints.core.db import raw_connection
from carbonpoints.ledger.book import Book, Capture, Hold, PendingAward
from carbonpoints.ledger.chart import DecisionKind, Flow, Kind
from carbonpoints.ledger.errors import AlreadyReversed, AwardNotFound, CaptureNotFound, LedgerFault
from carbonpoints.ledger.lots import Award, Causes, trace_award

GRANTS = [int(Flow.EARN), int(Flow.EARN_PENDING), int(Flow.ADJUST)]
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
SELECT account_id, award_seq, lot_no, amount, matures_on, review_seq FROM pending_award WHERE account_id = ANY(%s)
"""
# What touched the lots that the awards fed or that a grace joins to them, and their reduction. Of what a grace
# carries, the entry into its lot follows the one out of the other. A lot has no entry before its first.
AWARD_ENTRIES = """
WITH RECURSIVE asked AS (
    SELECT * FROM unnest(%(account_ids)s::bigint[], %(award_seqs)s::bigint[]) AS a (account_id, award_seq)
),
carried AS (
    SELECT o.account_id, o.lot_no AS from_lot, i.lot_no AS to_lot FROM entry o
    JOIN entry i ON i.account_id = o.account_id AND i.account_seq = o.account_seq + 1
    WHERE o.account_id = ANY(%(account_ids)s::bigint[]) AND o.flow = %(grace)s AND o.to_kind = %(carried)s
),
fed AS (
    SELECT a.account_id, e.lot_no FROM asked a CROSS JOIN LATERAL (
        SELECT lot_no FROM entry WHERE account_id = a.account_id AND flow = ANY(%(earned)s) AND lot_no > 0
            AND account_seq > a.award_seq AND account_seq < coalesce(
                (
                    SELECT account_seq FROM decision
                    WHERE account_id = a.account_id AND account_seq > a.award_seq ORDER BY account_seq LIMIT 1
                ),
                9223372036854775807
            )
    ) AS e
    UNION
    SELECT account_id, CASE fed.lot_no WHEN from_lot THEN to_lot ELSE from_lot END
    FROM fed JOIN carried USING (account_id) WHERE fed.lot_no IN (from_lot, to_lot)
),
first AS (
    SELECT account_id, least(min(a.award_seq), (
        SELECT min(l.created_seq) FROM lot l JOIN fed f USING (account_id, lot_no) WHERE l.account_id = a.account_id
    )) AS account_seq
    FROM asked a GROUP BY account_id
)
SELECT e.* FROM first f JOIN entry e ON e.account_id = f.account_id AND e.account_seq >= f.account_seq
WHERE (e.account_id, e.lot_no) IN (SELECT account_id, lot_no FROM fed)
    OR (e.account_id, e.cause_seq) IN (SELECT account_id, award_seq FROM asked)
ORDER BY e.account_id, e.account_seq
"""
CAUSES = """
SELECT account_id, account_seq, kind, trace FROM decision WHERE account_id = ANY(%s::bigint[]) AND kind = ANY(%s)
ORDER BY account_id, account_seq
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
    load_pending(session, by_id.values())


def load_pending(session: Session, books: Iterable[Book]) -> None:
    """Bring the pending awards alone into opened books: all that a reversal needs of `load_open_items`."""
    by_id = {book.account_id: book for book in books}
    found = raw_connection(session).execute(PENDING_AWARDS, (list(by_id),))
    for account_id, *values in found:
        award = PendingAward(*values)
        by_id[account_id].pending[award.key] = award


@dataclass(frozen=True, slots=True)
class AwardHistory:
    """What the journal said of the lots that some awards of one account fed, when it was read."""

    entries: list[tuple[Any, ...]]
    causes: Causes

    def granted_millicredits(self, award_seq: int) -> int:
        """Return what an award came to."""
        grants = [entry for entry in self.entries if entry[5] == award_seq and entry[9] in GRANTS]
        return sum(entry[4] for entry in grants if entry[7])

    def award_of(self, award_seq: int) -> Award:
        """Return where an award's credits were then."""
        return trace_award(award_seq, self.entries, self.causes)

    def award(self, book: Book, award_seq: int) -> Award:
        """Return where an award's credits are, with what is new in the book; an award of nothing has no parts.

        Raises AlreadyReversed.
        """
        reversals = {
            decision[1]: decision[16]["award_seq"]
            for decision in book.decisions
            if decision[11] == DecisionKind.REVERSAL and "award_seq" in decision[16]
        }
        was_reversed = {**self.causes.reversed, **reversals}
        if award_seq in was_reversed.values():
            raise AlreadyReversed
        lots = {entry[7] for entry in self.entries}
        newer = [entry for entry in book.entries if entry[7] in lots]
        return trace_award(award_seq, [*self.entries, *newer], Causes(self.causes.awards, was_reversed))


def read_histories(session: Session, awards: Mapping[int, Collection[int]]) -> dict[int, AwardHistory]:
    """Return, of accounts and the numbers of awards in each, what says where the awards' credits are.

    Of accounts that are not locked the causes are read last: whatever an entry needs is among them.
    """
    connection = raw_connection(session)
    pairs = [(account_id, seq) for account_id, seqs in awards.items() for seq in seqs]
    parameters = {
        "account_ids": of_numbers(account_id for account_id, _ in pairs),
        "award_seqs": of_numbers(seq for _, seq in pairs),
        "earned": GRANTS,
        "grace": int(Flow.GRACE),
        "carried": int(Kind.CARRIED),
    }
    histories = {account_id: AwardHistory([], Causes({}, {})) for account_id in awards}
    for entry in connection.execute(AWARD_ENTRIES, parameters):
        histories[entry[0]].entries.append(entry)
    kinds = [int(DecisionKind.MATURITY), int(DecisionKind.REVERSAL), int(DecisionKind.REVIEW)]
    for account_id, seq, kind, trace in connection.execute(CAUSES, (of_numbers(awards), kinds)):
        causes = histories[account_id].causes
        if kind != DecisionKind.REVERSAL:
            causes.awards[seq] = trace.get("award_seqs", ())
        elif "award_seq" in trace:
            causes.reversed[seq] = trace["award_seq"]
    return histories


def read_award(session: Session, book: Book, award_seq: int) -> Award:
    """Return where an award's credits are now, for `flows.reverse`.

    Raises AwardNotFound where the decision earned nothing in this account, AlreadyReversed, and LedgerFault
    when the book has something new that the database does not know.
    """
    _refuse_new(book)
    history = read_histories(session, {book.account_id: [award_seq]})[book.account_id]
    award = history.award(book, award_seq)
    if not award.parts and not award.reduction_mg and not book.pending_of(award_seq):
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
    rows = connection.execute(CAUSES, (of_numbers([book.account_id]), kinds)).fetchall()
    if not any(seq == capture_seq and kind == DecisionKind.CAPTURE for _, seq, kind, _ in rows):
        raise CaptureNotFound
    refunds = [seq for _, seq, _, trace in rows if trace.get("capture_seq") == capture_seq]
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
