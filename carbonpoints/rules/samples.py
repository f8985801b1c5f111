"""Events that are given to a rule by hand: its own samples (M12), and what somebody wants to know. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from carbonpoints.core.errors import Message
from carbonpoints.rules.attributes import AttributeChecks, RefusedAttributesError
from carbonpoints.rules.definitions import AttributeValue
from carbonpoints.rules.engine import CompiledRule, Outcome
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.usage import UsageBook, period_start


def check_samples(compiled: CompiledRule, day: date) -> Iterator[Finding]:
    """Yield a finding for every sample for which the rule gives something else on `day`.

    A sample that yields nothing is refused, whatever the rule gives for it.
    """
    for no, sample in enumerate(compiled.rule.samples):
        expected = Outcome(None, sample.reduction_mg, sample.millicredits, None, None)
        if not sample.reduction_mg and not sample.millicredits:
            message = Message("a sample must yield something")
            yield Finding(f"samples.{no}", 0, "yields_nothing", message)
            continue
        yield from _differs(
            f"samples.{no}", compiled, sample.attributes, sample.counters, day=day, expected=expected
        )
    for no, refused in enumerate(compiled.rule.ineligible_samples):
        expected = Outcome(refused.reason, 0, 0, None, None)
        field = f"ineligible_samples.{no}"
        yield from _differs(field, compiled, refused.attributes, refused.counters, day=day, expected=expected)


def _differs(
    field: str,
    compiled: CompiledRule,
    attributes: Mapping[str, AttributeValue],
    counters: Mapping[str, int],
    *,
    day: date,
    expected: Outcome,
) -> Iterator[Finding]:
    try:
        values = compiled.values(AttributeChecks(compiled.behaviour).canonical(attributes))
    except RefusedAttributesError as refused:
        for wrong in refused.fields:
            yield Finding(f"{field}.attributes.{wrong.field}", 0, "sample_inputs", wrong.sentence)
        return
    unknown = sorted(counters.keys() - compiled.rule.counters.keys())
    for code in unknown:
        message = Message("%(code)s is no counter", code=code)
        yield Finding(f"{field}.counters.{code}", 0, "sample_inputs", message)
    if unknown:
        return
    usage = staged_usage(compiled, values, counters, day)
    outcome = compiled.settle(compiled.assess(values), usage, day)
    if outcome[:3] != expected[:3]:
        message = Message(
            "the rule gives %(given)s, the sample says %(expected)s",
            given=_said(outcome),
            expected=_said(expected),
        )
        yield Finding(field, 0, "sample_differs", message)


def staged_usage(
    compiled: CompiledRule, values: Mapping[str, object], counters: Mapping[str, int], day: date
) -> UsageBook:
    """Return the usage of an account whose counters stand at `counters` before an event, and that used no cap."""
    usage = UsageBook()
    for counter in compiled.counters:
        stand = counters.get(counter.code, 0)
        row = usage.change((compiled.rule.code, counter.period, period_start(counter.period, day)))
        if counter.is_distinct:
            for no in range(stand):
                row.tally(counter.code, f"party {no}", 1)
        else:
            row.tally(counter.code, counter.party(values, usage), stand)
    return usage


def _said(outcome: Outcome) -> str:
    if outcome.reason is not None:
        return outcome.reason
    return Message(
        "%(reduction_mg)s mg and %(millicredits)s millicredits",
        reduction_mg=outcome.reduction_mg,
        millicredits=outcome.amount_millicredits,
    )
