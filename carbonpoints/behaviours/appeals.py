"""Appeals: a customer's one word against what became of an event, and how the bank answers it (M6, M10, M13).

An adjustment only ever gives: what was given too much is taken back by a reversal. One person proposes it and another
confirms what they saw; it is a decision of its own in the account's journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select, text, tuple_
from sqlalchemy.orm import Session

from carbonpoints.accounts.access import (
    own_account_id,
    readable_head,
    reading_account,
    require_role,
    stated_purpose,
)
from carbonpoints.accounts.errors import UnderReview
from carbonpoints.accounts.under_review import is_held
from carbonpoints.accounts.work import Answer, Work, answer_once, open_work
from carbonpoints.approvals.errors import FourEyes
from carbonpoints.behaviours.deciding import expiry_of
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.errors import (
    AppealExists,
    AppealNotFound,
    AppealResolved,
    EventNotFound,
    ProposalChanged,
)
from carbonpoints.behaviours.identities import find_decided
from carbonpoints.behaviours.intake import event_hash
from carbonpoints.behaviours.models import Appeal
from carbonpoints.behaviours.payloads import read_payload
from carbonpoints.behaviours.staged import EPOCH, instant_of, microseconds_of
from carbonpoints.behaviours.undone import read_standing, read_taken_back
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import add_months, now
from carbonpoints.core.db import reading, settings, transaction
from carbonpoints.core.errors import FieldError, InvalidRequest
from carbonpoints.core.ids import NumberedId, parse_numbered_id
from carbonpoints.core.pagination import Page, decode_cursor, make_page
from carbonpoints.core.programmes import programme_of
from carbonpoints.core.roles import HOLDERS, Role
from carbonpoints.ledger.adjusting import adjust
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.decisions import find_decisions, find_restatements
from carbonpoints.ledger.posting import write_books
from carbonpoints.ledger.queries import StoredDecision, read_decision
from carbonpoints.rules.catalogue import PinnedRule, read_pin

APPEAL_PREFIX = "apl"
ADJUSTED = "adjusted"
OUTCOMES = ("rejected", "upheld", ADJUSTED)
"""`upheld` without value: the customer is right and nothing is to be granted."""
EXPIRY_MONTHS = 24
"""Of an adjustment for an event without a rule."""
_UNDECIDED = text(
    "SELECT disposition FROM identity_undecided WHERE event_hash = :event_hash AND account_id = :account_id"
)
Dump = Callable[[Appeal], dict[str, Any]]


def appeal_id_of(account_id: int, appeal_no: int) -> str:
    """Return the public id of an appeal."""
    return str(NumberedId(APPEAL_PREFIX, account_id, appeal_no))


@dataclass(frozen=True)
class AppealedEvent:
    """An event of an account, decided or remembered: what an appeal is about."""

    account_id: int
    event_hash: bytes
    event_seq: int | None
    disposition: Disposition


def file_appeal(
    *,
    caller: Caller,
    event_id: str | None,
    source: str | None,
    id_: str | None,
    words: str,
    attachments: Sequence[str],
) -> Appeal:
    """Take a customer's appeal about one of their events, named by our id or by its source's.

    Raises EventNotFound where it is none of theirs, AppealExists where there is one already.
    """
    with transaction() as session:
        if event_id is not None:
            event = _event_of_id(session, caller, event_id)
        else:
            event = _event_of_source(session, caller, source or "", id_ or "")
        work = open_work(session, caller, event.account_id)
        mine = select(Appeal).where(Appeal.account_id == event.account_id)
        if session.scalar(mine.where(Appeal.event_hash == event.event_hash)) is not None:
            raise AppealExists
        count = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
        appeal = Appeal(
            account_id=event.account_id,
            appeal_no=count + 1,
            programme_id=work.book.programme_id,
            event_hash=event.event_hash,
            event_seq=event.event_seq,
            disposition=event.disposition,
            filed_at=now(),
            text=words,
            attachments=list(attachments),
            proposal_no=0,
            amount_millicredits=0,
            reduction_mg=0,
        )
        session.add(appeal)
        _note(session, appeal, "appeal.file")
        return appeal


def _event_of_id(session: Session, caller: Caller, event_id: str) -> AppealedEvent:
    number = parse_numbered_id(event_id, "evt")
    readable_head(session, caller, number.account_id)
    decision = read_decision(session, number.account_id, number.account_seq)
    if decision is None or decision.event_hash is None:
        raise EventNotFound
    return _as_it_stands(session, decision)


def _event_of_source(session: Session, caller: Caller, source: str, id_: str) -> AppealedEvent:
    account_id = own_account_id(session, caller)
    key = event_hash(settings().identity_key, caller.bank_id, source, id_)
    known = find_decided(session, [key]).get(key)
    if known is not None:
        decision = read_decision(session, known.account_id, known.account_seq)
        if decision is None or known.account_id != account_id:
            raise EventNotFound
        return _as_it_stands(session, decision)
    remembered = session.scalar(_UNDECIDED, {"event_hash": key, "account_id": account_id})
    if remembered is None:
        raise EventNotFound
    return AppealedEvent(account_id, key, None, Disposition(remembered))


def _as_it_stands(session: Session, decision: StoredDecision) -> AppealedEvent:
    disposition = read_standing(session, decision).disposition
    return AppealedEvent(decision.account_id, decision.event_hash or b"", decision.account_seq, disposition)


def list_appeals(
    *, caller: Caller, is_resolved: bool | None, limit: int, cursor: str | None, purpose: str | None
) -> Page[Appeal]:
    """Return a page of appeals, the oldest first: a customer's own, or for staff those of the programme."""
    query = select(Appeal).order_by(Appeal.filed_at, Appeal.account_id, Appeal.appeal_no)
    if is_resolved is not None:
        query = query.where(Appeal.resolved_at.is_not(None) if is_resolved else Appeal.resolved_at.is_(None))
    if cursor:
        filed_us, account_id, appeal_no = decode_cursor(cursor, int, int, int)
        if not 0 <= filed_us <= LAST_US:
            raise InvalidRequest(
                fields=[FieldError("cursor", "invalid_cursor", "This is no cursor of ours.")]
            )
        after = (instant_of(filed_us), account_id, appeal_no)
        query = query.where(tuple_(Appeal.filed_at, Appeal.account_id, Appeal.appeal_no) > after)
    query = query.limit(limit + 1)
    if caller.role in HOLDERS:
        with reading() as session:
            found = session.scalars(query.where(Appeal.account_id == own_account_id(session, caller))).all()
    else:
        stated = stated_purpose(caller, purpose)
        with transaction() as session:
            programme_id = programme_of(session, caller)
            found = session.scalars(query.where(Appeal.programme_id == programme_id)).all()
            audit.record(
                session, action="appeals.list", purpose=stated, detail={"programme_id": programme_id}
            )
    return make_page(found, limit, lambda row: (microseconds_of(row.filed_at), row.account_id, row.appeal_no))


