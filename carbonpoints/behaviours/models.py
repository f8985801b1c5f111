"""Events in: identities and claims, payloads, usage, appeals, feed jobs (M8, M9, M14 to M16, M19)."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE, UUID, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from carbonpoints.core.db import Model, distributed_by

Instant = DateTime(timezone=True)


class EventSource(Model):
    """The number that stands for a CloudEvents `source` in decisions; the programme's settings say the rest."""

    __tablename__ = "event_source"
    __table_args__ = (UniqueConstraint("programme_id", "uri"), distributed_by("reference"))

    source_id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    uri: Mapped[str] = mapped_column(Text)


class IdentityEvent(Model):
    """Which account an event (source and id) went to, claimed before it is decided (M8)."""

    __tablename__ = "identity_event"
    __table_args__ = (distributed_by("identity"),)

    event_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInteger)


class IdentityClaim(Model):
    """One act at a point in time, a transaction, claimed once: its fingerprint without the person (M14).

    A claim that is released is deleted, so that its act can be claimed again.
    """

    __tablename__ = "identity_claim"
    __table_args__ = (
        CheckConstraint("state IN ('claimed','released')", name="state"),
        distributed_by("identity"),
    )

    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    event_hash: Mapped[bytes] = mapped_column(LargeBinary)
    """The event that claims it."""
    account_id: Mapped[int] = mapped_column(BigInteger)
    key_version: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[str] = mapped_column(Text, server_default="claimed", default="claimed")


class IdentityIntervalClaim(Model):
    """One act that takes time, a trip or a meter period: no two claims of one fingerprint overlap (M14)."""

    __tablename__ = "identity_interval_claim"
    __table_args__ = (
        ExcludeConstraint(
            ("fingerprint", "="),
            ("during", "&&"),
            name="ex_identity_interval_claim",
            using="gist",
            where=text("state = 'claimed'"),
        ),
        CheckConstraint("state IN ('claimed','released')", name="state"),
        distributed_by("identity"),
    )

    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    event_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInteger)
    during: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    key_version: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[str] = mapped_column(Text, server_default="claimed", default="claimed")


class IdentityReversal(Model):
    """Which reversal takes an event back, claimed before either is decided: an event is reversed once (M8, M9)."""

    __tablename__ = "identity_reversal"
    __table_args__ = (distributed_by("identity"),)

    event_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """The event that is taken back, whether it has come or not."""
    reversal_hash: Mapped[bytes] = mapped_column(LargeBinary)


class IdentityUndecided(Model):
    """An event that was not decided: only its keyed identity, reason and time remain, for 90 days (M11)."""

    __tablename__ = "identity_undecided"
    __table_args__ = (Index(None, "received_at"), distributed_by("identity"))

    event_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(BigInteger)
    source_id: Mapped[int | None] = mapped_column(Integer)
    disposition: Mapped[int] = mapped_column(SmallInteger)
    received_at: Mapped[datetime] = mapped_column(Instant)


class EventPayload(Model):
    """The inputs of a decision, the only place where they are kept; erasure and retention may delete it (M15)."""

    __tablename__ = "event_payload"
    __table_args__ = (distributed_by("account"),)

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    content: Mapped[str] = mapped_column(Text)
    """Canonical JSON, exactly the bytes under the commitment: source, id, type, time, data."""


