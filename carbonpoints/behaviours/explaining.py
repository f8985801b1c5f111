"""Why an event earned what it earned: as data that rebuilds the arithmetic, and as one sentence (M10, M15).

Everything is worked out again from the stored inputs and the pinned versions, whatever is in force today. Where
the inputs were erased, the versions and the result remain and the arithmetic does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.sentences import Ended, sentence_for
from carbonpoints.core.sentences import Sentence
from carbonpoints.rules.campaigns import CampaignDefinition
from carbonpoints.rules.catalogue import PinnedRule
from carbonpoints.rules.definitions import FactorDefinition
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.tracing import ConditionResult, Formula, trace_conditions, trace_formulas

JUDGED = frozenset(
    {
        Disposition.CREDITED,
        Disposition.PARTLY_CREDITED,
        Disposition.CAPPED,
        Disposition.BUDGET_EXHAUSTED,
        Disposition.INELIGIBLE,
    }
)
"""The ends that a rule's conditions led to."""


@dataclass(frozen=True)
class FactorUsed:
    """A factor as it was pinned: figure, source and grade."""

    code: str
    version_id: int
    definition: FactorDefinition


@dataclass(frozen=True)
class BoostUsed:
    """A campaign as it was pinned, and the bonus that it gave."""

    definition: CampaignDefinition
    amount_millicredits: int


@dataclass(frozen=True)
class Explanation:
    """All there is to say about how one event ended."""

    disposition: Disposition
    pinned: PinnedRule | None
    inputs: Mapping[str, Any] | None
    """The event as it came; null when it was erased."""
    estimate_mg: int | None
    sentence: Sentence
    conditions: Sequence[ConditionResult] = ()
    formulas: Sequence[Formula] = ()
    factors: Sequence[FactorUsed] = ()
    reason: str | None = None
    cap: str | None = None
    cap_left: int | None = None
    budget: str | None = None
    """The budget that did not cover its credits."""
    counters: Mapping[str, str] = field(default_factory=dict)
    boosts: Sequence[BoostUsed] = ()
    """Campaigns whose bonus is part of the amount."""
    expires_on: date | None = None


def explain(
    decision: Ended,
    *,
    pinned: PinnedRule | None,
    compiled: CompiledRule | None,
    values: dict[str, object] | None,
    inputs: Mapping[str, Any] | None,
    expires_on: date | None,
) -> Explanation:
    """Return why a decision came out as it did. Pure: everything it needs is handed in."""
    trace = decision.trace or {}
    disposition = Disposition(decision.disposition)
    assessment = compiled.assess(values) if compiled is not None and values is not None else None
    estimate_mg = assessment.estimate_mg if assessment is not None else None
    reason, cap, budget = trace.get("reason"), trace.get("cap"), trace.get("budget")
    counters: dict[str, str] = trace.get("counters", {})
    boosts = _boosts(pinned, trace.get("boosts", {}))
    return Explanation(
        disposition=disposition,
        pinned=pinned,
        inputs=inputs,
        estimate_mg=estimate_mg,
        conditions=trace_conditions(
            compiled, values, counters, reason=reason, was_judged=disposition in JUDGED
        )
        if compiled is not None
        else (),
        formulas=trace_formulas(compiled, values) if compiled is not None and values is not None else (),
        factors=_factors(pinned),
        reason=reason,
        cap=cap,
        cap_left=trace.get("left"),
        budget=budget,
        counters=counters,
        boosts=boosts,
        expires_on=expires_on,
        sentence=sentence_for(
            decision,
            pinned=pinned,
            estimate_mg=estimate_mg,
            reason=reason,
            cap=cap,
            boosts=[boost.definition for boost in boosts],
            budget=budget,
        ),
    )


def _boosts(pinned: PinnedRule | None, given: Mapping[str, int]) -> list[BoostUsed]:
    campaigns = pinned.campaigns if pinned is not None else ()
    return [BoostUsed(campaign, given[campaign.code]) for campaign in campaigns if campaign.code in given]


def _factors(pinned: PinnedRule | None) -> list[FactorUsed]:
    if pinned is None:
        return []
    return [FactorUsed(code, factor.version_id, factor.definition) for code, factor in pinned.factors.items()]
