"""The second step of an event: decided in booking order (M16), and booked under its account's lock.

One function for one event and for a whole chunk: what is needed is read set-based and every event is decided in
order; then the accounts are locked in id order, those that moved meanwhile are read and decided again, what is given
out is drawn on the budgets, and everything new is written at once. Only then is it committed. Any two large batches
share accounts: what is worked out before the lock does not keep the other waiting. Where a budget has less than is
wanted, all is decided once more with what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from sqlalchemy.orm import Session

from carbonpoints.accounts.access import consents_in_force
from carbonpoints.behaviours import usage_store
from carbonpoints.behaviours.acts import release_acts
from carbonpoints.behaviours.candidates import Candidate, Delivery
from carbonpoints.behaviours.dispositions import Disposition, disposition_of
from carbonpoints.behaviours.exchange.marking import find_marks
from carbonpoints.behaviours.identities import remember_undecided
from carbonpoints.behaviours.intake import is_covered
from carbonpoints.behaviours.originals import credited_before, read_originals
from carbonpoints.behaviours.payloads import write_payloads
from carbonpoints.behaviours.reversing import ClaimChanges, reversals_of, write_claims
from carbonpoints.behaviours.review_ends import end_reversed
from carbonpoints.behaviours.sentences import OTHER_PROGRAMME
from carbonpoints.behaviours.taking_back import return_usage
from carbonpoints.behaviours.undoing import answer_known, decide_reversal, take_back_corrected
from carbonpoints.behaviours.work import Receipt, Work, unchanged
from carbonpoints.core import clock
from carbonpoints.core.clock import add_months
from carbonpoints.ledger.budgets import Draw, draw, give_back, hand_back, wanted_by
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.errors import AlreadyReversed, LedgerFault
from carbonpoints.ledger.flows import OPEN, Book, Moment, earn, quantify
from carbonpoints.ledger.posting import lock_books, open_books, read_books, write_books
from carbonpoints.ledger.queries import KnownEvent, find_events
from carbonpoints.ledger.slices import Amount
from carbonpoints.rules.agreements import AgreementDefinition
from carbonpoints.rules.budgets import Purse, terms_on
from carbonpoints.rules.definitions import RuleDefinition
from carbonpoints.rules.engine import Outcome
from carbonpoints.rules.usage import UsageBook

STATUS_DISPOSITIONS = {
    "frozen": Disposition.ACCOUNT_FROZEN,
    "closed": Disposition.ACCOUNT_CLOSED,
    "merged": Disposition.ACCOUNT_CLOSED,
}
NOTHING = Outcome(None, 0, 0, None, None)


def decide(
    session: Session, delivery: Delivery, candidates: Sequence[Candidate]
) -> tuple[list[Receipt], dict[int, Book]]:
    """Decide placed candidates in order; returns a receipt each, and the books for the balances after.

    Runs in one transaction of the caller's. Raises IntegrityError when another delivery of the same event was
    decided in between: the caller runs again, and the event is then known.
    """
    try:
        work, receipts = _decide_all(session, delivery, candidates)
    except (LedgerFault, AlreadyReversed):
        # An account moved between two readings of it. Locked it does not, and what is wrong then is wrong.
        open_books(session, {candidate.account_id for candidate in candidates})
        work, receipts = _decide_all(session, delivery, candidates)
    moved = lock_books(session, work.books)
    if moved:
        places = [place for place, candidate in enumerate(candidates) if candidate.account_id in moved]
        newer, again = _decide_all(session, delivery, [candidates[place] for place in places])
        if newer.moment.business_date == work.moment.business_date:
            work.replace(moved, newer)
            for place, receipt in zip(places, again, strict=True):
                receipts[place] = receipt
        else:  # All of a delivery is booked on one business date.
            work, receipts = _decide_all(session, delivery, candidates)
    if work.withdrawn:
        release_acts(session, work.withdrawn)
        remember_undecided(session, delivery, work.withdrawn)
    given_back = work.given_back()
    if delivery.budgets or given_back:
        work, receipts = _within_budgets(session, candidates, work, receipts, given_back)
    write_books(session, work.books.values())
    write_payloads(session, work.payloads)
    usage_store.write(session, work.usage)
    write_claims(session, work.claims.values())
    end_reversed(session, work.ended_reviews, work.moment.booked_at)
    return receipts, work.books


def _within_budgets(
    session: Session,
    candidates: Sequence[Candidate],
    work: Work,
    receipts: list[Receipt],
    given_back: Mapping[str, Mapping[date, Amount]],
) -> tuple[Work, list[Receipt]]:
    """Give back what was taken back and draw what was decided, budget by budget; nothing is waited for after this.

    Where one has less, decide again with that and hand back the rest.
    """
    wanted = wanted_by(work.books.values())
    terms = {each.code: each for each in work.purse.terms}
    drawn: dict[str, Draw | None] = {}
    for code in sorted({*wanted, *given_back}):
        for day, amount in sorted(given_back.get(code, {}).items()):
            programme_id = work.delivery.programme.id
            give_back(session, programme_id=programme_id, business_date=day, amounts={code: amount})
        if code in wanted:
            drawn[code] = draw(session, terms[code], wanted[code])
    given = {code: one.millicredits if one else 0 for code, one in drawn.items()}
    if all(given[code] == one.millicredits for code, one in wanted.items()):
        return work, receipts
    work, receipts = _decide_all(session, work.delivery, candidates, work.moment, dict(given))
    used = wanted_by(work.books.values())
    for code, one in drawn.items():
        rest = given[code] - (used[code].millicredits if code in used else 0)
        if one is not None and rest:
            hand_back(session, one, rest)
    return work, receipts


def _decide_all(
    session: Session,
    delivery: Delivery,
    candidates: Sequence[Candidate],
    moment: Moment | None = None,
    left: dict[str, int] | None = None,
) -> tuple[Work, list[Receipt]]:
    """Read the candidates' accounts and decide, in memory; the heads are read first, so that `lock_books` can tell.

    `left` is what the budgets have for these, by code; without it they are not asked. `moment` is now by default.
    """
    placed = [candidate for candidate in candidates if candidate.undecided is None]
    account_ids = sorted({candidate.account_id for candidate in placed})
    books = read_books(session, account_ids)
    if moment is None:
        booked_at = max([clock.now(), *(book.last_booked_at for book in books.values())])
        moment = Moment.at(booked_at, delivery.programme.calendar)
    known = find_events(
        session, [(c.claimed_by or c.account_id, c.event_hash) for c in placed if not c.is_new]
    )
    originals = read_originals(session, delivery, books, placed, known)
    consents = consents_in_force(session, account_ids)
    work = Work(
        delivery=delivery,
        moment=moment,
        books=books,
        consents=consents,
        known=known,
        usage=usage_store.load(session, [*placed, *(each.candidate for each in originals.values())]),
        purse=Purse(terms_on(delivery.budgets, delivery.programme, moment.business_date), left),
        oldest=_oldest(delivery),
        payloads=[],
        withdrawn=[],
        originals=originals,
        marked=find_marks(session, delivery, placed, consents, credited_before(originals)),
        reversed=reversals_of(session, [candidate.event_hash for candidate in placed]),
        claims={},
        taken_back={},
        ended_reviews={},
    )
    return work, [_decide_one(work, candidate) for candidate in candidates]


def _oldest(delivery: Delivery) -> datetime:
    if delivery.source.is_backfill:
        return datetime.min.replace(tzinfo=UTC)
    return delivery.received_at - timedelta(days=delivery.programme.late_event_days)


def _decide_one(work: Work, candidate: Candidate) -> Receipt:
    answer = _answer_at_once(work, candidate)
    if answer is not None:
        return answer
    event_hash, account_id = candidate.event_hash, candidate.account_id
    book = work.books.get(account_id)
    if book is not None and candidate.reverses:
        return decide_reversal(work, candidate, book)
    original = work.originals.get(event_hash)
    if book is None or not is_covered(work.consents, candidate):
        end = Disposition.UNKNOWN_ACCOUNT if book is None else Disposition.NO_CONSENT
        if original is None:
            work.withdrawn.append(replace(candidate, undecided=end))
        return unchanged(candidate, end)
    if original is not None:
        return_usage(work.usage, work.delivery.identity_key, original)
    disposition, outcome = _judge(work, candidate, book)
    reason, reduction_mg, amount_millicredits, _, trace, _ = outcome
    moment, occurred_at = work.moment, candidate.occurred_at
    if original is not None:
        take_back_corrected(work, candidate, book, original, amount_millicredits)
    seq = book.decide(
        DecisionKind.EVENT,
        moment,
        occurred_at=occurred_at,
        received_at=work.delivery.received_at,
        local_date=candidate.local_date or moment.local_date,
        disposition=disposition,
        reduction_mg=reduction_mg,
        amount_millicredits=amount_millicredits,
        pin_id=candidate.pinned.pin_id if candidate.pinned else None,
        source_id=work.delivery.source.source_id,
        revision=candidate.event.revision,
        event_hash=event_hash,
        commitment=candidate.commitment,
        trace=trace,
    )
    if amount_millicredits:
        _earn(work, candidate, book, seq, amount_millicredits)
    if reduction_mg:
        quantify(book, moment, cause_seq=seq, occurred_at=occurred_at, reduction_mg=reduction_mg)
    work.payloads.append((account_id, seq, candidate.content))
    if not candidate.is_new:
        # Another of this delivery may have the same identity.
        work.known[event_hash] = KnownEvent(
            account_id, seq, candidate.event.revision, candidate.commitment, disposition
        )
    disposition = _answered_as(work, candidate, book, disposition, outcome)
    return Receipt(event_hash, disposition, account_id, seq, reduction_mg, amount_millicredits, reason)


@lru_cache(maxsize=65_536)
def _month_end_after(day: date, months: int) -> date:
    return add_months(day, months)


def expiry_of(rule: RuleDefinition, counted_from: date) -> date:
    """Return the month-end on which credits of an award expire, counted from a date (M5)."""
    return _month_end_after(counted_from, rule.expiry_months)


def _answer_at_once(work: Work, candidate: Candidate) -> Receipt | None:
    """Return the answer to an event about which nothing is to be decided; None for all others."""
    if candidate.undecided is not None:
        return unchanged(candidate, candidate.undecided)
    known = work.known.get(candidate.event_hash) if not candidate.is_new else None
    answer = answer_known(work, candidate, known) if known is not None else None
    if answer is not None:
        return answer
    if known is None and candidate.claimed_by:
        return unchanged(candidate, Disposition.CONFLICT)
    return unchanged(candidate, Disposition.STALE) if candidate.is_outdone else None


def _judge(work: Work, candidate: Candidate, book: Book) -> tuple[Disposition, Outcome]:
    """Return how the event ends in its account and what it gives."""
    refused = _refusal(work, candidate, book)
    if refused is not None:
        return refused, NOTHING
    elsewhere = work.marked.get(candidate.event_hash)
    if elsewhere is not None:
        return Disposition.CLAIMED_ELSEWHERE, _claimed_by(elsewhere)
    if candidate.compiled is None or candidate.assessment is None or candidate.local_date is None:
        problem = (candidate.pinned.problem if candidate.pinned else None) or "no_rule_in_force"
        return Disposition.INELIGIBLE, Outcome(problem, 0, 0, None, {"reason": problem})
    usage = work.usage.get(candidate.account_id)
    if usage is None:
        usage = work.usage[candidate.account_id] = UsageBook(secret=work.delivery.identity_key)
    if candidate.compiled.boosts is not None and usage.opened_on is None:
        usage.opened_on = work.delivery.programme.calendar.local_date(book.opened_at)
    outcome = candidate.compiled.settle(candidate.assessment, usage, candidate.local_date, work.purse.draw)
    return disposition_of(outcome), outcome


def _refusal(work: Work, candidate: Candidate, book: Book) -> Disposition | None:
    """Return why no rule is asked at all, or None."""
    if candidate.event_hash in work.reversed:
        work.claims.setdefault(candidate.account_id, ClaimChanges()).released.append(candidate)
        return Disposition.REVERSED
    if book.status != OPEN:
        return STATUS_DISPOSITIONS[book.status]
    if candidate.occurred_at < work.oldest and candidate.event_hash not in work.originals:
        return Disposition.TOO_LATE
    return Disposition.CLAIMED_ELSEWHERE if candidate.is_claimed_elsewhere else None


def _answered_as(
    work: Work, candidate: Candidate, book: Book, disposition: Disposition, outcome: Outcome
) -> Disposition:
    """Return how an event stands now: what it gave may wait for the end of a review; the decision stays as judged."""
    has_given = outcome.amount_millicredits or outcome.reduction_mg
    is_held = has_given and (book.review_seq or _review_of(work, candidate))
    return Disposition.UNDER_REVIEW if is_held else disposition


def _review_of(work: Work, candidate: Candidate) -> int:
    """Return the open review of a corrected event, or 0: it goes on over what the event earns now."""
    original = work.originals.get(candidate.event_hash)
    return original.review_seq if original is not None else 0


def _claimed_by(agreement: AgreementDefinition) -> Outcome:
    """Return nothing, with what the sentence says: which programme has credited the act."""
    trace: dict[str, object] = {
        "reason": OTHER_PROGRAMME,
        "agreement": agreement.code,
        "name_en": agreement.partner_name_en,
        "name_zh": agreement.partner_name_zh,
    }
    return Outcome(OTHER_PROGRAMME, 0, 0, None, trace)


def _earn(work: Work, candidate: Candidate, book: Book, seq: int, amount_millicredits: int) -> None:
    """Book the award's credits into the lot of its month (M5); they wait for a review that is open."""
    assert candidate.compiled is not None  # noqa: S101 - an award has a rule
    assert candidate.local_date is not None  # noqa: S101 - and so a local date
    moment, rule = work.moment, candidate.compiled.rule
    counted_from = moment.local_date if work.delivery.source.is_backfill else candidate.local_date
    earn(
        book,
        moment,
        cause_seq=seq,
        occurred_at=candidate.occurred_at,
        amount_millicredits=amount_millicredits,
        expires_on=expiry_of(rule, counted_from),
        matures_on=moment.business_date + timedelta(days=rule.pending_days) if rule.pending_days else None,
        review_seq=_review_of(work, candidate),
    )
