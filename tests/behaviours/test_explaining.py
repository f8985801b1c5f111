"""Explanations of what the shipped rules do not show; without a database."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.explaining import explain
from carbonpoints.ledger.queries import StoredDecision
from carbonpoints.rules.catalogue import PinnedRule
from carbonpoints.rules.definitions import UncertaintyDefinition
from tests.behaviours.world import NOW
from tests.rules.engine_world import FACTOR_G_PER_KM, PLAIN, cap, condition, counter, pays
from tests.rules.engine_world import RIDE as RIDES


def explained(
    trace: dict[str, Any], data: dict[str, str | bool], disposition: Disposition, **rule: Any
) -> Any:
    definition = replace(PLAIN, **rule)
    factor = SimpleNamespace(value=FACTOR_G_PER_KM, version_id=1, definition=None)
    pinned = PinnedRule(
        pin_id=1,
        pin_hash=b"",
        behaviour=RIDES,
        behaviour_version_id=1,
        rule=definition,
        rule_version_id=1,
        rule_version_no=1,
        factors=cast("Any", {"BUS": factor}),
        shared_caps=(),
        campaigns=(),
        problem=None,
    )
    assert pinned.compiled is not None
    decision = cast(
        "StoredDecision",
        SimpleNamespace(
            disposition=disposition,
            trace=trace,
            local_date=NOW.date(),
            reduction_mg=0,
            amount_millicredits=0,
        ),
    )
    return explain(
        decision,
        pinned=pinned,
        compiled=pinned.compiled,
        values=pinned.compiled.values(data),
        inputs={"data": data},
        expires_on=None,
    )


CONDITIONS = (condition("few", "rides < 1"), condition("paid", "paid"), condition("far", "km > 2"))
COUNTERS = {"rides": counter("count", "day")}


@pytest.mark.parametrize(
    ("reason", "data", "held"),
    [
        ("paid", {"km": "1", "paid": False}, {"paid": False, "far": None, "few": None}),
        ("far", {"km": "1"}, {"paid": True, "far": False, "few": None}),
        ("few", {"km": "3"}, {"paid": True, "far": True, "few": False}),
        ("not_computable", {"km": "3"}, {"paid": None, "far": None, "few": None}),
    ],
)
def test_conditions_are_shown_in_the_order_in_which_they_are_judged(
    reason: str, data: dict[str, str | bool], held: dict[str, bool | None]
) -> None:
    found = explained(
        {"reason": reason}, data, Disposition.INELIGIBLE, eligibility=CONDITIONS, counters=COUNTERS
    )
    assert {one.code: one.holds for one in found.conditions} == held
    assert [one.code for one in found.conditions] == list(held)


def test_a_formula_without_a_value_says_so_where_it_stands() -> None:
    found = explained(
        {"reason": "not_computable"}, {"km": "1"}, Disposition.INELIGIBLE, baseline="BUS / (km - 1)"
    )
    assert (found.estimate_mg, found.formulas[0].result_g) == (0, None)
    assert [step.text for step in found.formulas[0].steps] == ["this divides by zero"]
    assert found.sentence.en.endswith("its rule could not be computed from what was reported.")


def test_where_the_rule_gives_a_range_its_lower_bound_is_the_last_step() -> None:
    found = explained(
        {},
        {"km": "2"},
        Disposition.CREDITED,
        uncertainty=UncertaintyDefinition(below_percent=Decimal("12.5"), above_percent=Decimal(30)),
    )
    assert found.estimate_mg == 47_075
    estimate = found.formulas[-1]
    assert (estimate.name, estimate.result_g) == ("estimate", "47.075")
    assert [(step.text, step.value) for step in estimate.steps][-2:] == [
        ("max(0, baseline - project - leakage)", "53.8"),
        ("max(0, baseline - project - leakage) * 0.875", "47.075"),
    ]


def test_conditions_name_what_they_were_judged_by() -> None:
    found = explained(
        {"reason": "few", "counters": {"rides": "1"}},
        {"km": "3"},
        Disposition.INELIGIBLE,
        eligibility=(*CONDITIONS, condition("cheap", "coalesce(payee, '') != 'x'")),
        counters=COUNTERS,
    )
    assert {one.code: one.values for one in found.conditions} == {
        "paid": {"paid": "True"},
        "far": {"km": "3"},
        "cheap": {"payee": None},
        "few": {"rides": "1"},
    }


def test_an_award_of_nothing_says_that_the_rule_gives_nothing() -> None:
    found = explained({"reason": "nothing_earned"}, {"km": "1"}, Disposition.INELIGIBLE, project="km * BUS")
    assert found.sentence.zh.endswith("未获得积分:规则对其不给予积分。")


def test_a_cap_per_event_is_shown_with_its_window() -> None:
    found = explained(
        {"cap": "event_mg", "left": 5},
        {"km": "1"},
        Disposition.PARTLY_CREDITED,
        caps=(cap("event", mg=5),),
        credits=pays("1"),
    )
    assert (found.cap, found.cap_left) == ("event_mg", 5)