LAST_US = microseconds_of(EPOCH.replace(year=9999))


def read_appeal(*, caller: Caller, appeal_id: str, purpose: str | None) -> Appeal:
    """Return one appeal; AppealNotFound where there is none for this caller."""
    number = parse_numbered_id(appeal_id, APPEAL_PREFIX)
    with reading_account(
        caller=caller, account_id=number.account_id, action="appeal.read", purpose=purpose
    ) as (session, _head):
        return _get(session, number)


def _get(session: Session, number: NumberedId) -> Appeal:
    appeal = session.get(Appeal, (number.account_id, number.account_seq), populate_existing=True)
    if appeal is None:
        raise AppealNotFound
    return appeal


def resolve_appeal(
    *,
    caller: Caller,
    appeal_id: str,
    outcome: str,
    reason: str,
    amount_millicredits: int,
    reduction_mg: int,
) -> Appeal:
    """Reject an appeal, uphold it without value, or propose an adjustment, which another person confirms.

    What was proposed before is replaced, by whomever. Operations only. Raises AppealResolved, and InvalidRequest for
    amounts that do not go with the outcome or more mg than the act's rule supports (M13).
    """
    require_role(caller, Role.OPERATIONS)
    number = parse_numbered_id(appeal_id, APPEAL_PREFIX)
    with transaction() as session:
        open_work(session, caller, number.account_id)
        appeal = _get(session, number)
        if appeal.resolved_at is not None:
            raise AppealResolved
        is_adjusted = outcome == ADJUSTED
        if is_adjusted != (amount_millicredits + reduction_mg > 0):
            wrong = FieldError(
                "amount_millicredits",
                "does_not_fit",
                "An adjustment grants credits or mg, and nothing else does.",
            )
            raise InvalidRequest(fields=[wrong])
        _refuse_unsupported(session, appeal, reduction_mg)
        appeal.proposal_no += 1
        appeal.outcome, appeal.reason, appeal.maker_person = outcome, reason, caller.person
        appeal.amount_millicredits, appeal.reduction_mg = amount_millicredits, reduction_mg
        appeal.resolved_at = None if is_adjusted else now()
        _note(session, appeal, "appeal.propose" if is_adjusted else "appeal.resolve")
        return appeal


