"""Events that reversals and corrections take back: read with all that it needs, before any account is locked (M6, M9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.behaviours.candidates import Candidate, Delivery
from carbonpoints.behaviours.intake import claim_act, is_newer
from carbonpoints.behaviours.payloads import read_payloads
from carbonpoints.behaviours.staged import StagedEvent, microseconds_of
from carbonpoints.core.arrays import of_bytes, of_numbers
from carbonpoints.core.db import raw_connection
from carbonpoints.core.errors import Busy
from carbonpoints.ledger.adjusting import MovedAward
from carbonpoints.ledger.decisions import find_decisions, find_restatements
from carbonpoints.ledger.flows import FROZEN, MERGED, OPEN, Book
from carbonpoints.ledger.loading import AwardHistory, load_pending, read_histories
from carbonpoints.ledger.lots import Award
from carbonpoints.ledger.queries import (
    KnownEvent,
    StoredDecision,
    award_expiry,
    has_incoming_transfer,
    read_head,
)
from carbonpoints.ledger.restating import Restatement
from carbonpoints.rules.catalogue import PinnedRule, read_pins

ADJUSTMENTS = """
SELECT account_id, event_hash, adjustment_seq, amount_millicredits, reduction_mg FROM appeal
JOIN unnest(%s::bigint[], %s::bytea[]) AS asked (account_id, event_hash) USING (account_id, event_hash)
WHERE adjustment_seq IS NOT NULL
"""
REVIEWS = """
SELECT account_id, event_hash, CASE WHEN ended_at IS NULL THEN review_seq ELSE 0 END, outcome FROM review
JOIN unnest(%s::bigint[], %s::bytea[]) AS asked (account_id, event_hash) USING (account_id, event_hash)
WHERE ended_at IS NULL OR outcome = 'forfeited'
"""
EventKey = tuple[int, bytes]
"""The account in which an event was decided, and its identity."""


@dataclass(frozen=True, slots=True)
class Original:
    """An event that was decided, by its highest revision."""

    decision: StoredDecision
    candidate: Candidate
    """The event as it would come today, for what it used and claimed; of erased inputs no claim and no values."""
    history: AwardHistory
    adjustment_seq: int
    """The adjustment that an appeal about it led to, or 0."""
    restatements: Sequence[Restatement] = ()
    """What was posted for it since, in order."""
    moved: tuple[MovedAward, ...] = ()
    """What its awards earned, where that is in another account, or was in one and came back pending."""
    review_seq: int = 0
    """The open review of the event, or 0."""
    is_forfeited: bool = False
    """A review ended with its forfeiture: it earns nothing more, whatever comes."""

    @property
    def has_given(self) -> bool:
        """Whether it gave anything, as it stands."""
        standing = self.restatements[-1] if self.restatements else self.decision
        return bool(standing.amount_millicredits or standing.reduction_mg)

    def standing_seqs(self) -> list[int]:
        """Return the numbers of what can still be taken back: the award's, an adjustment's, those of restatements."""
        gone = self.history.causes.reversed.values()
        seqs = _award_seqs(self.decision, self.adjustment_seq, self.restatements)
        return [seq for seq in seqs if seq not in gone]

    def award(self, book: Book, award_seq: int) -> Award:
        """Return where the credits of one of its awards are; its reduction, as it stands, is the decision's."""
        return _standing(self.history.award(book, award_seq), self.decision, self.restatements)


def _award_seqs(
    decision: StoredDecision, adjustment_seq: int, restatements: Sequence[Restatement]
) -> list[int]:
    paying = [each.account_seq for each in restatements if each.paid_millicredits]
    return [seq for seq in (decision.account_seq, adjustment_seq, *paying) if seq]


def _standing(award: Award, decision: StoredDecision, restatements: Sequence[Restatement]) -> Award:
    if not restatements:
        return award
    if award.award_seq == decision.account_seq:
        return replace(award, reduction_mg=restatements[-1].reduction_mg)
    is_restatement = any(award.award_seq == each.account_seq for each in restatements)
    return replace(award, reduction_mg=0) if is_restatement else award


def read_originals(
    session: Session,
    delivery: Delivery,
    books: Mapping[int, Book],
    candidates: Iterable[Candidate],
    known: Mapping[bytes, KnownEvent],
) -> dict[bytes, Original]:
    """Return what the reversals and corrections among the candidates take back, by the event's identity.

    Raises Busy where an account is being merged: what its event earned is nowhere for the moment.
    """
    wanted: dict[EventKey, int] = {}
    for candidate in candidates:
        if candidate.reverses and candidate.home_id:
            wanted[candidate.home_id, candidate.reverses] = candidate.account_id
        elif candidate.event_hash in known and not candidate.claimed_by and is_newer(candidate, known):
            wanted[candidate.account_id, candidate.event_hash] = candidate.account_id
    return originals_of(session, delivery, books, wanted)


