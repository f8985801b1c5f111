"""Transfers between two accounts of one holder (M17): out of one book, into another, never both at once. Pure.

`transfer_out` takes value off one account; writing its book also writes the outbox message that brings the value
into the other, so that the two accounts are never locked together. What has left and not arrived is in transit.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from carbonpoints.ledger.book import (
    AVAILABLE,
    DUE_KEY,
    HELD,
    PENDING,
    Book,
    Moment,
    Parcel,
    PendingAward,
    TransferLeg,
    movement,
)
from carbonpoints.ledger.chart import DecisionKind, Flow, Kind, Unit
from carbonpoints.ledger.errors import InsufficientCredits
from carbonpoints.ledger.flows import add_pending, decide_now, drop_pending, settle

TRANSFER_TOPIC = "ledger.transfer_in"
"""The outbox message that brings a transfer into its second account."""


def dump_parcels(parcels: Sequence[Parcel]) -> list[dict[str, Any]]:
    """Return parcels as JSON values."""
    return [
        {
            "unit_id": parcel.unit_id,
            "kind": parcel.kind,
            "amount": parcel.amount,
            "batch": parcel.batch,
            "expires_on": parcel.expires_on.isoformat() if parcel.expires_on else None,
            "matures_on": parcel.matures_on.isoformat() if parcel.matures_on else None,
        }
        for parcel in parcels
    ]


def load_parcels(values: Sequence[Mapping[str, Any]]) -> list[Parcel]:
    """Return what `dump_parcels` gave."""
    return [
        Parcel(
            value["unit_id"],
            value["kind"],
            value["amount"],
            value["batch"],
            date.fromisoformat(value["expires_on"]) if value["expires_on"] else None,
            date.fromisoformat(value["matures_on"]) if value["matures_on"] else None,
        )
        for value in values
    ]


def everything(book: Book) -> list[Parcel]:
    """Return the parcels of all that an account has, for a merger; what is held stays with its holds."""
    parcels = []
    for (unit_id, kind, lot_no), amount in sorted(book.balances.items()):
        if not amount or kind in {PENDING, HELD}:
            continue
        lot = book.lots.get(lot_no)
        parcels.append(
            Parcel(unit_id, kind, amount, lot.batch if lot else None, lot.expires_on if lot else None)
        )
    for award in book.pending_awards().values():
        lot = book.lots[award.lot_no]
        parcels.append(
            Parcel(int(Unit.CREDIT), PENDING, award.amount, lot.batch, lot.expires_on, award.matures_on)
        )
    return parcels


def transfer_out(
    book: Book,
    moment: Moment,
    *,
    transfer_id: uuid.UUID,
    counterpart_account_id: int,
    parcels: Sequence[Parcel],
) -> int:
    """Send parcels to another account of the same holder; returns the decision's number (M17).

    Writing the book also writes the outbox message that brings them in. Raises InsufficientCredits when the
    account does not have a parcel.
    """
    seq = decide_now(book, moment, DecisionKind.TRANSFER, trace={"transfer_id": str(transfer_id)})
    for parcel in parcels:
        lot_no = 0
        if parcel.expires_on is not None:
            lot_no = book.lot_number(parcel.batch, parcel.expires_on)
        if book.balances.get((parcel.unit_id, parcel.kind, lot_no), 0) < parcel.amount:
            raise InsufficientCredits
        if parcel.kind == PENDING:
            drop_pending(book, _pending_like(book, lot_no, parcel))
        out = movement(Flow.TRANSFER_OUT, Unit(parcel.unit_id), Kind(parcel.kind), Kind.IN_TRANSIT)
        book.move(moment, seq, moment.booked_at, out, lot_no=lot_no, amount=parcel.amount)
    book.legs.append(
        TransferLeg(transfer_id, "out", counterpart_account_id, seq, tuple(parcels), moment.booked_at)
    )
    return seq


def _pending_like(book: Book, lot_no: int, parcel: Parcel) -> PendingAward:
    for award in book.pending_awards().values():
        if (award.lot_no, award.amount, award.matures_on) == (lot_no, parcel.amount, parcel.matures_on):
            return award
    raise InsufficientCredits


def transfer_in(
    book: Book,
    moment: Moment,
    *,
    transfer_id: uuid.UUID,
    counterpart_account_id: int,
    parcels: Sequence[Parcel],
) -> int:
    """Receive the parcels of a transfer; what is due here or comes along is settled from what they bring."""
    seq = decide_now(book, moment, DecisionKind.TRANSFER, trace={"transfer_id": str(transfer_id)})
    # What is due comes first, so that the available parcels settle it.
    for parcel in sorted(parcels, key=lambda each: each.kind != DUE_KEY[1]):
        lot_no = 0
        if parcel.expires_on is not None:
            lot_no = book.lot_number(parcel.batch, parcel.expires_on)
        into = movement(Flow.TRANSFER_IN, Unit(parcel.unit_id), Kind.IN_TRANSIT, Kind(parcel.kind))
        entry_seq = book.move(moment, seq, moment.booked_at, into, lot_no=lot_no, amount=parcel.amount)
        if parcel.matures_on is not None:
            add_pending(book, PendingAward(entry_seq, lot_no, parcel.amount, parcel.matures_on))
        elif parcel.kind == AVAILABLE:
            settle(book, moment, seq, lot_no, parcel.amount)
    book.legs.append(
        TransferLeg(transfer_id, "in", counterpart_account_id, seq, tuple(parcels), moment.booked_at)
    )
    return seq
