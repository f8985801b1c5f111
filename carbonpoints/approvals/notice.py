"""Whether a change makes price, expiry or terms worse for customers, and so must be announced. Pure.

One table says for each kind which fields matter in which direction. What it does not name counts as worse when it
changes at all: a field that is added later is safe before anybody has thought of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from carbonpoints.approvals.versions import VersionKind
from carbonpoints.core.defaults import NOTICE_DAYS


class Worse(Enum):
    """Which change of a field is worse for customers."""

    NEVER = auto()
    WHEN_LOWER = auto()
    WHEN_HIGHER = auto()
    WHEN_TIGHTER = auto()
    """A limit: no value is no limit."""
    WHEN_ADDED = auto()
    """A part with a code of its own; what is in it is looked at where both have it."""
    WHEN_REMOVED = auto()
    WHEN_CHANGED = auto()
    """Every field that the table does not name."""


Path = tuple[str, ...]
Terms = Mapping[Path, Worse]


def _terms(**directions: str) -> dict[Path, Worse]:
    return {
        tuple(path.split(".")): Worse[direction.upper()]
        for direction, paths in directions.items()
        for path in paths.split()
    }


TERMS: Mapping[VersionKind, Terms] = {
    VersionKind.RULE: _terms(
        never="title_en title_zh basis_en basis_zh label methodology valid_from valid_to samples "
        "ineligible_samples uncertainty.above_percent eligibility.*.text_en eligibility.*.text_zh",
        when_lower="credits.millicredits_per_mg credits.grant_millicredits expiry_months",
        when_higher="pending_days uncertainty.below_percent",
        when_tighter="caps.*.count caps.*.mg caps.*.millicredits",
        when_added="caps.* eligibility.*",
    ),
    VersionKind.FACTOR: _terms(
        never="name_en name_zh region data_year source_title source_address grade use_reason note valid_from "
        "valid_to",
    ),
    VersionKind.SHARED_CAP: _terms(
        never="name_en name_zh valid_from valid_to",
        when_tighter="count mg millicredits",
    ),
    VersionKind.CAMPAIGN: _terms(
        never="name_en name_zh text_en text_zh valid_from valid_to samples",
        when_lower="multiplier bonus_millicredits",
        when_tighter="ceiling_millicredits caps.*.millicredits",
        when_added="caps.*",
    ),
    VersionKind.BEHAVIOUR: _terms(
        never="name_en name_zh behaviour_class attributes.*.name_en attributes.*.name_zh",
    ),
    VersionKind.PROGRAMME: _terms(
        never="name_en name_zh millifen_per_credit holidays dated_copies consent_sources.*.name_en consent_sources.*.name_zh "
        "event_sources.*.operator_en event_sources.*.operator_zh",
        when_lower="release_grace_days late_event_days future_tolerance_s notice_days",
        when_higher="clawback_limit_millicredits undecided_retention_days appeal_retention_days "
        "consent_sources.*.retention_days",
        when_removed="consent_sources.* consent_sources.*.texts.* event_sources.*",
    ),
}
"""Kind -> the fields whose direction is known. `*` stands for any code."""

_REDUCTION = _terms(when_lower="value")
"""A factor that is itself a reduction: only a lower figure is worse. Of any other nobody knows without the rules."""

TECHNICAL = frozenset(
    {
        VersionKind.FEED_PROFILE,
        VersionKind.BUDGET,
        VersionKind.RESTATEMENT,
        VersionKind.AGREEMENT,
        VersionKind.PROPOSAL,
    }
)
"""Kinds that promise nothing to customers."""

_IMPLIED: Mapping[VersionKind, Mapping[str, Any]] = {VersionKind.PROGRAMME: {"notice_days": NOTICE_DAYS}}
"""What content means that was stored before the field was there."""

_KEYS = ("code", "uri", "version")
"""What tells the parts of a list apart, whatever their order."""


def worse_fields(
    kind: VersionKind, before: Mapping[str, Any], after: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """Return the fields in which `after` is worse for customers than `before`, by their dotted paths.

    `after` None ends it, which is worse as a whole: the one path is then empty.
    """
    if kind in TECHNICAL:
        return ()
    if after is None:
        return ("",)
    implied = _IMPLIED.get(kind, {})
    terms = dict(TERMS.get(kind, {}))
    if kind is VersionKind.FACTOR and before.get("quantity") == after.get("quantity") == "reduction":
        terms |= _REDUCTION
    return tuple(".".join(path) for path in _worse(terms, (), {**implied, **before}, {**implied, **after}))


def _worse(terms: Terms, path: Path, before: Any, after: Any) -> Iterator[Path]:
    if before == after:
        return
    direction = _direction(terms, path)
    if direction in _ONE_SIDED and (before is None or after is None):
        if _ONE_SIDED[direction] is (before is None):
            yield path
    elif direction in _COMPARED:
        if _COMPARED[direction](before, after):
            yield path
    elif direction is not Worse.NEVER:
        old, new = _parts(before), _parts(after)
        if old is None or new is None:
            yield path
            return
        for name in sorted(old.keys() | new.keys()):
            yield from _worse(terms, (*path, name), old.get(name), new.get(name))


def _direction(terms: Terms, path: Path) -> Worse:
    for pattern, direction in terms.items():
        if len(pattern) == len(path) and all(
            wanted in ("*", step) for wanted, step in zip(pattern, path, strict=True)
        ):
            return direction
    return Worse.WHEN_CHANGED


def _parts(value: Any) -> Mapping[str, Any] | None:
    """Return a group's fields, or a list's parts by their code; None for what has no parts to compare."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list):
        for key in _KEYS:
            if all(isinstance(part, Mapping) and key in part for part in value):
                return {part[key]: part for part in value}
    return None


def _is_lower(before: Any, after: Any) -> bool:
    return before is not None and (after is None or Decimal(str(after)) < Decimal(str(before)))


def _is_higher(before: Any, after: Any) -> bool:
    return after is not None and (before is None or Decimal(str(after)) > Decimal(str(before)))


def _is_tighter(before: Any, after: Any) -> bool:
    return after is not None and (before is None or Decimal(str(after)) < Decimal(str(before)))


_COMPARED = {
    Worse.WHEN_LOWER: _is_lower,
    Worse.WHEN_HIGHER: _is_higher,
    Worse.WHEN_TIGHTER: _is_tighter,
}
_ONE_SIDED = {Worse.WHEN_ADDED: True, Worse.WHEN_REMOVED: False}
"""Whether the part that only one side has is worse when it is the new side that has it."""
