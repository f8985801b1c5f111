"""What a decided award had used of its caps and counted, without judging it again. Pure.

It is given back to its own periods when the award is reversed or corrected (M6, M9), and counted where a replay only
remembers the award or a restatement posts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from carbonpoints.rules.definitions import RuleDefinition
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.usage import UsageBook, usage_keys


class Counted(NamedTuple):
    """What caps counted for an award."""

    granted_mg: int
    """Posted or not."""
    amount_millicredits: int
    bonuses: Mapping[str, int]
    """What campaigns gave of the amount, by their codes."""


def counted_mg(
    rule: RuleDefinition, reduction_mg: int, trace: Mapping[str, Any] | None, estimate_mg: int
) -> int:
    """Return the mg that caps counted for an award, posted or not: `granted_mg` of `Counted`.

    `trace` is the award's; `estimate_mg` 0 where its inputs were erased: then only what was posted or noted is known.
    """
    if rule.purpose == "reduction":
        return reduction_mg
    known = trace or {}
    return int(known.get("granted_mg", 0 if "cap" in known else estimate_mg))


def give_back(
    compiled: CompiledRule, values: Mapping[str, object] | None, usage: UsageBook, day: date, award: Counted
) -> None:
    """Take out of `usage` what `settle` noted there for an award of local date `day`.

    Without `values`, which were erased, nobody knows any more for which party the award was counted: caps are given
    back, tallies stay.
    """
    _count(compiled, values, usage, day, award, sign=-1)


def count_award(
    compiled: CompiledRule, values: Mapping[str, object] | None, usage: UsageBook, day: date, award: Counted
) -> None:
    """Note in `usage` an award that was settled elsewhere, as `settle` would have: what a restatement posted."""
    _count(compiled, values, usage, day, award, sign=1)


def _count(
    compiled: CompiledRule,
    values: Mapping[str, object] | None,
    usage: UsageBook,
    day: date,
    award: Counted,
    *,
    sign: int,
) -> None:
    keys = usage_keys(compiled.places, day)
    own = {key[:2]: usage.change(key) for key in keys[: compiled.own_places]}
    for row in own.values():
        row.awards += sign
        row.reduction_mg += sign * award.granted_mg
        row.amount_millicredits += sign * (award.amount_millicredits - sum(award.bonuses.values()))
    for boost in compiled.boosts.ordered if compiled.boosts is not None else ():
        bonus = award.bonuses.get(boost.definition.code)
        for place in boost.places if bonus else ():
            row = usage.change(keys[place])
            row.awards += sign
            row.amount_millicredits += sign * (bonus or 0)
    for counter in compiled.counters if values is not None else ():
        party = counter.party(values or {}, usage)
        if party or not counter.is_distinct:
            row = own[compiled.rule.code, counter.period]
            row.tally(counter.code, party, sign * counter.amount(values or {}))
            if not Decimal(row.tallies[counter.code][party]):
                del row.tallies[counter.code][party]  # A counter of distinct parties counts the names.
