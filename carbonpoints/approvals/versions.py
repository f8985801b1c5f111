"""Versions as stored: the truth about what is in force, and what we held to be in force when (M10).

A version holds in the world during `valid` and was held by us during `known`. All reads are here;
`carbonpoints.approvals.writing` writes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.orm import Session

from carbonpoints.approvals.models import Version
from carbonpoints.core.crypto import SUITE
from carbonpoints.core.db import raw_connection


class VersionKind(StrEnum):
    """What has versions.

    A `proposal` is what a change request would put in force; its code is the number of the change request.
    """

    PROGRAMME = "programme"
    FACTOR = "factor"
    BEHAVIOUR = "behaviour"
    RULE = "rule"
    SHARED_CAP = "shared_cap"
    CAMPAIGN = "campaign"
    BUDGET = "budget"
    RESTATEMENT = "restatement"
    FEED_PROFILE = "feed_profile"
    AGREEMENT = "agreement"
    PROPOSAL = "proposal"


Key = tuple[VersionKind, str]
"""What something is a version of."""

TimeRange = tuple[datetime | None, datetime | None]
"""From an instant until before another; None is no bound."""


def ranges_overlap(one: TimeRange, other: TimeRange) -> bool:
    """Whether the two have an instant in common."""
    return _starts_before(one[0], other[1]) and _starts_before(other[0], one[1])


def range_without(one: TimeRange, other: TimeRange) -> list[TimeRange]:
    """Return what is left of `one` before and after `other`."""
    if not ranges_overlap(one, other):
        return [one]
    parts: list[TimeRange] = []
    if other[0] is not None and (one[0] is None or one[0] < other[0]):
        parts.append((one[0], other[0]))
    if other[1] is not None and (one[1] is None or other[1] < one[1]):
        parts.append((other[1], one[1]))
    return parts


def range_within(one: TimeRange, other: TimeRange) -> TimeRange | None:
    """Return what the two have in common; None when that is nothing."""
    if not ranges_overlap(one, other):
        return None
    starts = [start for start in (one[0], other[0]) if start is not None]
    ends = [end for end in (one[1], other[1]) if end is not None]
    return max(starts, default=None), min(ends, default=None)


def _starts_before(start: datetime | None, end: datetime | None) -> bool:
    return start is None or end is None or start < end


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """One version row. Ranges include their start and exclude their end; None is no bound."""

    version_id: int
    programme_id: int
    kind: VersionKind
    code: str
    version_no: int
    """Counts from 1 within (programme, kind, code)."""
    content: Mapping[str, Any]
    content_hash: bytes
    valid_from: datetime | None
    valid_to: datetime | None
    known_from: datetime
    known_to: datetime | None
    change_request_id: int

    @property
    def key(self) -> Key:
        """What it is a version of."""
        return self.kind, self.code

    @property
    def valid(self) -> TimeRange:
        """When it holds in the world."""
        return self.valid_from, self.valid_to

    def holds_at(self, instant: datetime) -> bool:
        """Whether it holds in the world at `instant`."""
        return (self.valid_from is None or self.valid_from <= instant) and (
            self.valid_to is None or instant < self.valid_to
        )


class VersionMark(NamedTuple):
    """Changes whenever the set of current versions does: compare for equality only.

    Version numbers rise in the order of commits, because a change locks its programme first; between two
    inserts versions can only cease to be current.
    """

    highest_version_id: int
    current: int
    """How many there are."""


def content_hash(content: Any) -> bytes:
    """Return the hash of content in canonical JSON: the same content has the same hash, in any key order."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return SUITE.digest(text.encode())


def _stored(row: Version) -> StoredVersion:
    assert row.known.lower is not None  # noqa: S101 - every row is written with the instant it became known
    return StoredVersion(
        version_id=row.version_id,
        programme_id=row.programme_id,
        kind=VersionKind(row.kind),
        code=row.code,
        version_no=row.version_no,
        content=row.content,
        content_hash=row.content_hash,
        valid_from=row.valid.lower,
        valid_to=row.valid.upper,
        known_from=row.known.lower,
        known_to=row.known.upper,
        change_request_id=row.change_request_id,
    )


def _read(session: Session, query: Select[Version]) -> tuple[StoredVersion, ...]:
    # A row that this session has seen before may have ended since: read it again.
    rows = session.scalars(query.execution_options(populate_existing=True))
    return tuple(_stored(row) for row in rows)


