"""The tables of replays: back-tests, and past decisions that were run again."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column

from carbonpoints.core.db import Model, distributed_by

Instant = DateTime(timezone=True)


class BacktestRun(Model):
    """A draft held against the decisions of a past period; this row is the truth about it (M19).

    `first_day` and `last_day` are local dates, both included.
    """

    __tablename__ = "backtest_run"
    __table_args__ = (
        CheckConstraint("state IN ('running','done','cancelled')", name="state"),
        CheckConstraint("(state = 'done') = (report IS NOT NULL)", name="done_has_report"),
        CheckConstraint("first_day <= last_day", name="period"),
        Index("ix_backtest_run_open", "requested_at", "run_id", postgresql_where=text("state = 'running'")),
        Index(None, "change_request_id"),
        distributed_by("reference"),
    )

    run_id: Mapped[uuid.UUID] = mapped_column(UUID, primary_key=True)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    change_request_id: Mapped[int | None] = mapped_column(ForeignKey("change_request.change_request_id"))
    draft: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    """The versions proposed: kind, code, content and validity."""
    restatement: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Content of the restatement that is tried: the draft then takes its place as its versions say."""
    draft_hash: Mapped[bytes] = mapped_column(LargeBinary)
    first_day: Mapped[date]
    last_day: Mapped[date]
    state: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Instant)
    """What was held to be in force then stands beside the draft."""
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class BacktestPartition(Model):
    """A range of accounts that is replayed in one transaction; `totals` is null until it was."""

    __tablename__ = "backtest_partition"
    __table_args__ = (
        Index(
            "ix_backtest_partition_open", "run_id", "partition_no", postgresql_where=text("totals IS NULL")
        ),
        distributed_by("reference"),
    )

    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("backtest_run.run_id"), primary_key=True)
    partition_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    first_account_id: Mapped[int] = mapped_column(BigInteger)
    last_account_id: Mapped[int] = mapped_column(BigInteger)
    totals: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class BacktestAccount(Model):
    """What one account was really given in the period, and would have been; gone once the run has its report."""

    __tablename__ = "backtest_account"
    __table_args__ = (distributed_by("account"),)

    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("backtest_run.run_id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    events: Mapped[int] = mapped_column(BigInteger)
    baseline_awarded: Mapped[int] = mapped_column(BigInteger)
    baseline_millicredits: Mapped[int] = mapped_column(BigInteger)
    baseline_reduction_mg: Mapped[int] = mapped_column(BigInteger)
    draft_awarded: Mapped[int] = mapped_column(BigInteger)
    draft_millicredits: Mapped[int] = mapped_column(BigInteger)
    draft_reduction_mg: Mapped[int] = mapped_column(BigInteger)


class Reexecution(Model):
    """One past decision run again with its pinned versions: that it came out the same, or how it differs. Append-only."""

    __tablename__ = "reexecution"
    __table_args__ = (
        CheckConstraint("result IN ('same','differs','evidence_erased','not_judged')", name="result"),
        CheckConstraint("(result = 'differs') = (outcomes IS NOT NULL)", name="differs_has_outcomes"),
        Index(
            "ix_reexecution_differs", "executed_at", "account_id", postgresql_where=text("result = 'differs'")
        ),
        distributed_by("account"),
    )

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    executed_at: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    result: Mapped[str] = mapped_column(Text)
    outcomes: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """`recorded` and `replayed`, where they differ."""