def confirm_adjustment(*, caller: Caller, appeal_id: str, proposal_no: int, key: str, answer: Dump) -> Answer:
    """Book the proposed adjustment, once for this key (M18), by another person than the one who proposed it.

    Operations only. Raises ProposalChanged where another proposal stands now, FourEyes, AppealResolved, UnderReview,
    AccountFrozen, AccountClosed, AccountMerged.
    """
    require_role(caller, Role.OPERATIONS)
    number = parse_numbered_id(appeal_id, APPEAL_PREFIX)
    request = {"operation": "confirm_adjustment", "appeal": appeal_id, "proposal_no": proposal_no}
    with transaction() as session:
        readable_head(session, caller, number.account_id)

        def confirm() -> dict[str, Any]:
            work = open_work(session, caller, number.account_id)
            appeal = _get(session, number)
            if appeal.resolved_at is not None:
                raise AppealResolved
            if appeal.outcome != ADJUSTED or appeal.proposal_no != proposal_no:
                raise ProposalChanged
            if appeal.maker_person == caller.person:
                raise FourEyes
            work.refuse_unless("open")
            is_event_held = is_held(
                session, appeal.account_id, appeal.event_hash, appeal.event_seq or work.book.last_seq
            )
            if work.book.review_seq or is_event_held:
                raise UnderReview
            _refuse_unsupported(session, appeal, appeal.reduction_mg)
            _adjust(work, appeal, caller)
            return answer(appeal)

        return answer_once(
            session, caller=caller, account_id=number.account_id, key=key, request=request, work=confirm
        )


def _adjust(work: Work, appeal: Appeal, caller: Caller) -> None:
    pinned, _ = _judged(work.session, appeal)
    day, rule = work.moment.local_date, pinned.rule if pinned is not None else None
    trace: dict[str, Any] = {"appeal_no": appeal.appeal_no}
    if appeal.event_seq is not None:
        trace["event_seq"] = appeal.event_seq
    appeal.adjustment_seq = adjust(
        work.book,
        work.moment,
        amount_millicredits=appeal.amount_millicredits,
        reduction_mg=appeal.reduction_mg,
        expires_on=expiry_of(rule, day) if rule is not None else add_months(day, EXPIRY_MONTHS),
        trace=trace,
    )
    appeal.checker_person = caller.person
    appeal.resolved_at = work.moment.booked_at
    _note(work.session, appeal, "appeal.adjust")
    write_books(work.session, [work.book])


def _judged(session: Session, appeal: Appeal) -> tuple[PinnedRule | None, StoredDecision | None]:
    """Return what the event was judged by at last, and the decision with what it comes to; None if not decided."""
    key = (appeal.account_id, appeal.event_hash)
    decision = find_decisions(session, [key]).get(key)
    if decision is None or decision.kind != DecisionKind.EVENT or decision.pin_id is None:
        return None, decision
    restated = find_restatements(session, [(decision.account_id, decision.account_seq)])
    for standing in (each[-1] for each in restated.values()):
        decision = replace(decision, pin_id=standing.pin_id, reduction_mg=standing.reduction_mg)
    return read_pin(session, decision.pin_id or 0), decision


def _refuse_unsupported(session: Session, appeal: Appeal, reduction_mg: int) -> None:
    """Refuse more mg than the rule estimates for the act from what is kept of it, less what stands posted (M13)."""
    if not reduction_mg:
        return
    supported = 0
    pinned, decision = _judged(session, appeal)
    compiled = pinned.compiled if pinned is not None else None
    if compiled is not None and decision is not None and compiled.rule.purpose == "reduction":
        inputs = read_payload(session, decision.account_id, decision.account_seq)
        if inputs is not None:
            stands = decision.reduction_mg if read_taken_back(session, decision) is None else 0
            supported = max(0, compiled.assess(compiled.values(inputs["data"])).estimate_mg - stands)
    if reduction_mg > supported:
        wrong = FieldError(
            "reduction_mg",
            "not_supported",
            "The rule of this act supports %(supported)s mg more and not these.",
            {"supported": supported},
        )
        raise InvalidRequest(fields=[wrong])


def _note(session: Session, appeal: Appeal, action: str) -> None:
    detail: Mapping[str, Any] = {
        "appeal_no": appeal.appeal_no,
        "proposal_no": appeal.proposal_no,
        "outcome": appeal.outcome,
        "amount_millicredits": appeal.amount_millicredits,
        "reduction_mg": appeal.reduction_mg,
    }
    audit.record(session, account_id=appeal.account_id, action=action, detail=detail)
