"""Two accounts that turn out to be one person's: merged, and taken apart again (M2, M17).

The value leaves the merged account in one transaction and arrives in the other from the outbox, so that the
journal of each account is written under its own lock; until then it is in transit. Identifiers and linked bank
accounts move at once. Consents stay where they were given: what the surviving account has no consent for is not
decided. Taking apart moves back what is still there of what came.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from carbonpoints.accounts import moving
from carbonpoints.accounts.access import readable_head, require_role
from carbonpoints.accounts.errors import CreditsInTransit, MergeRefused, MergeUndone, UnderReview
from carbonpoints.accounts.models import Merge
from carbonpoints.accounts.status import record_status
from carbonpoints.accounts.under_review import has_open_review
from carbonpoints.accounts.work import AccountView, Answer, Work, answer_once, lock_accounts
from carbonpoints.core import audit, outbox
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import transaction
from carbonpoints.core.errors import NotFound
from carbonpoints.core.ids import new_uuid
from carbonpoints.core.roles import Role
from carbonpoints.ledger import flows
from carbonpoints.ledger.book import AVAILABLE, CREDIT, DUE_KEY, HELD, PENDING, Book, Parcel
from carbonpoints.ledger.chart import DecisionKind
from carbonpoints.ledger.errors import HoldsOpen
from carbonpoints.ledger.legs import has_arrived, sent_parcels
from carbonpoints.ledger.loading import load_open_items
from carbonpoints.ledger.posting import write_books
from carbonpoints.ledger.queries import has_incoming_transfer, read_head
from carbonpoints.ledger.transfers import (
    TRANSFER_TOPIC,
    everything,
    load_parcels,
    transfer_in,
    transfer_out,
)


@dataclass(frozen=True)
class Merged:
    """A merge or its undoing: the value is on its way until the second account has received it."""

    merge_no: int
    transfer_id: uuid.UUID
    source: AccountView
    """The account that went into the other."""
    target: AccountView


Dump = Callable[[Merged], dict[str, Any]]


def merge_accounts(
    *, caller: Caller, account_id: int, into_account_id: int, reason: str, key: str, answer: Dump
) -> Answer:
    """Merge a person's account into another one, once for this key (M18). Operations only.

    Raises MergeRefused when the two are the same or not both persons', HoldsOpen, UnderReview, CreditsInTransit,
    AccountFrozen, AccountClosed, AccountMerged, and NotFound when they are not both in one programme.
    """
    require_role(caller, Role.OPERATIONS)
    request = {"operation": "merge", "into": into_account_id, "reason": reason}
    with transaction() as session:
        head = readable_head(session, caller, account_id)

        def merge() -> dict[str, Any]:
            readable_head(session, caller, into_account_id)
            if account_id == into_account_id:
                raise MergeRefused
            works = lock_accounts(session, head.programme_id, [account_id, into_account_id])
            source, target = works[account_id], works[into_account_id]
            _refuse_merge(source, target)
            load_open_items(session, [source.book])
            return answer(_merge(source, target, caller, reason))

        return answer_once(
            session, caller=caller, account_id=account_id, key=key, request=request, work=merge
        )


def unmerge_accounts(
    *, caller: Caller, account_id: int, merge_no: int, reason: str, key: str, answer: Dump
) -> Answer:
    """Take a merged account out of the other again, once for this key (M18). Operations only.

    It gets back its identifiers and bank accounts, and of its credits and reduction what is still there.
    Raises MergeUndone, CreditsInTransit while the merge's own transfer has not arrived, UnderReview,
    AccountFrozen, AccountClosed or AccountMerged when the other account is no longer open.
    """
    require_role(caller, Role.OPERATIONS)
    request = {"operation": "unmerge", "merge": merge_no, "reason": reason}
    with transaction() as session:
        head = readable_head(session, caller, account_id)
        found = session.get(Merge, (account_id, merge_no))
        if found is None:
            raise NotFound

        def unmerge() -> dict[str, Any]:
            works = lock_accounts(session, head.programme_id, [account_id, found.into_account_id])
            session.refresh(found)
            source, target = works[account_id], works[found.into_account_id]
            if found.unmerged_seq is not None:
                raise MergeUndone
            target.refuse_unless("open")
            _refuse_reviewed(target)
            if has_incoming_transfer(session, found.into_account_id):
                raise CreditsInTransit
            load_open_items(session, [target.book])
            return answer(_unmerge(found, source, target, caller, reason))

        return answer_once(
            session, caller=caller, account_id=account_id, key=key, request=request, work=unmerge
        )


@outbox.handles(TRANSFER_TOPIC)
def receive_transfer(message: outbox.Message) -> None:
    """Bring a transfer into its second account; a message delivered again changes nothing."""
    body = message.body
    to_account_id, transfer_id = int(body["to_account_id"]), uuid.UUID(body["transfer_id"])
    with transaction() as session:
        head = read_head(session, to_account_id)
        if head is None:
            raise outbox.PermanentFailure(f"no account {to_account_id}")
        work = lock_accounts(session, head.programme_id, [to_account_id])[to_account_id]
        if has_arrived(session, to_account_id, transfer_id):
            return
        transfer_in(
            work.book,
            work.moment,
            transfer_id=transfer_id,
            counterpart_account_id=message.account_id,
            parcels=load_parcels(body["parcels"]),
        )
        work.write()


def _refuse_merge(source: Work, target: Work) -> None:
    if {source.book.holder_kind, target.book.holder_kind} != {"person"}:
        raise MergeRefused
    source.refuse_unless("open")
    target.refuse_unless("open")
    if source.book.total(HELD):
        raise HoldsOpen
    _refuse_reviewed(source)
    _refuse_reviewed(target)
    if has_incoming_transfer(source.session, source.book.account_id):
        raise CreditsInTransit


def _refuse_reviewed(work: Work) -> None:
    """Raise UnderReview: what is checked stays where those who decide on it find it."""
    if has_open_review(work.session, work.book.account_id):
        raise UnderReview


def _merge(source: Work, target: Work, caller: Caller, reason: str) -> Merged:
    session, into = source.session, target.book.account_id
    transfer_id, seq = _send(source, target, everything)
    status_seq = flows.change_status(source.book, source.moment, status="merged")
    record_status(source, caller, status_seq, "open", reason_code="merged", reason=reason)
    moved = moving.move_all(source, target)
    target.decide(DecisionKind.IDENTIFIER, {"merged": source.book.account_id, "moved": len(moved)})
    session.add(
        Merge(
            account_id=source.book.account_id,
            account_seq=seq,
            into_account_id=into,
            reason=reason,
            moved_identifiers=moved,
            merged_at=source.moment.booked_at,
        )
    )
    audit.record(session, account_id=into, action="account.merge", detail={"merged": source.book.account_id})
    write_books(session, [source.book, target.book])
    return Merged(seq, transfer_id, source.view(), target.view())


def _unmerge(merge: Merge, source: Work, target: Work, caller: Caller, reason: str) -> Merged:
    session, account_id = source.session, source.book.account_id
    came = sent_parcels(session, account_id, merge.account_seq)
    transfer_id, _ = _send(target, source, lambda book: still_there(book, came))
    merge.unmerged_seq = flows.change_status(source.book, source.moment, status="open")
    record_status(source, caller, merge.unmerged_seq, "merged", reason_code="unmerged", reason=reason)
    moving.move_back(source, target, merge.moved_identifiers)
    target.decide(DecisionKind.IDENTIFIER, {"unmerged": account_id})
    audit.record(
        session, account_id=target.book.account_id, action="account.unmerge", detail={"unmerged": account_id}
    )
    write_books(session, [source.book, target.book])
    return Merged(merge.account_seq, transfer_id, source.view(), target.view())


def _send(sender: Work, receiver: Work, choose: Callable[[Book], Sequence[Parcel]]) -> tuple[uuid.UUID, int]:
    """Send the chosen parcels, after what is due today has matured and expired; returns transfer and decision."""
    flows.mature(sender.book, sender.moment)
    flows.expire(sender.book, sender.moment)
    transfer_id = new_uuid()
    seq = transfer_out(
        sender.book,
        sender.moment,
        transfer_id=transfer_id,
        counterpart_account_id=receiver.book.account_id,
        parcels=choose(sender.book),
    )
    return transfer_id, seq


def still_there(book: Book, came: Sequence[Parcel]) -> list[Parcel]:
    """Return the part of what came with a merger that the account still has.

    A pending award that has matured since is looked for among what is available of its lot; what settled a due
    amount that came along is not there any more.
    """
    left = dict(book.balances)
    waiting: list[tuple[int, int, date | None]] = [
        (award.lot_no, award.amount, award.matures_on) for award in book.pending_awards().values()
    ]
    due = sum(parcel.amount for parcel in came if parcel.kind == DUE_KEY[1])
    settled = due - min(due, book.clawback_due)
    parcels = []
    for parcel in sorted(came, key=_order):
        lot_no = _lot_no(book, parcel)
        if parcel.kind == PENDING and (lot_no, parcel.amount, parcel.matures_on) in waiting:
            waiting.remove((lot_no, parcel.amount, parcel.matures_on))
            parcels.append(parcel)
            continue
        kind = AVAILABLE if parcel.kind == PENDING else parcel.kind
        spent = min(settled, parcel.amount) if kind == AVAILABLE else 0
        settled -= spent
        amount = min(parcel.amount - spent, left.get((parcel.unit_id, kind, lot_no), 0))
        if amount:
            left[parcel.unit_id, kind, lot_no] -= amount
            parcels.append(replace(parcel, kind=kind, amount=amount, matures_on=None))
    return parcels


def _order(parcel: Parcel) -> tuple[bool, date]:
    """Put first what still waits, because only the rest of it is looked for elsewhere; then in burn order."""
    return parcel.kind != PENDING, parcel.expires_on or date.max


def _lot_no(book: Book, parcel: Parcel) -> int:
    if parcel.expires_on is None:
        return 0
    return book.lot_numbers.get((CREDIT, parcel.batch, parcel.expires_on), -1)
