"""What must be known about a change before anybody is asked to approve it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class EvidenceKind(StrEnum):
    """What was found out about a draft."""

    STATIC_CHECKS = "static_checks"
    """Types, units, names, and whether it may stand beside what is in force."""
    SAMPLE_CASES = "sample_cases"
    """Each sample gives exactly what it says."""
    BACK_TEST = "back_test"
    """What it would have done to the decisions of a past period."""
    RESTATEMENT = "restatement"
    """What judging a past period again would post."""
    TRIAL_LOAD = "trial_load"
    """What a feed profile makes of a file, without crediting it."""
    BURN_FORECAST = "burn_forecast"
    """When a budget would be used up."""
    PRICE_AND_STOCK_FORECAST = "price_and_stock_forecast"
    MIGRATION_MATRIX = "migration_matrix"
    """How many would move from which grade to which."""


class Result(StrEnum):
    """What came of it."""

    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    """It may go on, and the checkers should look."""
    NO_HISTORY_YET = "no_history_yet"
    """There is nothing in the past to hold it against, which is said rather than left out."""


_JUDGED = frozenset({EvidenceKind.STATIC_CHECKS, EvidenceKind.SAMPLE_CASES, EvidenceKind.BACK_TEST})
_CHECKED = frozenset({EvidenceKind.STATIC_CHECKS})

NEEDED: Mapping[str, frozenset[EvidenceKind]] = {
    "rule": _JUDGED,
    "factor": _JUDGED,
    "campaign": _JUDGED,
    "shared_cap": _CHECKED | {EvidenceKind.BACK_TEST},
    "behaviour": _CHECKED,
    "programme": _CHECKED,
    "feed_profile": _CHECKED | {EvidenceKind.TRIAL_LOAD},
    "agreement": _CHECKED,
    "budget": _CHECKED | {EvidenceKind.BURN_FORECAST},
    "restatement": _CHECKED | {EvidenceKind.RESTATEMENT},
    "reward": frozenset({EvidenceKind.PRICE_AND_STOCK_FORECAST}),
    "credit_policy": frozenset({EvidenceKind.MIGRATION_MATRIX}),
}
"""Kind of version -> the evidence that a change of it needs before it is submitted.

By the kind's code, so that kinds whose versions are still to come have their line already.
"""

HISTORICAL = frozenset(EvidenceKind) - {
    EvidenceKind.STATIC_CHECKS,
    EvidenceKind.SAMPLE_CASES,
    EvidenceKind.TRIAL_LOAD,
}
"""Evidence that rests on the past, and so may find none."""

SECOND_CHECKER = frozenset({EvidenceKind.BACK_TEST, EvidenceKind.RESTATEMENT, EvidenceKind.BURN_FORECAST})
"""Evidence about cost: its warning is that a budget would be passed, and then two checkers must agree."""


def needed_for(kinds: Iterable[str]) -> frozenset[EvidenceKind]:
    """Return the evidence that a change of these kinds needs."""
    return frozenset().union(*(NEEDED[kind] for kind in kinds))


def checkers_for(results: Mapping[EvidenceKind, Result]) -> int:
    """Return how many persons must approve, given what was found out."""
    is_costly = any(results.get(kind) is Result.WARNING for kind in SECOND_CHECKER)
    return 2 if is_costly else 1
