"""Claims of acts beyond this bank's programmes: ours by key, the others' marks, and what left and came (M8, M14)."""

from __future__ import annotations

import uuid
from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import TSTZRANGE, UUID, Range
from sqlalchemy.orm import Mapped, mapped_column

from carbonpoints.core.db import Model, distributed_by

Instant = DateTime(timezone=True)


class IdentityExchangeAct(Model):
    """An act that an event claims here, by its key in one period of one agreement. Only under its customer's consent.

    It stands as long as the event does: of this revision, not reversed, and given something. An act at a point covers
    all times.
    """

    __tablename__ = "identity_exchange_act"
    __table_args__ = (
        Index(
            "ix_identity_exchange_act_fingerprint",
            "programme_id",
            "agreement",
            "period",
            "fingerprint",
        ),
        CheckConstraint("NOT isempty(during)", name="during"),
        distributed_by("identity"),
    )

    event_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    revision: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    during: Mapped[Range[datetime]] = mapped_column(TSTZRANGE, primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInteger)
    programme_id: Mapped[int] = mapped_column(SmallInteger)
    agreement: Mapped[str] = mapped_column(Text)
    period: Mapped[date]
    """First day of the month."""
    occurred_at: Mapped[datetime] = mapped_column(Instant)
    """What the consent must cover."""


class IdentityExchangeMark(Model):
    """Another programme's word that it has credited an act. Append-only."""

    __tablename__ = "identity_exchange_mark"
    __table_args__ = (
        CheckConstraint("NOT isempty(during)", name="during"),
        distributed_by("identity"),
    )

    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    import_id: Mapped[uuid.UUID] = mapped_column(UUID, primary_key=True)
    line_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    during: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)


class ExchangeImport(Model):
    """A file of marks that was taken over whole; the same file again is the same import. Append-only."""

    __tablename__ = "exchange_import"
    __table_args__ = (
        UniqueConstraint("programme_id", "agreement", "period", "file_hash"),
        distributed_by("reference"),
    )

    import_id: Mapped[uuid.UUID] = mapped_column(UUID, primary_key=True)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    agreement: Mapped[str] = mapped_column(Text)
    period: Mapped[date]
    file_hash: Mapped[bytes] = mapped_column(LargeBinary)
    marks: Mapped[int] = mapped_column(Integer)
    imported_at: Mapped[datetime] = mapped_column(Instant)
    person: Mapped[str] = mapped_column(Text)


class ExchangeExport(Model):
    """Leave to tell another programme the claims of one period, once: asked for, approved by another person, taken.

    What was written down never changes: a trigger lets each of the three steps be filled in once and in this order.
    """

    __tablename__ = "exchange_export"
    __table_args__ = (
        CheckConstraint("maker_person <> checker_person", name="four_eyes"),
        CheckConstraint("(checker_person IS NULL) = (approved_at IS NULL)", name="approved_by_somebody"),
        CheckConstraint(
            "(taken_at IS NULL) = (taken_by IS NULL) AND (taken_at IS NULL) = (marks IS NULL) "
            "AND (taken_at IS NULL) = (file_hash IS NULL)",
            name="taken_whole",
        ),
        CheckConstraint("taken_at IS NULL OR approved_at IS NOT NULL", name="taken_is_approved"),
        Index(None, "programme_id", "requested_at"),
        distributed_by("reference"),
    )

    export_id: Mapped[uuid.UUID] = mapped_column(UUID, primary_key=True)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    agreement: Mapped[str] = mapped_column(Text)
    period: Mapped[date]
    reason: Mapped[str] = mapped_column(Text)
    maker_person: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Instant)
    checker_person: Mapped[str | None] = mapped_column(Text)
    approved_at: Mapped[datetime | None] = mapped_column(Instant)
    taken_by: Mapped[str | None] = mapped_column(Text)
    taken_at: Mapped[datetime | None] = mapped_column(Instant)
    marks: Mapped[int | None] = mapped_column(Integer)
    file_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
