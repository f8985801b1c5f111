"""Freezing, unfreezing and closing, each a decision with its reason (M2).

    open <-> frozen        open, frozen -> closed        open -> merged

A frozen account neither earns nor spends; a closed one is final. Closing forfeits what is available or pending;
`previews` says so beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from enum import StrEnum

from sqlalchemy.orm import Session

from carbonpoints.accounts.access import readable_head, require_role
from carbonpoints.accounts.errors import (
    AccountClosed,
    AccountFrozen,
    AccountMerged,
    CreditsInTransit,
    HolderDeceased,
    NotYours,
    UnderReview,
)
from carbonpoints.accounts.models import Holder, StatusChange
from carbonpoints.accounts.under_review import has_open_review
from carbonpoints.accounts.work import AccountView, Answer, Work, answer_once, open_work, refuse_future
from carbonpoints.core import audit
from carbonpoints.core.auth import Caller, caller_hash
from carbonpoints.core.db import transaction
from carbonpoints.core.errors import CarbonpointsError
from carbonpoints.core.roles import Role
from carbonpoints.ledger import flows
from carbonpoints.ledger.errors import HoldsOpen
from carbonpoints.ledger.loading import load_open_items
from carbonpoints.ledger.queries import has_incoming_transfer


class FreezeReason(StrEnum):
    """Why an account is frozen."""

    CUSTOMER_REQUEST = "customer_request"
    FRAUD_SUSPECTED = "fraud_suspected"
    AUTHORITY_ORDER = "authority_order"
    DECEASED = "deceased"


class UnfreezeReason(StrEnum):
    """Why a freeze is lifted."""

    CUSTOMER_REQUEST = "customer_request"
    RESOLVED = "resolved"
    AUTHORITY_ORDER_LIFTED = "authority_order_lifted"
    RECORDED_IN_ERROR = "recorded_in_error"
    """The only reason that lifts the freeze of a holder whose death was recorded."""


class CloseReason(StrEnum):
    """Why an account is closed. A customer closes their own at their own request only."""

    CUSTOMER_REQUEST = "customer_request"
    DECEASED = "deceased"
    RELATIONSHIP_ENDED = "relationship_ended"
    FRAUD_CONFIRMED = "fraud_confirmed"


def freeze_account(
    *,
    caller: Caller,
    account_id: int,
    reason_code: FreezeReason,
    reason: str,
    deceased_on: date | None = None,
) -> AccountView:
    """Freeze an open account; `deceased_on` is kept where the holder died. Operations only.

    A death is recorded of a frozen account's holder too: what was the reason before may be resolved, this is not.
    Raises AccountFrozen, AccountClosed, AccountMerged.
    """
    require_role(caller, Role.OPERATIONS)
    with transaction() as session:
        work = open_work(session, caller, account_id)
        holder = session.get_one(Holder, account_id, populate_existing=True)
        is_new_death = reason_code is FreezeReason.DECEASED and holder.deceased_on is None
        work.refuse_unless("open", *(("frozen",) if is_new_death else ()))
        if is_new_death:
            refuse_future("deceased_on", deceased_on, work.moment.local_date)
            holder.deceased_on = deceased_on or work.moment.local_date
        return _change(work, caller, "frozen", reason_code, reason)


def unfreeze_account(
    *, caller: Caller, account_id: int, reason_code: UnfreezeReason, reason: str
) -> AccountView:
    """Open a frozen account again. Operations only.

    Raises AccountNotFrozen, AccountClosed, AccountMerged, and HolderDeceased unless the death was recorded in
    error.
    """
    require_role(caller, Role.OPERATIONS)
    with transaction() as session:
        work = open_work(session, caller, account_id)
        work.refuse_unless("frozen")
        holder = session.get_one(Holder, account_id, populate_existing=True)
        if holder.deceased_on is not None and reason_code is not UnfreezeReason.RECORDED_IN_ERROR:
            raise HolderDeceased
        holder.deceased_on = None
        return _change(work, caller, "open", reason_code, reason)


def close_account(
    *,
    caller: Caller,
    account_id: int,
    reason_code: CloseReason,
    reason: str,
    key: str,
    answer: Callable[[AccountView], dict[str, object]],
) -> Answer:
    """Close an account for good and forfeit what is available or pending, once for this key (M18).

    A customer closes their own, while it is open; operations close any that is open or frozen. Raises
    HoldsOpen, UnderReview, CreditsInTransit, AccountFrozen, AccountClosed, AccountMerged.
    """
    require_role(caller, Role.CUSTOMER, Role.OPERATIONS)
    if caller.role is Role.CUSTOMER and reason_code is not CloseReason.CUSTOMER_REQUEST:
        raise NotYours
    request = {"operation": "close", "reason_code": reason_code.value, "reason": reason}
    with transaction() as session:
        readable_head(session, caller, account_id)

        def close() -> dict[str, object]:
            work = open_work(session, caller, account_id)
            held = work.view().balances.held_millicredits
            refusal = closing_refusal(session, caller, work.book.status, account_id, held)
            if refusal is not None:
                raise refusal
            return answer(_change(work, caller, "closed", reason_code, reason))

        return answer_once(
            session, caller=caller, account_id=account_id, key=key, request=request, work=close
        )


def closing_refusal(
    session: Session, caller: Caller, status: str, account_id: int, held_millicredits: int
) -> type[CarbonpointsError] | None:
    """Return what keeps this caller from closing the account now; None where nothing does."""
    if status in {"closed", "merged"}:
        return AccountClosed if status == "closed" else AccountMerged
    if status == "frozen" and caller.role is Role.CUSTOMER:
        return AccountFrozen
    if held_millicredits:
        return HoldsOpen
    if has_open_review(session, account_id):
        return UnderReview
    return CreditsInTransit if has_incoming_transfer(session, account_id) else None


def _change(work: Work, caller: Caller, status: str, reason_code: StrEnum, reason: str) -> AccountView:
    """Decide the new status, keep the reason beside the decision, and audit it."""
    before = work.book.status
    if status == "closed":
        load_open_items(work.session, [work.book])
        seq = flows.close(work.book, work.moment)
    else:
        seq = flows.change_status(work.book, work.moment, status=status)
    record_status(work, caller, seq, before, reason_code=reason_code.value, reason=reason)
    return work.write()


def record_status(
    work: Work, caller: Caller, seq: int, before: str, *, reason_code: str, reason: str
) -> None:
    """Keep who changed the status from `before`, and why, beside decision `seq`."""
    account_id = work.book.account_id
    work.session.add(
        StatusChange(
            account_id=account_id,
            account_seq=seq,
            from_status=before,
            to_status=work.book.status,
            reason_code=reason_code,
            reason=reason,
            actor_role=caller.role.value,
            actor_hash=caller_hash(caller),
            recorded_at=work.moment.booked_at,
        )
    )
    audit.record(
        work.session,
        account_id=account_id,
        action="status.change",
        purpose=reason_code,
        detail={"account_seq": seq, "from": before, "to": work.book.status},
    )
