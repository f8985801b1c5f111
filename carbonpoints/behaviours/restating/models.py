"""The tables of restatements: how far posting has come."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from carbonpoints.core.db import Model, distributed_by

Instant = DateTime(timezone=True)


class RestatementRun(Model):
    """An approved restatement on its way into the accounts; this row is the truth about it (M19)."""

    __tablename__ = "restatement_run"
    __table_args__ = (
        CheckConstraint("(finished_at IS NULL) = (posted IS NULL)", name="finished_has_posted"),
        Index(
            "ix_restatement_run_open",
            "approved_at",
            "version_id",
            postgresql_where=text("finished_at IS NULL"),
        ),
        distributed_by("reference"),
    )

    version_id: Mapped[int] = mapped_column(
        ForeignKey("version.version_id"), primary_key=True, autoincrement=False
    )
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    approved_at: Mapped[datetime] = mapped_column(Instant)
    """What was held then to have been in force judges the acts."""
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    posted: Mapped[dict[str, int] | None] = mapped_column(JSONB(none_as_null=True))


class RestatementPartition(Model):
    """A range of accounts that is restated in one transaction; `posted` is null until it was."""

    __tablename__ = "restatement_partition"
    __table_args__ = (
        Index(
            "ix_restatement_partition_open",
            "version_id",
            "partition_no",
            postgresql_where=text("posted IS NULL"),
        ),
        distributed_by("reference"),
    )

    version_id: Mapped[int] = mapped_column(ForeignKey("restatement_run.version_id"), primary_key=True)
    partition_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    first_account_id: Mapped[int] = mapped_column(BigInteger)
    last_account_id: Mapped[int] = mapped_column(BigInteger)
    posted: Mapped[dict[str, int] | None] = mapped_column(JSONB(none_as_null=True))