def current_versions(
    session: Session, programme_id: int, kind: VersionKind, *, known_at: datetime | None = None
) -> tuple[StoredVersion, ...]:
    """Return what we hold to be in force, ahead of us and behind us, by code and start of validity.

    With `known_at`, what we held then: decisions of that instant rest on it.
    """
    known = func.upper_inf(Version.known) if known_at is None else Version.known.contains(known_at)
    return _read(
        session,
        select(Version)
        .where(Version.programme_id == programme_id, Version.kind == kind, known)
        .order_by(Version.code, Version.valid),
    )


def read_versions(session: Session, version_ids: Collection[int]) -> dict[int, StoredVersion]:
    """Return these versions by number, whether current or not; unknown numbers are absent."""
    found = _read(session, select(Version).where(Version.version_id.in_(version_ids)))
    return {version.version_id: version for version in found}


def list_versions(
    session: Session,
    programme_id: int,
    kind: VersionKind,
    *,
    valid_at: datetime | None = None,
    known_at: datetime | None = None,
    after: tuple[str, int] | None = None,
    limit: int,
) -> tuple[StoredVersion, ...]:
    """Return current versions by code and number, at most `limit` of them, those after (code, number) if given.

    With `known_at`, what we held then; with `valid_at`, of these the versions that hold at that instant.
    """
    known = func.upper_inf(Version.known) if known_at is None else Version.known.contains(known_at)
    query = select(Version).where(Version.programme_id == programme_id, Version.kind == kind, known)
    if valid_at is not None:
        query = query.where(Version.valid.contains(valid_at))
    if after is not None:
        query = query.where(tuple_(Version.code, Version.version_no) > after)
    return _read(session, query.order_by(Version.code, Version.version_no).limit(limit))


def version_history(
    session: Session, programme_id: int, kind: VersionKind, code: str
) -> tuple[StoredVersion, ...]:
    """Return every version that a code ever had, by number."""
    return _read(
        session,
        select(Version)
        .where(Version.programme_id == programme_id, Version.kind == kind, Version.code == code)
        .order_by(Version.version_no),
    )


_MARK = """
SELECT coalesce(max(version_id), 0), count(*) FROM version
WHERE programme_id = %s AND kind = ANY(%s) AND upper_inf(known)
"""
_MARKS = """
SELECT p.programme_id, v.kind, coalesce(max(v.version_id), 0), count(v.version_id) FROM programme p
LEFT JOIN version v ON v.programme_id = p.programme_id AND v.kind = ANY(%s) AND upper_inf(v.known)
WHERE p.bank_id = %s AND (%s::text IS NULL OR p.code = %s)
GROUP BY p.programme_id, v.kind
"""


def version_mark(session: Session, programme_id: int, kinds: Iterable[VersionKind]) -> VersionMark:
    """Return the mark of the current versions of these kinds: one indexed query, cheap enough per use."""
    wanted = [kind.value for kind in kinds]
    row = raw_connection(session).execute(_MARK, (programme_id, wanted)).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has a row
    return VersionMark(*row)


@dataclass(frozen=True)
class MarkedProgramme:
    """A programme and the marks of its current versions, read together."""

    programme_id: int
    _marks: Mapping[str, VersionMark]

    def mark(self, kinds: Iterable[VersionKind]) -> VersionMark:
        """Return what `version_mark` would."""
        marks = [self._marks[kind] for kind in kinds if kind in self._marks]
        return VersionMark(
            max((mark.highest_version_id for mark in marks), default=0), sum(mark.current for mark in marks)
        )


def marked_programmes(
    session: Session, bank_id: int, code: str | None, kinds: Iterable[VersionKind]
) -> list[MarkedProgramme]:
    """Return a bank's programmes, or the one with this code, with the marks of these kinds: one query."""
    wanted = [kind.value for kind in kinds]
    marks: dict[int, dict[str, VersionMark]] = {}
    for programme_id, kind, *mark in raw_connection(session).execute(_MARKS, (wanted, bank_id, code, code)):
        marks.setdefault(programme_id, {})[kind] = VersionMark(*mark)
    return [MarkedProgramme(programme_id, found) for programme_id, found in marks.items()]


def mark_of(versions: Collection[StoredVersion]) -> VersionMark:
    """Return the mark of versions that are all the current ones of their kinds."""
    return VersionMark(max((version.version_id for version in versions), default=0), len(versions))
