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
from carbonpoints.behaviours.sentences import sentence_for
from carbonpoints.core.amounts import plain
from carbonpoints.core.sentences import Sentence
from carbonpoints.ledger.queries import StoredDecision
from carbonpoints.rules.campaigns import CampaignDefinition
from carbonpoints.rules.catalogue import PinnedRule
from carbonpoints.rules.definitions import FactorDefinition
from carbonpoints.rules.engine import NOT_COMPUTABLE, Assessment, CompiledRule, variables_of
from carbonpoints.rules.language import EvaluationError, compile_expression


@dataclass(frozen=True)
class FactorUsed:
    """A factor as it was pinned: figure, source and grade."""

    code: str
    version_id: int
    definition: FactorDefinition


@dataclass(frozen=True)
class FormulaStep:
    """A part of a formula and its value."""

    text: str
    value: str


@dataclass(frozen=True)
class Formula:
    """Baseline, project or leakage: its text, the steps, and its result in grams."""

    name: str
    expression: str
    steps: Sequence[FormulaStep]
    result_g: str | None


@dataclass(frozen=True)
class ConditionResult:
    """A condition of eligibility and whether it held; null where it was not reached."""

    code: str
    when: str
    text_en: str
    text_zh: str
    holds: bool | None


@dataclass(frozen=True)
class BoostUsed:
    """A campaign as it was pinned, and the bonus that it gave."""

    definition: CampaignDefinition
    amount_millicredits: int


@dataclass(frozen=True)
class Explanation:
    """All there is to say about one decided event."""

    decision: StoredDecision
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
    counters: Mapping[str, str] = field(default_factory=dict)
    boosts: Sequence[BoostUsed] = ()
    """Campaigns whose bonus is part of the amount."""
    expires_on: date | None = None


def explain(
    decision: StoredDecision,
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
    reason, cap = trace.get("reason"), trace.get("cap")
    counters: dict[str, str] = trace.get("counters", {})
    boosts = _boosts(pinned, trace.get("boosts", {}))
    return Explanation(
        decision=decision,
        disposition=disposition,
        pinned=pinned,
        inputs=inputs,
        estimate_mg=estimate_mg,
        conditions=_conditions(compiled, reason, disposition) if compiled is not None else (),
        formulas=_formulas(compiled, assessment) if compiled is not None and assessment is not None else (),
        factors=_factors(pinned),
        reason=reason,
        cap=cap,
        cap_left=trace.get("left"),
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
        ),
    )


def _boosts(pinned: PinnedRule | None, given: Mapping[str, int]) -> list[BoostUsed]:
    campaigns = pinned.campaigns if pinned is not None else ()
    return [BoostUsed(campaign, given[campaign.code]) for campaign in campaigns if campaign.code in given]


def _factors(pinned: PinnedRule | None) -> list[FactorUsed]:
    if pinned is None:
        return []
    return [FactorUsed(code, factor.version_id, factor.definition) for code, factor in pinned.factors.items()]


def _conditions(
    compiled: CompiledRule, reason: str | None, disposition: Disposition
) -> list[ConditionResult]:
    """Return each condition, as they are judged, and whether it held: all up to the one that failed, unknown after it.

    Where the rule could not be computed nobody knows which of them held.
    """
    was_judged = disposition in {
        Disposition.CREDITED,
        Disposition.PARTLY_CREDITED,
        Disposition.CAPPED,
        Disposition.INELIGIBLE,
    }
    results = []
    holds: bool | None = True if was_judged and reason != NOT_COMPUTABLE else None
    for condition in (judged.definition for judged in (*compiled.screens, *compiled.histories)):
        if condition.code == reason:
            holds = False
        results.append(
            ConditionResult(condition.code, condition.when, condition.text_en, condition.text_zh, holds)
        )
        if holds is False:
            holds = None
    return results


def _formulas(compiled: CompiledRule, assessment: Assessment) -> list[Formula]:
    variables = variables_of(compiled.behaviour, compiled.constants)
    rule = compiled.rule
    formulas = []
    for name, text in (("baseline", rule.baseline), ("project", rule.project), ("leakage", rule.leakage)):
        expression = compile_expression(text, variables, expects="number")
        try:
            steps = [
                FormulaStep(step.text, _shown(step.value)) for step in expression.steps(assessment.values)
            ]
            result = _shown(expression.evaluate(assessment.values))
        except EvaluationError as error:
            steps, result = [FormulaStep(error.message, "")], None
        formulas.append(Formula(name, text, steps, result))
    return formulas


def _shown(value: object) -> str:
    return plain(value) if hasattr(value, "as_tuple") else str(value)  # type: ignore[arg-type]