def originals_of(
    session: Session, delivery: Delivery, books: Mapping[int, Book], wanted: Mapping[EventKey, int]
) -> dict[bytes, Original]:
    """Return decided events by their identity; `wanted` names the account that has today what each earned.

    Brings the pending awards into these accounts' books. Raises Busy like `read_originals`.
    """
    decisions = find_decisions(session, list(wanted)) if wanted else {}
    if not decisions:
        return {}
    reviews = _reviews(session, list(decisions))
    adjustments = {key: seq for key, (seq, *_) in adjustments_of(session, list(decisions)).items()}
    restated = find_restatements(
        session, [(each.account_id, each.account_seq) for each in decisions.values()]
    )
    awards: dict[int, list[int]] = {}
    for key, decision in decisions.items():
        restatements = restated.get((key[0], decision.account_seq), ())
        seqs = _award_seqs(decision, adjustments.get(key, 0), restatements)
        awards.setdefault(key[0], []).extend(seqs)
    load_pending(session, [books[each] for each in {wanted[key] for key in decisions} if each in books])
    histories = read_histories(session, awards)
    inputs = read_payloads(session, [(each.account_id, each.account_seq) for each in decisions.values()])
    judged_by = {
        key: latest[-1].pin_id
        if (latest := restated.get((key[0], decision.account_seq)))
        else decision.pin_id
        for key, decision in decisions.items()
    }
    pins = read_pins(session, {pin_id for pin_id in judged_by.values() if pin_id})
    originals = {}
    for key, decision in decisions.items():
        restatements = restated.get((key[0], decision.account_seq), ())
        pinned = pins.get(judged_by[key] or 0)
        event = as_candidate(delivery, decision, pinned, inputs.get((key[0], decision.account_seq)))
        history, adjustment_seq = histories[key[0]], adjustments.get(key, 0)
        review_seq, is_forfeited = reviews.get(key, (0, False))
        is_forfeited = is_forfeited or decision.account_seq in history.causes.reversed.values()
        original = Original(
            decision,
            event,
            history,
            adjustment_seq,
            restatements,
            review_seq=review_seq,
            is_forfeited=is_forfeited,
        )
        if wanted[key] != key[0]:
            _refuse_moving(session, key[0], wanted[key])
        if wanted[key] != key[0] or _came_back(books[key[0]], history, decision.account_seq):
            moved = tuple(_moved(session, original, seq) for seq in original.standing_seqs())
            original = replace(original, moved=moved)
        originals[key[1]] = original
    return originals


def credited_before(originals: Mapping[bytes, Original]) -> set[bytes]:
    """Return the events of which the revision before has given something."""
    return {
        event_hash
        for event_hash, each in originals.items()
        if each.decision.amount_millicredits or each.decision.reduction_mg
    }


def adjustments_of(session: Session, keys: Sequence[EventKey]) -> dict[EventKey, tuple[int, int, int]]:
    """Return the adjustments that appeals about events led to: number, millicredits, mg."""
    if not keys:
        return {}
    account_ids, hashes = zip(*keys, strict=True)
    rows = raw_connection(session).execute(ADJUSTMENTS, (of_numbers(account_ids), of_bytes(hashes)))
    return {(account_id, event_hash): tuple(granted) for account_id, event_hash, *granted in rows}


def _reviews(session: Session, keys: Sequence[EventKey]) -> dict[EventKey, tuple[int, bool]]:
    """Return the open review of each event, or 0, and whether an earlier one ended with its forfeiture."""
    account_ids, hashes = zip(*keys, strict=True)
    rows = raw_connection(session).execute(REVIEWS, (of_numbers(account_ids), of_bytes(hashes)))
    found: dict[EventKey, tuple[int, bool]] = {}
    for account_id, event_hash, review_seq, outcome in rows:
        known_seq, is_forfeited = found.get((account_id, event_hash), (0, False))
        found[account_id, event_hash] = known_seq or review_seq, is_forfeited or outcome is not None
    return found


def as_candidate(
    delivery: Delivery,
    decision: StoredDecision,
    pinned: PinnedRule | None,
    inputs: Mapping[str, Any] | None,
) -> Candidate:
    """Return a decided event as a candidate, by the versions that it was judged by."""
    happened_us = microseconds_of(decision.occurred_at)
    data: dict[str, str | bool] = dict(inputs["data"]) if inputs is not None else {}
    candidate = Candidate(
        StagedEvent("", "", happened_us, decision.revision or 0, "", data, ""),
        decision.event_hash or b"",
        decision.occurred_at,
        b"",
        decision.commitment or b"",
        pinned=pinned,
        compiled=pinned.compiled if pinned is not None else None,
        local_date=decision.local_date,
        account_id=decision.account_id,
    )
    if candidate.compiled is not None and inputs is not None:
        candidate.assessment = candidate.compiled.assess(candidate.compiled.values(data))
        if candidate.assessment.reason is None:
            claim_act(delivery, candidate.compiled, candidate, delivery.received_at)
    return candidate


def _refuse_moving(session: Session, home_id: int, account_id: int) -> None:
    home = read_head(session, home_id)
    if home is None or home.status != MERGED or has_incoming_transfer(session, account_id):
        raise Busy


def _came_back(book: Book, history: AwardHistory, award_seq: int) -> bool:
    """Whether an award was pending when its account was merged, and is no award's any more since the merge was undone."""
    if book.status not in {OPEN, FROZEN} or book.pending_of(award_seq):
        return False
    award = history.award_of(award_seq)
    standing = sum(part.available + part.gone + part.owed for part in award.parts)
    return history.granted_millicredits(award_seq) > standing


def _moved(session: Session, original: Original, award_seq: int) -> MovedAward:
    """Return what an award of a merged account had left when it went into the other one."""
    for each in original.restatements:
        if each.account_seq == award_seq and each.expires_on is not None:
            return MovedAward(each.paid_millicredits, 0, each.expires_on)
    award = _standing(original.history.award_of(award_seq), original.decision, original.restatements)
    gone = sum(part.gone for part in award.parts)
    granted = original.history.granted_millicredits(award_seq)
    expires_on = award_expiry(session, original.decision.account_id, award_seq)
    return MovedAward(granted - gone, award.reduction_mg, expires_on)
