"""Holders, their identifiers and linked bank accounts, consents, status changes, reviews (M2, M8, M11, M23).

Values of identifiers are kept as keyed hashes. `identity_*` tables answer "whose is it?" and are keyed by the
hash; the account's own tables answer "what does this holder have?".
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from carbonpoints.core.db import Model, distributed_by

Instant = DateTime(timezone=True)


class Holder(Model):
    """The person or enterprise that holds the account. One account per holder and programme."""

    __tablename__ = "holder"
    __table_args__ = (distributed_by("account"),)

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    born_on: Mapped[date | None]
    """Only asked where the programme must tell minors apart; erased with the holder's data."""
    guardian_consent_at: Mapped[datetime | None] = mapped_column(Instant)
    deceased_on: Mapped[date | None]
    name: Mapped[str | None] = mapped_column(Text)
    """An enterprise's public name; null for natural persons."""


class HolderIdentifier(Model):
    """An identifier of a holder: scheme, keyed value, masked value, from when to when."""

    __tablename__ = "holder_identifier"
    __table_args__ = (
        CheckConstraint("scheme IN ('CUSTOMER_REF','USCC','LEI','ISIN','DEMO')", name="scheme"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    identifier_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    scheme: Mapped[str] = mapped_column(Text)
    identity_hash: Mapped[bytes] = mapped_column(LargeBinary)
    masked_value: Mapped[str] = mapped_column(Text)
    valid_from: Mapped[datetime] = mapped_column(Instant)
    valid_to: Mapped[datetime | None] = mapped_column(Instant)


class IdentityHolder(Model):
    """Whose an identifier is, and when; one holder at a time (M8)."""

    __tablename__ = "identity_holder"
    __table_args__ = (
        ExcludeConstraint(
            ("identity_hash", "="), ("valid", "&&"), name="ex_identity_holder_one_at_a_time", using="gist"
        ),
        distributed_by("identity"),
    )

    identity_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    valid_from: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    valid: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    account_id: Mapped[int] = mapped_column(BigInteger)


class LinkedAccount(Model):
    """A bank account that a holder owns or may use."""

    __tablename__ = "linked_account"
    __table_args__ = (
        CheckConstraint("relation IN ('owner','authorised_user')", name="relation"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    identity_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    relation: Mapped[str] = mapped_column(Text)
    masked_value: Mapped[str] = mapped_column(Text)
    linked_at: Mapped[datetime] = mapped_column(Instant)
    unlinked_at: Mapped[datetime | None] = mapped_column(Instant)


class IdentityBankAccount(Model):
    """Who owns or may use a bank account, and when, by the keyed hash of its number; one owner at a time (M8)."""

    __tablename__ = "identity_bank_account"
    __table_args__ = (
        CheckConstraint("relation IN ('owner','authorised_user')", name="relation"),
        ExcludeConstraint(
            ("identity_hash", "="),
            ("valid", "&&"),
            name="ex_identity_bank_account_one_owner",
            using="gist",
            where="relation = 'owner'",
        ),
        ExcludeConstraint(
            ("identity_hash", "="),
            ("account_id", "="),
            ("valid", "&&"),
            name="ex_identity_bank_account_one_link",
            using="gist",
        ),
        distributed_by("identity"),
    )

    identity_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    valid_from: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    valid: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    relation: Mapped[str] = mapped_column(Text)


class Consent(Model):
    """One giving or withdrawing of consent for one source, as decision `account_seq` (M11). Append-only."""

    __tablename__ = "consent"
    __table_args__ = (
        CheckConstraint("action IN ('given','withdrawn')", name="action"),
        CheckConstraint("(action = 'given') = (covers_from IS NOT NULL)", name="covers_from"),
        Index(None, "account_id", "source", "account_seq"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    covers_from: Mapped[datetime | None] = mapped_column(Instant)
    text_version: Mapped[str] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    recorded_at: Mapped[datetime] = mapped_column(Instant)


class StatusChange(Model):
    """One change of an account's status with its reason, as decision `account_seq`. Append-only."""

    __tablename__ = "status_change"
    __table_args__ = (distributed_by("account"),)

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    from_status: Mapped[str] = mapped_column(Text)
    to_status: Mapped[str] = mapped_column(Text)
    reason_code: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    actor_role: Mapped[str] = mapped_column(Text)
    actor_hash: Mapped[bytes] = mapped_column(LargeBinary)
    recorded_at: Mapped[datetime] = mapped_column(Instant)


class Merge(Model):
    """Two accounts that turned out to be one holder's: `account_id` went into `into_account_id` (M2)."""

    __tablename__ = "merge"
    __table_args__ = (distributed_by("account"),)

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    into_account_id: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)
    moved_identifiers: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    merged_at: Mapped[datetime] = mapped_column(Instant)
    unmerged_seq: Mapped[int | None] = mapped_column(BigInteger)


class Review(Model):
    """A risk check of an event, or of an account where no event is named, as decision `review_seq` (M23).

    What it began with stays, and an end is final: a trigger holds it.
    """

    __tablename__ = "review"
    __table_args__ = (
        Index(None, "programme_id", "opened_at", "account_id", "review_seq"),
        Index(
            "uq_review_open",
            "account_id",
            "event_hash",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        CheckConstraint("(event_hash IS NULL) = (event_seq IS NULL)", name="about"),
        CheckConstraint("outcome IN ('released','forfeited','reversed')", name="outcome"),
        CheckConstraint(
            "proposed_outcome IN ('released','forfeited') AND maker_person IS NOT NULL "
            "OR proposed_outcome IS NULL AND maker_person IS NULL",
            name="proposal",
        ),
        CheckConstraint("checker_person <> maker_person AND checker_person <> opened_by", name="four_eyes"),
        CheckConstraint(
            "(ended_at IS NULL) = (outcome IS NULL) AND (ended_at IS NULL) = (ended_seq IS NULL)",
            name="ended",
        ),
        CheckConstraint(
            "CASE WHEN outcome IN ('released','forfeited') "
            "THEN checker_person IS NOT NULL AND outcome IS NOT DISTINCT FROM proposed_outcome "
            "ELSE checker_person IS NULL END",
            name="confirmed",
        ),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    review_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    event_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    event_seq: Mapped[int | None] = mapped_column(BigInteger)
    """The event's decision when it was marked; a correction may have another one since."""
    reason_code: Mapped[str] = mapped_column(Text)
    opened_by: Mapped[str] = mapped_column(Text)
    """The person, or the subject of the system that marked it."""
    opened_at: Mapped[datetime] = mapped_column(Instant)
    step_count: Mapped[int] = mapped_column(SmallInteger)
    proposal_no: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    """How often an end was proposed: a checker confirms the proposal they saw."""
    proposed_outcome: Mapped[str | None] = mapped_column(Text)
    maker_person: Mapped[str | None] = mapped_column(Text)
    checker_person: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)
    """`reversed`: its source took the event back meanwhile."""
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_seq: Mapped[int | None] = mapped_column(BigInteger)
    """The decision that ended it."""


class ReviewStep(Model):
    """What was done in a review: by whom, when and why. Append-only; a trigger holds order and four eyes."""

    __tablename__ = "review_step"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "review_seq"], ["review.account_id", "review.review_seq"]),
        CheckConstraint("step IN ('opened','proposed','returned','confirmed','reversed')", name="step"),
        CheckConstraint("(outcome IS NOT NULL) = (step IN ('proposed','confirmed'))", name="outcome"),
        CheckConstraint("(person IS NULL) = (step = 'reversed')", name="taken_by_somebody"),
        CheckConstraint(r"step IN ('confirmed','reversed') OR coalesce(text, '') ~ '\S'", name="says_why"),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    review_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    step_no: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    step: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)
    person: Mapped[str | None] = mapped_column(Text)
    text: Mapped[str | None] = mapped_column(Text)
    taken_at: Mapped[datetime] = mapped_column(Instant)
