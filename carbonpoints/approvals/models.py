"""Change requests and versions (M10): one table of versions for every kind of thing an admin changes."""

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

from carbonpoints.core.db import Model, distributed_by

Instant = DateTime(timezone=True)


class ChangeRequest(Model):
    """One change to what the programme's admins own; maker and checker are different persons.

    `origin` is `shipped` for the first import of a file that comes with the product, `admin` otherwise. Of the
    states only `draft` and `active` are in use; the others are reserved.
    """

    __tablename__ = "change_request"
    __table_args__ = (
        CheckConstraint("maker_person <> checker_person", name="four_eyes"),
        CheckConstraint("state <> 'active' OR checker_person IS NOT NULL", name="active_is_checked"),
        CheckConstraint(
            "state IN ('draft','submitted','approved','scheduled','active','superseded','rejected','withdrawn')",
            name="state",
        ),
        CheckConstraint("origin IN ('shipped','admin')", name="origin"),
        distributed_by("reference"),
    )

    change_request_id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    programme_id: Mapped[int] = mapped_column(ForeignKey("programme.programme_id"))
    origin: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    maker_person: Mapped[str] = mapped_column(Text)
    checker_person: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Instant)
    decided_at: Mapped[datetime | None] = mapped_column(Instant)


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
