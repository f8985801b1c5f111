"""Whether shared caps and campaigns fit the behaviours they name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from carbonpoints.rules.campaigns import CampaignDefinition, SharedCapDefinition, segment_variables
from carbonpoints.rules.checking import Finding
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.language import ExpressionError, compile_expression


def check_term(
    term: SharedCapDefinition | CampaignDefinition, behaviours: Mapping[str, BehaviourDefinition]
) -> Iterator[Finding]:
    """Yield what is wrong: behaviours that do not exist, and a segment that cannot be asked of one of them.

    A segment knows what `segment_variables` names and nothing else: what a person spends, holds or buys is unknown
    there.
    """
    for no, code in enumerate(term.behaviours):
        behaviour = behaviours.get(code)
        if behaviour is None:
            message = f"{code} is no behaviour type of this programme"
            yield Finding(f"behaviours.{no}", 0, "unknown_behaviour", message)
        elif isinstance(term, CampaignDefinition) and term.segment:
            try:
                compile_expression(term.segment, segment_variables(behaviour), expects="flag")
            except ExpressionError as error:
                yield Finding("segment", error.column, error.code, f"for {code}: {error.message}")