class Usage(Model):
    """What an account has used in one period of one scope, for caps and counters (M7, M23).

    Awards, mg and millicredits are for the caps; an award of zero uses nothing.
    """

    __tablename__ = "usage"
    __table_args__ = (
        CheckConstraint("period IN ('day','month','year')", name="period"),
        CheckConstraint(
            "awards >= 0 AND reduction_mg >= 0 AND amount_millicredits >= 0", name="not_negative"
        ),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    """The rule's code; a scope of its own so that a cap may one day be shared by several rules."""
    period: Mapped[str] = mapped_column(Text, primary_key=True)
    period_start: Mapped[date] = mapped_column(primary_key=True)
    awards: Mapped[int] = mapped_column(Integer)
    reduction_mg: Mapped[int] = mapped_column(BigInteger)
    amount_millicredits: Mapped[int] = mapped_column(BigInteger)
    tallies: Mapped[dict[str, dict[str, str | int]] | None] = mapped_column(JSONB(none_as_null=True))
    """Counter code -> party or empty text -> count or exact decimal sum; null where no counter keeps one."""


class Appeal(Model):
    """A customer's one appeal about an event, and how it was resolved; an adjustment is two persons' (M10).

    Its words, `text`, `attachments` and `reason`, are personal data: erasure and retention may empty them (M15).
    """

    __tablename__ = "appeal"
    __table_args__ = (
        UniqueConstraint("account_id", "event_hash"),
        Index(None, "programme_id", "filed_at", "account_id", "appeal_no"),
        Index(
            "ix_appeal_worded",
            "resolved_at",
            postgresql_where=text("text IS NOT NULL OR reason IS NOT NULL"),
        ),
        CheckConstraint("outcome IN ('rejected','upheld','adjusted')", name="outcome"),
        CheckConstraint("maker_person <> checker_person", name="four_eyes"),
        CheckConstraint("(outcome IS NULL) = (maker_person IS NULL)", name="outcome_is_made"),
        CheckConstraint("resolved_at IS NULL OR outcome IS NOT NULL", name="resolved_has_outcome"),
        CheckConstraint(
            "outcome IS DISTINCT FROM 'adjusted' OR resolved_at IS NULL "
            "OR checker_person IS NOT NULL AND adjustment_seq IS NOT NULL",
            name="adjustment_is_checked",
        ),
        CheckConstraint(
            "amount_millicredits >= 0 AND reduction_mg >= 0 "
            "AND (outcome IS NOT DISTINCT FROM 'adjusted') = (amount_millicredits + reduction_mg > 0)",
            name="adjustment_gives",
        ),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    appeal_no: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    event_hash: Mapped[bytes] = mapped_column(LargeBinary)
    event_seq: Mapped[int | None] = mapped_column(BigInteger)
    """The decision that the customer appealed against; null where the event was not decided."""
    disposition: Mapped[int] = mapped_column(SmallInteger)
    """As the event stood when the appeal was filed."""
    filed_at: Mapped[datetime] = mapped_column(Instant)
    text: Mapped[str | None] = mapped_column(Text)
    attachments: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    """References to what the customer handed in elsewhere."""
    proposal_no: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    """How often an outcome was put down: a checker confirms the one they saw."""
    outcome: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    amount_millicredits: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    reduction_mg: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    maker_person: Mapped[str | None] = mapped_column(Text)
    checker_person: Mapped[str | None] = mapped_column(Text)
    resolved_at: Mapped[datetime | None] = mapped_column(Instant)
    adjustment_seq: Mapped[int | None] = mapped_column(BigInteger)
    """The adjustment's decision."""


class FeedJob(Model):
    """One file of one feed: received, staged whole, credited in chunks; this row is the truth (M19)."""

    __tablename__ = "feed_job"
    __table_args__ = (
        CheckConstraint("state IN ('received','staged','done','failed')", name="state"),
        Index("ix_feed_job_open", "state", postgresql_where=text("state IN ('received','staged')")),
        distributed_by("reference"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(UUID, primary_key=True)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    profile_version_id: Mapped[int] = mapped_column(ForeignKey("version.version_id"))
    file_name: Mapped[str] = mapped_column(Text)
    file_bytes: Mapped[int] = mapped_column(BigInteger)
    file_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    spool_path: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(Instant)
    staged_at: Mapped[datetime | None] = mapped_column(Instant)
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    cut_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """How far the file is cut into segments, in bytes and in lines below the header."""
    cut_lines: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    segment_count: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    is_cut: Mapped[bool] = mapped_column(default=False, server_default="false")
    staged_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    line_count: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    event_count: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    filtered_count: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    refused_count: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    lookup_tables: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class FeedSegment(Model):
    """A part of a received file that is staged in one transaction: from byte to byte, after so many lines."""

    __tablename__ = "feed_segment"
    __table_args__ = (
        Index("ix_feed_segment_open", "job_id", "segment_no", postgresql_where=text("staged_at IS NULL")),
        distributed_by("reference"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("feed_job.job_id"), primary_key=True)
    segment_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    from_byte: Mapped[int] = mapped_column(BigInteger)
    to_byte: Mapped[int] = mapped_column(BigInteger)
    lines_before: Mapped[int] = mapped_column(BigInteger)
    record_count: Mapped[int] = mapped_column(Integer)
    staged_at: Mapped[datetime | None] = mapped_column(Instant)


class FeedChunk(Model):
    """A part of a staged file: the events of some accounts, in file order, and what became of them."""

    __tablename__ = "feed_chunk"
    __table_args__ = (
        Index("ix_feed_chunk_open", "job_id", "chunk_no", postgresql_where=text("outcome IS NULL")),
        distributed_by("reference"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("feed_job.job_id"), primary_key=True)
    chunk_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    event_count: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The staged events; emptied once they are decided."""
    outcome: Mapped[dict[str, int] | None] = mapped_column(JSONB(none_as_null=True))
    """How many events ended in each disposition; null until decided."""


class FeedRefusedLine(Model):
    """A line that is no event, with its number in the file and the reason."""

    __tablename__ = "feed_refused_line"
    __table_args__ = (distributed_by("reference"),)

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("feed_job.job_id"), primary_key=True)
    line_no: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(Text)
    field: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text)
