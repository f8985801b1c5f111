"""The ledger's tables (M3 to M7, M15 to M17). Nobody outside this package imports them.

An account's journal is one gap-free sequence, `account_seq`, shared by its decisions and its entries: a
decision takes a number, the entries it causes take the following ones. Replay and seal run in that order.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column

from carbonpoints.core.db import Model, distributed_by
from carbonpoints.ledger.chart import allowed_movements_sql

Instant = DateTime(timezone=True)
ACCOUNT_IDS = Sequence("account_id_seq", start=100_001, metadata=Model.metadata)


class Unit(Model):
    """A unit of account: CREDIT (booked in millicredits), MG_CO2E, CNY_FEN (M3)."""

    __tablename__ = "unit"
    __table_args__ = (UniqueConstraint("code"), distributed_by("reference"))

    unit_id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(Text)
    scale: Mapped[int] = mapped_column(SmallInteger)


class Account(Model):
    """The root row of an account: its programme, its status and the head of its journal.

    Every transaction on an account locks this row first.
    """

    __tablename__ = "account"
    __table_args__ = (
        Index(None, "programme_id", "account_id"),
        CheckConstraint("status IN ('open','frozen','closed','merged')", name="status"),
        CheckConstraint("holder_kind IN ('person','enterprise')", name="holder_kind"),
        CheckConstraint("last_seq >= 0", name="last_seq"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, server_default=text("nextval('account_id_seq')")
    )
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    holder_kind: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    last_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    last_booked_at: Mapped[datetime] = mapped_column(Instant)
    """Booking time never runs backwards inside an account."""
    opened_at: Mapped[datetime] = mapped_column(Instant)
    review_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """The open review of the account, or 0: a projection of its decisions."""


class Decision(Model):
    """Something decided about an account: an event, a consent, a status, a hold (M16). Append-only.

    Inputs are not here: they live in `event_payload`, which may be erased; `commitment` is the keyed MAC over
    them (M15). `trace` keeps, compactly, what the arithmetic needs beyond payload and pinned versions.
    """

    __tablename__ = "decision"
    __table_args__ = (
        UniqueConstraint("account_id", "event_hash", "revision"),
        # Reversals and refunds look for the few decisions that are no events.
        Index(
            "ix_decision_not_event", "account_id", "kind", "account_seq", postgresql_where=text("kind <> 2")
        ),
        CheckConstraint("account_seq > 0", name="account_seq"),
        CheckConstraint("reduction_mg >= 0 AND amount_millicredits >= 0", name="not_negative"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    occurred_at: Mapped[datetime] = mapped_column(Instant)
    received_at: Mapped[datetime] = mapped_column(Instant)
    booked_at: Mapped[datetime] = mapped_column(Instant)
    reduction_mg: Mapped[int] = mapped_column(BigInteger)
    amount_millicredits: Mapped[int] = mapped_column(BigInteger)
    pin_id: Mapped[int | None] = mapped_column(Integer)
    source_id: Mapped[int | None] = mapped_column(Integer)
    local_date: Mapped[date]
    business_date: Mapped[date]
    kind: Mapped[int] = mapped_column(SmallInteger)
    disposition: Mapped[int] = mapped_column(SmallInteger)
    revision: Mapped[int | None] = mapped_column(SmallInteger)
    event_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    commitment: Mapped[bytes | None] = mapped_column(LargeBinary)
    trace: Mapped[list[Any] | dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class Entry(Model):
    """One movement of a positive amount of one unit between two kinds of the same account (M4). Append-only.

    `cause_seq` is the decision that caused it; `lot_no` the lot it touches, 0 where a kind has no lots.
    """

    __tablename__ = "entry"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("from_kind <> to_kind", name="kinds_differ"),
        CheckConstraint("cause_seq < account_seq", name="cause_before"),
        CheckConstraint(allowed_movements_sql(), name="allowed_movement"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    occurred_at: Mapped[datetime] = mapped_column(Instant)
    booked_at: Mapped[datetime] = mapped_column(Instant)
    amount: Mapped[int] = mapped_column(BigInteger)
    cause_seq: Mapped[int] = mapped_column(BigInteger)
    business_date: Mapped[date]
    lot_no: Mapped[int] = mapped_column(Integer)
    unit_id: Mapped[int] = mapped_column(SmallInteger)
    flow: Mapped[int] = mapped_column(SmallInteger)
    from_kind: Mapped[int] = mapped_column(SmallInteger)
    to_kind: Mapped[int] = mapped_column(SmallInteger)


class Lot(Model):
    """Credits of one account, unit, batch and expiry month-end (M5). Its number is its order of creation."""

    __tablename__ = "lot"
    __table_args__ = (
        CheckConstraint("lot_no > 0", name="lot_no"),
        Index(
            "uq_lot_identity",
            "account_id",
            "unit_id",
            "batch",
            "expires_on",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    lot_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.unit_id"))
    batch: Mapped[str | None] = mapped_column(Text)
    """Null for behaviour; project, parcel, vintage and serial range for sinks."""
    expires_on: Mapped[date]
    created_seq: Mapped[int] = mapped_column(BigInteger)


class Balance(Model):
    """What a bounded kind of an account holds, per lot: a projection of the entries, never negative.

    `lot_no` is 0 for kinds without lots (reduction, clawback due).
    """

    __tablename__ = "balance"
    __table_args__ = (CheckConstraint("amount >= 0", name="not_negative"), distributed_by("account"))

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    unit_id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    lot_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    amount: Mapped[int] = mapped_column(BigInteger)


class BalanceSnapshot(Model):
    """All balances of an account after `account_seq`, written every thousand numbers: cost, never meaning."""

    __tablename__ = "balance_snapshot"
    __table_args__ = (Index(None, "account_id", "booked_at"), distributed_by("account"))

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    booked_at: Mapped[datetime] = mapped_column(Instant)
    balances: Mapped[list[list[int]]] = mapped_column(JSONB)
    """Rows [unit_id, kind, lot_no, amount]."""


class Hold(Model):
    """Credits set aside for one purpose; `hold_seq` is its decision's number. `open_amount` is what is still held."""

    __tablename__ = "hold"
    __table_args__ = (
        UniqueConstraint("account_id", "reference"),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("open_amount BETWEEN 0 AND amount", name="open_amount"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hold_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    unit_id: Mapped[int] = mapped_column(ForeignKey("unit.unit_id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    open_amount: Mapped[int] = mapped_column(BigInteger)
    reference: Mapped[str] = mapped_column(Text)
    """What the hold is for, unique in the account: an order's id."""
    placed_at: Mapped[datetime] = mapped_column(Instant)


class PendingAward(Model):
    """Part of an award, in one lot, that cannot be spent before `matures_on` (M23); gone once matured."""

    __tablename__ = "pending_award"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        Index(None, "matures_on", "account_id"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    award_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    unit_id: Mapped[int] = mapped_column(SmallInteger)
    lot_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    amount: Mapped[int] = mapped_column(BigInteger)
    matures_on: Mapped[date]
    review_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """The review of its event that holds it, or 0; one of the account holds all that the account has."""


class TransferLeg(Model):
    """One side of a movement between two accounts of one holder (M17): out first, in from the outbox."""

    __tablename__ = "transfer_leg"
    __table_args__ = (
        CheckConstraint("direction IN ('out','in')", name="direction"),
        Index(
            "ix_transfer_leg_sent_to", "counterpart_account_id", postgresql_where=text("direction = 'out'")
        ),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    transfer_id: Mapped[uuid.UUID] = mapped_column(UUID, primary_key=True)
    direction: Mapped[str] = mapped_column(Text, primary_key=True)
    counterpart_account_id: Mapped[int] = mapped_column(BigInteger)
    decision_seq: Mapped[int] = mapped_column(BigInteger)
    parcels: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    """What moves: unit, kind, batch, expiry and amount of each lot."""
    booked_at: Mapped[datetime] = mapped_column(Instant)


class SealBatch(Model):
    """A sealed batch: the root over its ranges, chained to the batch before (M15)."""

    __tablename__ = "seal_batch"
    __table_args__ = (UniqueConstraint("previous_root"), distributed_by("reference"))

    seal_batch_id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    sealed_at: Mapped[datetime] = mapped_column(Instant)
    suite: Mapped[str] = mapped_column(Text)
    range_count: Mapped[int] = mapped_column(BigInteger)
    row_count: Mapped[int] = mapped_column(BigInteger)
    previous_root: Mapped[bytes] = mapped_column(LargeBinary)
    root: Mapped[bytes] = mapped_column(LargeBinary)


class SealedRange(Model):
    """The numbers of one account that a batch covers, and the digest over their canonical bytes."""

    __tablename__ = "sealed_range"
    __table_args__ = (
        CheckConstraint("from_seq <= to_seq", name="range"),
        Index(None, "seal_batch_id", "account_id"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    from_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    to_seq: Mapped[int] = mapped_column(BigInteger)
    seal_batch_id: Mapped[int] = mapped_column(Integer)
    digest: Mapped[bytes] = mapped_column(LargeBinary)


class BudgetPeriod(Model):
    """A month or year of a programme's budget that was drawn on, with the limits its slices were cut by (M16)."""

    __tablename__ = "budget_period"
    __table_args__ = (
        UniqueConstraint("programme_id", "code", "starts_on"),
        CheckConstraint("starts_on <= ends_on", name="dates"),
        distributed_by("reference"),
    )

    budget_period_id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    code: Mapped[str] = mapped_column(Text)
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    """Both are business dates of the period."""
    version_id: Mapped[int] = mapped_column(Integer)
    known_version_id: Mapped[int] = mapped_column(Integer)
    """The highest version of the code that was known then."""
    limit_millicredits: Mapped[int | None] = mapped_column(BigInteger)
    limit_microfen: Mapped[int | None] = mapped_column(BigInteger)


class BudgetSlice(Model):
    """A part of a period that one transaction at a time draws on; a measure without a limit has no share."""

    __tablename__ = "budget_slice"
    __table_args__ = (
        CheckConstraint(
            "used_millicredits >= 0 AND used_millicredits <= share_millicredits", name="millicredits"
        ),
        CheckConstraint("used_microfen >= 0 AND used_microfen <= share_microfen", name="microfen"),
        distributed_by("reference"),
    )

    budget_period_id: Mapped[int] = mapped_column(
        ForeignKey("budget_period.budget_period_id"), primary_key=True
    )
    slice_no: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    share_millicredits: Mapped[int | None] = mapped_column(BigInteger)
    share_microfen: Mapped[int | None] = mapped_column(BigInteger)
    used_millicredits: Mapped[int] = mapped_column(BigInteger)
    used_microfen: Mapped[int] = mapped_column(BigInteger)


class BudgetBurn(Model):
    """What a slice gave out on a business date, less what came back of it; below zero where another slice gave it."""

    __tablename__ = "budget_burn"
    __table_args__ = (
        ForeignKeyConstraint(
            ["budget_period_id", "slice_no"], ["budget_slice.budget_period_id", "budget_slice.slice_no"]
        ),
        distributed_by("reference"),
    )

    budget_period_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    slice_no: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    business_date: Mapped[date] = mapped_column(primary_key=True)
    millicredits: Mapped[int] = mapped_column(BigInteger)
    microfen: Mapped[int] = mapped_column(BigInteger)
