"""Tables every domain stands on: bank, programme, idempotency keys, outbox, audit, test clock."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column

from carbonpoints.core.db import Model, distributed_by

Instant = DateTime(timezone=True)


class Bank(Model):
    """A bank; the `iss` of its tokens names it (M1)."""

    __tablename__ = "bank"
    __table_args__ = (UniqueConstraint("code"), UniqueConstraint("issuer"), distributed_by("reference"))

    bank_id: Mapped[int] = mapped_column(SmallInteger, Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(Text)
    issuer: Mapped[str] = mapped_column(Text)
    name_en: Mapped[str] = mapped_column(Text)
    name_zh: Mapped[str] = mapped_column(Text)


class Programme(Model):
    """A programme of a bank: its time zone and currency never change; its settings are versions (M1, M10)."""

    __tablename__ = "programme"
    __table_args__ = (UniqueConstraint("bank_id", "code"), distributed_by("reference"))

    programme_id: Mapped[int] = mapped_column(SmallInteger, Identity(), primary_key=True)
    bank_id: Mapped[int] = mapped_column(ForeignKey("bank.bank_id"))
    code: Mapped[str] = mapped_column(Text)
    name_en: Mapped[str] = mapped_column(Text)
    name_zh: Mapped[str] = mapped_column(Text)
    time_zone: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text)


class IdempotencyKey(Model):
    """A key of one caller about one account, with the hash of the body and the first answer (M18)."""

    __tablename__ = "idempotency_key"
    __table_args__ = (distributed_by("account"),)

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    caller_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """Keyed hash of (`iss`, `sub`)."""
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(Instant)


class OutboxMessage(Model):
    """A side effect that leaves after commit, in the order of its account (M18)."""

    __tablename__ = "outbox_message"
    __table_args__ = (
        Index(
            "ix_outbox_message_waiting",
            "bucket",
            "account_id",
            "account_seq",
            "message_no",
            postgresql_where="delivered_at IS NULL",
        ),
        CheckConstraint("bucket BETWEEN 0 AND 63", name="bucket_range"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    account_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    message_no: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    topic: Mapped[str] = mapped_column(Text)
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(Instant)
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(Instant)
    last_error: Mapped[str | None] = mapped_column(Text)
    delivered_at: Mapped[datetime | None] = mapped_column(Instant)


class OutboxLease(Model):
    """Which worker delivers a bucket, and until when."""

    __tablename__ = "outbox_lease"
    __table_args__ = (distributed_by("reference"),)

    bucket: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    owner: Mapped[str | None] = mapped_column(Text)
    leased_until: Mapped[datetime | None] = mapped_column(Instant)


class AuditRecord(Model):
    """Who did or read what, when and for which purpose (M21); `account_id` 0 means no account."""

    __tablename__ = "audit_record"
    __table_args__ = (Index(None, "account_id", "recorded_at"), distributed_by("account"))

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    audit_id: Mapped[uuid.UUID] = mapped_column(UUID, primary_key=True)
    recorded_at: Mapped[datetime] = mapped_column(Instant)
    bank_id: Mapped[int] = mapped_column(SmallInteger)
    actor_hash: Mapped[bytes] = mapped_column(LargeBinary)
    actor_role: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)


class TestClock(Model):
    """The instant the test clock is set to; never present in production."""

    __test__ = False
    __tablename__ = "test_clock"
    __table_args__ = (CheckConstraint("one_row", name="one_row"), distributed_by("reference"))

    one_row: Mapped[bool] = mapped_column(primary_key=True, default=True)
    fixed_at: Mapped[datetime] = mapped_column(Instant)
