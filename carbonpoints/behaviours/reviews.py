"""Reviews: the bank's risk system or a risk officer marks an event or an account, and two persons decide (M10, M23).

The port is inbound: deciding an event asks no risk system. Whoever ends a review is another person than whoever
proposed that end, and than whoever opened the review; the database holds it too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from carbonpoints.accounts.access import readable_head, reading_account, require_role, stated_purpose
from carbonpoints.accounts.models import Review, ReviewStep
from carbonpoints.accounts.work import Answer, Work, answer_once, open_work
from carbonpoints.approvals.errors import FourEyes
from carbonpoints.behaviours.errors import (
    EventNotFound,
    NothingToReview,
    ProposalChanged,
    ReviewEnded,
    ReviewNotFound,
    ReviewOpen,
)
from carbonpoints.behaviours.identities import find_decided
from carbonpoints.behaviours.intake import event_hash as hash_event
from carbonpoints.behaviours.review_ends import end, originals_in
from carbonpoints.behaviours.staged import EPOCH, instant_of, microseconds_of
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import settings, transaction
from carbonpoints.core.errors import FieldError, InvalidRequest
from carbonpoints.core.ids import NumberedId, parse_account_id, parse_numbered_id
from carbonpoints.core.pagination import Page, decode_cursor, make_page
from carbonpoints.core.programmes import programme_of
from carbonpoints.core.roles import Role
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.posting import write_books
from carbonpoints.ledger.queries import read_decision
from carbonpoints.ledger.reviewing import review_account, review_event

REVIEW_PREFIX = "rev"
LAST_US = microseconds_of(EPOCH.replace(year=9999))


class Reason(StrEnum):
    """Why something is checked."""

    SPLIT_PAYMENTS = "split_payments"
    CIRCULAR_PAYMENTS = "circular_payments"
    SELF_PAYMENT = "self_payment"
    REFUND_LOOP = "refund_loop"
    IMPOSSIBLE_TRIP = "impossible_trip"
    ACCOUNT_TAKEOVER = "account_takeover"
    OTHER = "other"


Detailed = tuple[Review, Sequence[ReviewStep]]
Dump = Callable[[Review, Sequence[ReviewStep]], dict[str, Any]]


def review_id_of(review: Review) -> str:
    """Return the public id of a review."""
    return str(NumberedId(REVIEW_PREFIX, review.account_id, review.review_seq))


def open_review(
    *,
    caller: Caller,
    account_id: str | None,
    event_id: str | None,
    source: str | None,
    id_: str | None,
    reason_code: Reason,
    words: str,
    key: str,
    answer: Dump,
) -> Answer:
    """Mark an account, or an event named by our id or by its source's, once for this key (M18).

    Risk and the bank's systems only. Raises NotFound and EventNotFound, NothingToReview, ReviewOpen, AccountClosed,
    AccountMerged.
    """
    require_role(caller, Role.RISK, Role.CORE_BANKING)
    request = {
        "operation": "open_review",
        "about": [account_id, event_id, source, id_],
        "reason_code": reason_code.value,
        "text": words,
    }
    with transaction() as session:
        if account_id is not None:
            number, event_hash = parse_account_id(account_id), None
        else:
            number, event_hash = _event(session, caller, event_id, source, id_)
        readable_head(session, caller, number)

        def mark() -> dict[str, Any]:
            work = open_work(session, caller, number)
            work.refuse_unless("open", "frozen")
            review = _mark(work, caller, event_hash, reason_code)
            return answer(review, [_step(work, review, "opened", caller, text=words)])

        return answer_once(session, caller=caller, account_id=number, key=key, request=request, work=mark)


def _event(
    session: Session, caller: Caller, event_id: str | None, source: str | None, id_: str | None
) -> tuple[int, bytes]:
    """Return where an event was decided, and its identity."""
    if event_id is not None:
        number = parse_numbered_id(event_id, "evt")
        account_id, account_seq = number.account_id, number.account_seq
    else:
        key = hash_event(settings().identity_key, caller.bank_id, source or "", id_ or "")
        known = find_decided(session, [key]).get(key)
        if known is None:
            raise EventNotFound
        account_id, account_seq = known.account_id, known.account_seq
    decision = read_decision(session, account_id, account_seq)
    if decision is None or decision.event_hash is None or decision.kind != DecisionKind.EVENT:
        raise EventNotFound
    return account_id, decision.event_hash


def _mark(work: Work, caller: Caller, event_hash: bytes | None, reason_code: Reason) -> Review:
    """Open the review in a locked account and write it."""
    session, account_id, event_seq = work.session, work.book.account_id, None
    same = Review.event_hash.is_(None) if event_hash is None else Review.event_hash == event_hash
    is_open = select(Review).where(Review.account_id == account_id, same, Review.ended_at.is_(None))
    if session.scalar(is_open) is not None:
        raise ReviewOpen
    if event_hash is None:
        seq = review_account(work.book, work.moment)
    else:
        (original,) = originals_in(work, [event_hash])
        event_seq = original.decision.account_seq
        if not original.has_given or original.is_forfeited or original.moved:
            raise NothingToReview
        awards = [original.award(work.book, each) for each in original.standing_seqs()]
        seq = review_event(work.book, work.moment, event_seq=event_seq, awards=awards)
    review = Review(
        account_id=account_id,
        review_seq=seq,
        programme_id=work.book.programme_id,
        event_hash=event_hash,
        event_seq=event_seq,
        reason_code=reason_code.value,
        opened_by=caller.person,
        opened_at=work.moment.booked_at,
        step_count=0,
        proposal_no=0,
    )
    session.add(review)
    write_books(session, [work.book])
    return review


def propose_end(*, caller: Caller, review_id: str, outcome: str, words: str) -> Detailed:
    """Propose how a review ends, in the place of what was proposed before, by whomever. Risk only.

    Raises ReviewNotFound, ReviewEnded.
    """
    require_role(caller, Role.RISK)
    number = parse_numbered_id(review_id, REVIEW_PREFIX)
    with transaction() as session:
        work, review = _open(session, caller, number)
        review.proposal_no += 1
        review.proposed_outcome, review.maker_person = outcome, caller.person
        _step(work, review, "proposed", caller, outcome=outcome, text=words)
        return review, _steps(session, review)


def return_proposal(*, caller: Caller, review_id: str, proposal_no: int, words: str) -> Detailed:
    """Send a proposal back, as another person than the one who made it: the review goes on. Risk only.

    Raises ReviewNotFound, ReviewEnded, ProposalChanged where another proposal stands now, FourEyes.
    """
    require_role(caller, Role.RISK)
    number = parse_numbered_id(review_id, REVIEW_PREFIX)
    with transaction() as session:
        work, review = _open(session, caller, number)
        _refuse_unseen(review, proposal_no)
        if caller.person == review.maker_person:
            raise FourEyes
        review.proposed_outcome = review.maker_person = None
        _step(work, review, "returned", caller, text=words)
        return review, _steps(session, review)


def confirm_end(*, caller: Caller, review_id: str, proposal_no: int, key: str, answer: Dump) -> Answer:
    """End a review as it was proposed, once for this key (M18), as a person who neither proposed nor opened it.

    Risk only. Raises ReviewNotFound, ReviewEnded, ProposalChanged where another proposal stands now, FourEyes.
    """
    require_role(caller, Role.RISK)
    number = parse_numbered_id(review_id, REVIEW_PREFIX)
    request = {"operation": "confirm_review", "review": review_id, "proposal_no": proposal_no}
    with transaction() as session:
        readable_head(session, caller, number.account_id)

        def confirm() -> dict[str, Any]:
            work, review = _open(session, caller, number)
            outcome = _refuse_unseen(review, proposal_no)
            if caller.person in {review.maker_person, review.opened_by}:
                raise FourEyes
            review.ended_seq = end(work, review, outcome)
            review.outcome, review.checker_person = outcome, caller.person
            review.ended_at = work.moment.booked_at
            _step(work, review, "confirmed", caller, outcome=outcome)
            return answer(review, _steps(session, review))

        return answer_once(
            session, caller=caller, account_id=number.account_id, key=key, request=request, work=confirm
        )


def _open(session: Session, caller: Caller, number: NumberedId) -> tuple[Work, Review]:
    """Lock the account of a review that has not ended."""
    work = open_work(session, caller, number.account_id)
    review = _get(session, number)
    if review.ended_at is not None:
        raise ReviewEnded
    return work, review


def _get(session: Session, number: NumberedId) -> Review:
    review = session.get(Review, (number.account_id, number.account_seq), populate_existing=True)
    if review is None:
        raise ReviewNotFound
    return review


def _refuse_unseen(review: Review, proposal_no: int) -> str:
    if review.proposed_outcome is None or review.proposal_no != proposal_no:
        raise ProposalChanged
    return review.proposed_outcome


def _step(
    work: Work,
    review: Review,
    step: str,
    caller: Caller,
    *,
    outcome: str | None = None,
    text: str | None = None,
) -> ReviewStep:
    review.step_count += 1
    taken = ReviewStep(
        account_id=review.account_id,
        review_seq=review.review_seq,
        step_no=review.step_count,
        step=step,
        outcome=outcome,
        person=caller.person,
        text=text,
        taken_at=work.moment.booked_at,
    )
    work.session.add(taken)
    detail = {"review_seq": review.review_seq, "reason_code": review.reason_code, "outcome": outcome}
    audit.record(work.session, account_id=review.account_id, action=f"review.{step}", detail=detail)
    return taken


def _steps(session: Session, review: Review) -> Sequence[ReviewStep]:
    session.flush()
    query = select(ReviewStep).where(
        ReviewStep.account_id == review.account_id, ReviewStep.review_seq == review.review_seq
    )
    return session.scalars(query.order_by(ReviewStep.step_no)).all()


def read_review(*, caller: Caller, review_id: str, purpose: str | None) -> Detailed:
    """Return one review with its steps; ReviewNotFound where there is none for this caller."""
    number = parse_numbered_id(review_id, REVIEW_PREFIX)
    with reading_account(
        caller=caller, account_id=number.account_id, action="review.read", purpose=purpose
    ) as (session, _head):
        review = _get(session, number)
        return review, _steps(session, review)


def list_reviews(
    *, caller: Caller, has_ended: bool | None, limit: int, cursor: str | None, purpose: str | None
) -> Page[Review]:
    """Return a page of the programme's reviews, the oldest first."""
    query = select(Review).order_by(Review.opened_at, Review.account_id, Review.review_seq)
    if has_ended is not None:
        query = query.where(Review.ended_at.is_not(None) if has_ended else Review.ended_at.is_(None))
    if cursor:
        opened_us, account_id, review_seq = decode_cursor(cursor, int, int, int)
        if not 0 <= opened_us <= LAST_US:
            raise InvalidRequest(
                fields=[FieldError("cursor", "invalid_cursor", "This is no cursor of ours.")]
            )
        after = (instant_of(opened_us), account_id, review_seq)
        query = query.where(tuple_(Review.opened_at, Review.account_id, Review.review_seq) > after)
    stated = stated_purpose(caller, purpose)
    with transaction() as session:
        programme_id = programme_of(session, caller)
        found = session.scalars(query.where(Review.programme_id == programme_id).limit(limit + 1)).all()
        audit.record(session, action="reviews.list", purpose=stated, detail={"programme_id": programme_id})
    return make_page(
        found, limit, lambda row: (microseconds_of(row.opened_at), row.account_id, row.review_seq)
    )
