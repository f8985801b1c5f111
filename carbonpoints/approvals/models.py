"""Change requests with their steps and evidence, and versions (M10): one table for every kind of thing an admin changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column

from carbonpoints.approvals.lifecycle import (
    CHECKED,
    REASONED,
    Actor,
    State,
    allowed_steps_sql,
    listed,
    steps_of,
)
from carbonpoints.approvals.requirements import HISTORICAL, EvidenceKind, Result
from carbonpoints.core.db import Model, distributed_by

Instant = DateTime(timezone=True)


class ChangeRequest(Model):
    """One change to what the programme's admins own, from draft to what became of it.

    Its steps are the truth: `state` is where the last one led, and a trigger lets it be nothing else.
    `origin` is `shipped` for what comes with the product, `admin` otherwise.
    """

    __tablename__ = "change_request"
    __table_args__ = (
        CheckConstraint("maker_person <> checker_person", name="four_eyes"),
        CheckConstraint(
            f"state NOT IN {listed(CHECKED)} OR checker_person IS NOT NULL", name="active_is_checked"
        ),
        CheckConstraint(f"state IN {listed(State)}", name="state"),
        CheckConstraint("origin IN ('shipped','admin')", name="origin"),
        Index("ix_change_request_programme_id", "programme_id", "change_request_id"),
        distributed_by("reference"),
    )

    change_request_id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    origin: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    maker_person: Mapped[str] = mapped_column(Text)
    """Who drafted it; whoever edited or submitted it is a maker as well and stands in the steps."""
    checker_person: Mapped[str | None] = mapped_column(Text)
    """Who approved or rejected it."""
    created_at: Mapped[datetime] = mapped_column(Instant)
    decided_at: Mapped[datetime | None] = mapped_column(Instant)
    starts_at: Mapped[datetime | None] = mapped_column(Instant)
    """When the first of its versions begins to hold, once it is approved; None is since ever."""
    rolls_back_id: Mapped[int | None] = mapped_column(ForeignKey("change_request.change_request_id"))


class ChangeStep(Model):
    """What was done to a change request: who, when, why, and each field before and after. Append-only.

    A trigger numbers them without a gap, lets each begin where the last one led, and refuses a decision by a person
    who drafted, edited or submitted the same change.
    """

    __tablename__ = "change_step"
    __table_args__ = (
        CheckConstraint(allowed_steps_sql(), name="allowed_step"),
        CheckConstraint(
            f"(person IS NULL) = (step IN {listed(steps_of(Actor.CLOCK))})", name="taken_by_somebody"
        ),
        CheckConstraint(f"step NOT IN {listed(REASONED)} OR coalesce(reason, '') ~ '\\S'", name="says_why"),
        distributed_by("reference"),
    )

    change_request_id: Mapped[int] = mapped_column(
        ForeignKey("change_request.change_request_id"), primary_key=True, autoincrement=False
    )
    step_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    step: Mapped[str] = mapped_column(Text)
    from_state: Mapped[str | None] = mapped_column(Text)
    to_state: Mapped[str] = mapped_column(Text)
    person: Mapped[str | None] = mapped_column(Text)
    """None where the clock took it."""
    reason: Mapped[str | None] = mapped_column(Text)
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Of the draft that the step is about; None for the first import of what comes with the product."""
    fields: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    """`field`, `before`, `after`: of a draft and an approval against what was in force, of an edit against the draft."""
    request_id: Mapped[str | None] = mapped_column(Text)
    taken_at: Mapped[datetime] = mapped_column(Instant)


class ChangeEvidence(Model):
    """What was found out about one draft of a change request. Append-only: the latest of a kind counts.

    It holds for the draft with this content only: an edit leaves it behind.
    """

    __tablename__ = "change_evidence"
    __table_args__ = (
        CheckConstraint(f"kind IN {listed(EvidenceKind)}", name="kind"),
        CheckConstraint(f"result IN {listed(Result)}", name="result"),
        CheckConstraint(
            f"result <> '{Result.NO_HISTORY_YET}' OR kind IN {listed(HISTORICAL)}", name="history"
        ),
        distributed_by("reference"),
    )

    change_request_id: Mapped[int] = mapped_column(
        ForeignKey("change_request.change_request_id"), primary_key=True, autoincrement=False
    )
    evidence_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    result: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    person: Mapped[str | None] = mapped_column(Text)
    """Who asked for it; None where nobody did."""
    made_at: Mapped[datetime] = mapped_column(Instant)


class Version(Model):
    """A version of a factor, behaviour type, rule, feed profile or programme setting.

    `valid` is when it holds in the world, `known` when we held it to be so: at any (valid, known) point a
    code has one version at the most. An active version is never overwritten; only the end of `known` is set.
    """

    __tablename__ = "version"
    __table_args__ = (
        UniqueConstraint("programme_id", "kind", "code", "version_no"),
        ExcludeConstraint(
            ("programme_id", "="),
            ("kind", "="),
            ("code", "="),
            ("valid", "&&"),
            ("known", "&&"),
            name="ex_version_one_at_a_time",
            using="gist",
        ),
        CheckConstraint("NOT isempty(valid) AND NOT isempty(known)", name="ranges_not_empty"),
        Index("ix_version_current", "programme_id", "kind", postgresql_where=text("upper_inf(known)")),
        Index("ix_version_change_request_id", "change_request_id"),
        distributed_by("reference"),
    )

    version_id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    kind: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(Text)
    version_no: Mapped[int] = mapped_column(Integer)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    valid: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    known: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)
    change_request_id: Mapped[int] = mapped_column(ForeignKey("change_request.change_request_id"))
    created_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class RulePin(Model):
    """The exact versions a decision used, once per combination: a rule, its behaviour type and its factors.

    The terms are the shared caps and campaigns of the time.
    """

    __tablename__ = "rule_pin"
    __table_args__ = (UniqueConstraint("pin_hash"), distributed_by("reference"))

    pin_id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    pin_hash: Mapped[bytes] = mapped_column(LargeBinary)
    behaviour_version_id: Mapped[int] = mapped_column(ForeignKey("version.version_id"))
    rule_version_id: Mapped[int | None] = mapped_column(ForeignKey("version.version_id"))
    factor_version_ids: Mapped[list[int]] = mapped_column(JSONB)
    term_version_ids: Mapped[list[int]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
