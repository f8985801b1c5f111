"""A rule's own samples, computed by the engine (M12). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from carbonpoints.rules.attributes import AttributeChecks
from carbonpoints.rules.definitions import AttributeValue
from carbonpoints.rules.engine import CompiledRule, Outcome
from carbonpoints.rules.usage import UsageBook, period_start


def check_samples(compiled: CompiledRule, day: date) -> Iterator[tuple[str, str, str]]:
    """Yield (field, code, sentence) for every sample for which the rule gives something else on `day`.

    A sample that yields nothing is refused, whatever the rule gives for it.
    """
    for no, sample in enumerate(compiled.rule.samples):
        expected = Outcome(None, sample.reduction_mg, sample.millicredits, None, None)
        if not sample.reduction_mg and not sample.millicredits:
            yield f"samples.{no}", "yields_nothing", "a sample must yield something"
            continue
        for code, message in _differs(compiled, sample.attributes, sample.counters, day, expected):
            yield f"samples.{no}", code, message
    for no, refused in enumerate(compiled.rule.ineligible_samples):
        expected = Outcome(refused.reason, 0, 0, None, None)
        for code, message in _differs(compiled, refused.attributes, refused.counters, day, expected):
            yield f"ineligible_samples.{no}", code, message


def _differs(
    compiled: CompiledRule,
    attributes: Mapping[str, AttributeValue],
    counters: Mapping[str, int],
    day: date,
    expected: Outcome,
) -> Iterator[tuple[str, str]]:
    try:
        outcome = evaluate_sample(compiled, attributes, counters, day)
    except ValueError as error:
        yield "sample_inputs", str(error)
    else:
        if outcome[:3] != expected[:3]:
            yield "sample_differs", f"the rule gives {_said(outcome)}, the sample says {_said(expected)}"


def evaluate_sample(
    compiled: CompiledRule, attributes: Mapping[str, AttributeValue], counters: Mapping[str, int], day: date
) -> Outcome:
    """Return what a rule gives for an event when its counters stand at `counters` and nothing else is used.

    Raises ValueError, with a sentence, for attributes that an event could not have and counters that do not exist.
    """
    values = compiled.values(AttributeChecks(compiled.behaviour).canonical(attributes))
    if unknown := sorted(counters.keys() - {counter.code for counter in compiled.counters}):
        raise ValueError(f"{', '.join(unknown)} is no counter")
    usage = UsageBook()
    for counter in compiled.counters:
        stand = counters.get(counter.code, 0)
        row = usage.change((compiled.rule.code, counter.period, period_start(counter.period, day)))
        if counter.is_distinct:
            for no in range(stand):
                row.tally(counter.code, f"party {no}", 1)
        else:
            row.tally(counter.code, counter.party(values, usage), stand)
    return compiled.settle(compiled.assess(values), usage, day)


def _said(outcome: Outcome) -> str:
    if outcome.reason is not None:
        return outcome.reason
    return f"{outcome.reduction_mg} mg and {outcome.amount_millicredits} millicredits"
