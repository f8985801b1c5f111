"""Reversals and corrections among the events of a delivery: decided like all others, in booking order (M6, M9)."""

from __future__ import annotations

from typing import Any

from carbonpoints.behaviours.candidates import Candidate
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.originals import Original
from carbonpoints.behaviours.reversing import ClaimChanges
from carbonpoints.behaviours.taking_back import (
    CORRECTED,
    Refusal,
    refuse_correction,
    refuse_reversal,
    return_usage,
    take_back,
)
from carbonpoints.behaviours.work import Receipt, Work
from carbonpoints.core.errors import Busy
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.flows import MERGED, Book
from carbonpoints.ledger.history import REFUSED_REVERSAL
from carbonpoints.ledger.queries import KnownEvent


def answer_known(work: Work, candidate: Candidate, known: KnownEvent) -> Receipt | None:
    """Answer an event that was decided before and changes nothing (M9); None for a correction that is to be decided."""
    reason = None
    if candidate.event.revision < known.revision:
        disposition = Disposition.STALE
    elif candidate.event.revision > known.revision:
        refused: Refusal | None = (Disposition.REVERSED, None)
        if candidate.event_hash not in work.reversed:
            refused = refuse_correction(
                work.originals.get(candidate.event_hash),
                work.books.get(candidate.account_id),
                work.moment,
                work.delivery.programme,
            )
        if refused is None:
            return None
        disposition, reason = refused
    elif candidate.commitment == known.commitment:
        disposition = Disposition.DUPLICATE
    else:
        disposition = Disposition.CONFLICT
    return Receipt(candidate.event_hash, disposition, known.account_id, known.account_seq, 0, 0, reason)


def decide_reversal(work: Work, candidate: Candidate, book: Book) -> Receipt:
    """Take an event back, or say why not; of one that is not decided yet only that it will earn nothing."""
    if book.status == MERGED:
        raise Busy  # Since its account was looked for.
    delivery, moment = work.delivery, work.moment
    original = work.originals.get(candidate.reverses)
    about: dict[str, Any] = {
        "occurred_at": candidate.occurred_at,
        "received_at": delivery.received_at,
        "local_date": candidate.local_date,
        "disposition": Disposition.REVERSED,
        "pin_id": original.decision.pin_id if original is not None else None,
        "source_id": delivery.source.source_id,
        "revision": candidate.event.revision,
        "event_hash": candidate.event_hash,
        "commitment": candidate.commitment,
    }
    trace: dict[str, Any] = {"reason": candidate.event.data["reason"]}
    refused = refuse_reversal(candidate, original, moment, delivery.programme)
    claims = work.claims.setdefault(candidate.account_id, ClaimChanges())
    if refused is not None:
        disposition, reason = refused
        about["disposition"] = disposition
        refusal = {REFUSED_REVERSAL: True, **({"reason": reason} if reason else {})}
        seq = book.decide(DecisionKind.EVENT, moment, trace=refusal, **about)
        claims.refused.append(candidate)
    elif original is None:
        seq = book.decide(DecisionKind.REVERSAL, moment, trace=trace, **about)
    else:
        limit = delivery.programme.clawback_limit_millicredits
        seq = take_back(book, moment, original, clawback_limit_millicredits=limit, trace=trace, **about)
        if original.decision.account_id == candidate.account_id:
            return_usage(work.usage, delivery.identity_key, original)
        claims.released.append(original.candidate)
        if original.review_seq:
            work.ended_reviews.setdefault(candidate.account_id, []).append((original.review_seq, seq))
        if not original.is_forfeited:
            work.taken_back.setdefault(candidate.account_id, []).append(original.decision)
    if original is not None:
        work.payloads.append((candidate.account_id, seq, candidate.content))
    disposition, reason = refused or (Disposition.REVERSED, None)
    work.known[candidate.event_hash] = KnownEvent(
        candidate.account_id, seq, candidate.event.revision, candidate.commitment, disposition
    )
    return Receipt(candidate.event_hash, disposition, candidate.account_id, seq, 0, 0, reason)


def take_back_corrected(
    work: Work, candidate: Candidate, book: Book, original: Original, amount_millicredits: int
) -> None:
    """Take back what the event earned by its last revision; the credits it earns now pay for what was spent of them."""
    decision = original.decision
    if original.has_given:
        limit = work.delivery.programme.clawback_limit_millicredits + amount_millicredits
        trace = {"reason": CORRECTED}
        take_back(book, work.moment, original, clawback_limit_millicredits=limit, trace=trace)
        work.taken_back.setdefault(candidate.account_id, []).append(decision)
    claims = work.claims.setdefault(candidate.account_id, ClaimChanges())
    claims.corrected.append((original.candidate, candidate))
