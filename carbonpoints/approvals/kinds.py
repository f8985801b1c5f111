"""What the packages above know about the kinds of versions: how content is read, and what checks it.

This package does not know what content means. The composition root hands over one `KnownKinds` for each package that
does; a new kind, or another check, is plugged in there without touching the life of a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, NamedTuple

from flask import Flask, current_app
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.requirements import EvidenceKind, Result
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.core.errors import FieldError, InvalidRequest

Reader = Callable[[ProposedVersion, tzinfo], ProposedVersion]
"""Reads what somebody asks for, in the programme's zone, into what is stored: every field spelled out, dates set.

Raises InvalidRequest that names fields of the item (`content.caps.0.count`, `valid_from`).
"""


class CheckFinding(NamedTuple):
    """One thing that a check found: where and what, and whether it stands in the way."""

    error: FieldError
    column: int = 0
    """Place in the field's expression, 1-based; 0 where there is none."""
    stops: bool = True


class Checked(NamedTuple):
    """What one check came to: what it found, what it worked out, and the result where findings do not give it."""

    findings: Sequence[CheckFinding] = ()
    details: Mapping[str, Any] = {}
    """JSON, by the place of the item it is about."""
    result: Result | None = None


Findings = Mapping[EvidenceKind, Checked]
"""What checks came to, by the evidence they make; nothing found is evidence too, a kind left out was not looked at."""

Check = Callable[[Session, int, Sequence[ProposedVersion]], Findings]
"""Judges everything that one change of a programme proposes, as if it were in force; fields begin `items.<number>.`."""

YEARS = range(1900, 2200)
"""In which a bound of validity may lie: no zone carries it out of what the database keeps."""

Settle = Callable[[Session, int], object]
"""Makes ready what rests on versions that have just changed, in the same transaction; raises when they do not fit."""

_EXTENSION = "carbonpoints_kinds"


@dataclass(frozen=True)
class KnownKinds:
    """The kinds that one package knows."""

    readers: Mapping[VersionKind, Reader]
    check: Check
    settle: Settle = lambda _session, _programme_id: None


def init_kinds(app: Flask, known: Sequence[KnownKinds]) -> None:
    """Give the app what its packages know of the kinds of versions."""
    app.extensions[_EXTENSION] = tuple(known)


def read_items(items: Sequence[ProposedVersion], zone: tzinfo) -> list[ProposedVersion]:
    """Return items as they are stored; raises InvalidRequest that names every wrong field of every item."""
    readers = {kind: reader for known in _known() for kind, reader in known.readers.items()}
    read: list[ProposedVersion] = []
    wrong: list[FieldError] = []
    for number, item in enumerate(items):
        try:
            found = readers[item.kind](item, zone)
            _refuse_validity(found)
            read.append(found)
        except InvalidRequest as error:
            wrong += [
                replace(field, field=f"items.{number}.{field.field}".rstrip(".")) for field in error.fields
            ]
    if wrong:
        raise InvalidRequest(fields=wrong)
    return read


def _refuse_validity(item: ProposedVersion) -> None:
    bounds = {"valid_from": item.valid_from, "valid_to": item.valid_to}
    for field, bound in bounds.items():
        if bound is not None and bound.year not in YEARS:
            raise InvalidRequest(fields=[FieldError(field, "out_of_range", "No version holds in that year.")])
    if item.valid_from is not None and item.valid_to is not None and item.valid_to <= item.valid_from:
        raise InvalidRequest(
            fields=[FieldError("valid_to", "not_later", "The end must be later than the start.")]
        )
    if item.content is None and item.valid_from is None:
        raise InvalidRequest(
            fields=[FieldError("valid_from", "required", "Missing data for required field.")]
        )


def check_items(session: Session, programme_id: int, proposed: Sequence[ProposedVersion]) -> Findings:
    """Return what the checks of all packages concerned found."""
    kinds = {item.kind for item in proposed}
    found: dict[EvidenceKind, Checked] = {}
    for known in _known():
        if not kinds.isdisjoint(known.readers):
            for evidence, one in known.check(session, programme_id, proposed).items():
                before = found.get(evidence, Checked())
                found[evidence] = Checked(
                    [*before.findings, *one.findings], {**before.details, **one.details}, one.result
                )
    return found


def settle_versions(session: Session, programme_id: int) -> None:
    """Make ready what rests on a programme's versions, which have just changed."""
    for known in _known():
        known.settle(session, programme_id)


def _known() -> tuple[KnownKinds, ...]:
    known: tuple[KnownKinds, ...] = current_app.extensions[_EXTENSION]
    return known
