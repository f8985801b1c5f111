"""Whether shared caps and campaigns fit the behaviours they name, and a campaign's samples are as they say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from carbonpoints.core.errors import Message
from carbonpoints.rules.attributes import AttributeChecks, RefusedAttributesError
from carbonpoints.rules.campaigns import (
    Boost,
    CampaignDefinition,
    CampaignSampleDefinition,
    SharedCapDefinition,
    facts_of,
    segment_variables,
)
from carbonpoints.rules.compiling import default_of
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.language import ExpressionError, compile_expression
from carbonpoints.rules.usage import Place, UsageBook, UsageRow


def check_term(
    term: SharedCapDefinition | CampaignDefinition, behaviours: Mapping[str, BehaviourDefinition]
) -> Iterator[Finding]:
    """Yield what is wrong: behaviours that do not exist, a segment that cannot be asked, samples that differ.

    A segment knows what `segment_variables` names and nothing else: what a person spends, holds or buys is unknown
    there.
    """
    found = [*_check_behaviours(term, behaviours)]
    yield from found
    if isinstance(term, CampaignDefinition) and not found:
        yield from _check_samples(term, behaviours)


def _check_behaviours(
    term: SharedCapDefinition | CampaignDefinition, behaviours: Mapping[str, BehaviourDefinition]
) -> Iterator[Finding]:
    for no, code in enumerate(term.behaviours):
        behaviour = behaviours.get(code)
        if behaviour is None:
            message = Message("%(code)s is no behaviour type of this programme", code=code)
            yield Finding(f"behaviours.{no}", 0, "unknown_behaviour", message)
        elif isinstance(term, CampaignDefinition) and term.segment:
            try:
                compile_expression(term.segment, segment_variables(behaviour), expects="flag")
            except ExpressionError as error:
                message = Message("for %(code)s: %(message)s", code=code, message=error.message)
                yield Finding("segment", error.column, error.code, message)


def _check_samples(
    campaign: CampaignDefinition, behaviours: Mapping[str, BehaviourDefinition]
) -> Iterator[Finding]:
    if not any(sample.bonus_millicredits for sample in campaign.samples):
        yield Finding("samples", 0, "yields_nothing", Message("at least one sample must yield something"))
    for no, sample in enumerate(campaign.samples):
        if sample.behaviour not in campaign.behaviours:
            message = Message("must be one of the campaign's behaviours")
            yield Finding(f"samples.{no}.behaviour", 0, "unknown_behaviour", message)
            continue
        try:
            given = _bonus(campaign, sample, behaviours[sample.behaviour])
        except RefusedAttributesError as refused:
            for each in refused.fields:
                yield Finding(f"samples.{no}.attributes.{each.field}", 0, each.code, each.sentence)
            continue
        if given != sample.bonus_millicredits:
            message = Message(
                "the campaign gives %(given)s millicredits, the sample says %(expected)s",
                given=given,
                expected=sample.bonus_millicredits,
            )
            yield Finding(f"samples.{no}", 0, "sample_differs", message)


def _bonus(
    campaign: CampaignDefinition, sample: CampaignSampleDefinition, behaviour: BehaviourDefinition
) -> int:
    """Return what the campaign by itself adds to a sample; raises RefusedAttributesError."""
    values: dict[str, object] = {code: default_of(each) for code, each in behaviour.attributes.items()}
    values |= AttributeChecks(behaviour).canonical(sample.attributes)
    places: Sequence[Place] = [(campaign.scope, cap.window) for cap in campaign.caps if cap.window != "event"]
    boost = Boost(campaign, behaviour, places)
    facts = facts_of(UsageBook(opened_on=sample.opened_on), sample.local_date)
    if not boost.applies({**values, **facts}):
        return 0
    return boost.offer(sample.amount_millicredits, [UsageRow()] * (len(places) + 1))
