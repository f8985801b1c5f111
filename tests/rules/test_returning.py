"""What an award used and counted goes back to its own periods, to the last tally."""

from __future__ import annotations

from copy import deepcopy

import pytest

from carbonpoints.rules.returning import Counted, count_award, counted_mg, give_back
from carbonpoints.rules.usage import UsageBook
from tests.rules.engine_world import DAY, cap, compiled, condition, counter, pays

COUNTED = {
    "rides": counter("count", "month", per="payee"),
    "spent": counter("sum:fare", "day"),
    "payees": counter("distinct:payee", "3d"),
}
SEEN = (condition("seen", "rides + spent + payees >= 0"),)
CAPS = (
    cap("day", count=5, mg=60_000),
    cap("month", mg=500_000, millicredits=900_000),
    cap("event", mg=40_000),
)


@pytest.mark.parametrize("purpose", ["reduction", "credits_only"])
@pytest.mark.parametrize("km", ["1", "1.3", "9"], ids=["whole", "the last of the day", "cut by the event"])
def test_it_is_as_if_the_award_had_never_been(purpose: str, km: str) -> None:
    rule = compiled(purpose=purpose, counters=COUNTED, eligibility=SEEN, caps=CAPS, credits=pays("0.5", 3))
    usage = UsageBook(secret=b"secret")

    def act(length: str, payee: str, fare: str):
        values = rule.values({"km": length, "payee": payee, "fare": fare})
        return values, rule.assess(values)

    _, first = act("1", "A", "2.50")
    rule.settle(first, usage, DAY)
    before = deepcopy(
        {
            key: (row.awards, row.reduction_mg, row.amount_millicredits, row.tallies)
            for key, row in usage.rows.items()
        }
    )
    values, second = act(km, "B", "1.25")
    outcome = rule.settle(second, usage, DAY)
    assert outcome.reason is None
    granted_mg = (outcome.trace or {}).get("granted_mg", outcome.reduction_mg)
    if purpose == "credits_only" and outcome.cap is None:
        granted_mg = second.estimate_mg
    assert isinstance(granted_mg, int)
    give_back(
        rule,
        values,
        usage,
        DAY,
        Counted(granted_mg, outcome.amount_millicredits, {}),
    )
    after = {
        key: (row.awards, row.reduction_mg, row.amount_millicredits, row.tallies)
        for key, row in usage.rows.items()
    }
    assert {key: row[:3] for key, row in after.items()} == {key: row[:3] for key, row in before.items()}
    assert [_numbers(row[3]) for row in after.values()] == [_numbers(row[3]) for row in before.values()]
    assert usage.touched == set(usage.rows)


def _numbers(tallies):
    return {code: {party: float(value) for party, value in of.items()} for code, of in tallies.items()}


def test_without_the_values_the_tallies_stay() -> None:
    rule, usage = compiled(counters=COUNTED, eligibility=SEEN, caps=CAPS), UsageBook(secret=b"secret")
    values = rule.values({"km": "1", "payee": "A", "fare": "2"})
    outcome = rule.settle(rule.assess(values), usage, DAY)
    give_back(rule, None, usage, DAY, Counted(26_900, outcome.amount_millicredits, {}))
    for row in usage.rows.values():
        assert (row.awards, row.reduction_mg, row.amount_millicredits) == (0, 0, 0)
    assert sum(len(of) for row in usage.rows.values() for of in row.tallies.values()) == 3


@pytest.mark.parametrize("purpose", ["reduction", "credits_only"])
def test_counting_it_elsewhere_is_as_if_it_had_been_settled_here(purpose: str) -> None:
    rule = compiled(purpose=purpose, counters=COUNTED, eligibility=SEEN, caps=CAPS, credits=pays("0.5", 3))
    settled, counted = UsageBook(secret=b"secret"), UsageBook(secret=b"secret")
    for km, payee in (("1", "A"), ("1.3", "B"), ("9", "A")):
        values = rule.values({"km": km, "payee": payee, "fare": "1.25"})
        assessment = rule.assess(values)
        outcome = rule.settle(assessment, settled, DAY)
        granted_mg = counted_mg(rule.rule, outcome.reduction_mg, outcome.trace, assessment.estimate_mg)
        count_award(rule, values, counted, DAY, Counted(granted_mg, outcome.amount_millicredits, {}))
    assert counted.rows == settled.rows
    assert len(counted.rows) == 2
