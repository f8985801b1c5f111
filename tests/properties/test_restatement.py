"""A restatement gives what would have been decided: every mg, and no credit less than was granted, any history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.bulk import DeclaredConsent, consent_in_bulk, open_accounts_in_bulk
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import transaction
from carbonpoints.ledger.reconcile import check
from carbonpoints.rules.catalogue import Catalogue, load_catalogue
from carbonpoints.rules.draws import no_budget
from carbonpoints.rules.engine import CompiledRule, Outcome
from carbonpoints.rules.returning import Counted, give_back
from carbonpoints.rules.usage import UsageBook
from tests.behaviours.conftest import make_world
from tests.behaviours.test_campaigns import ship_terms
from tests.behaviours.world import NOW, World
from tests.restating.scenes import POSTED_AT, approve, factor, post, restatement

__all__ = ["make_world"]

DAYS = [NOW - timedelta(days=back) for back in (0, 1, 2, 20)]
"""One after the restated period, two in it, one before it."""


@dataclass(frozen=True)
class Act:
    """A ride, or, with `reverses`, an earlier one of the history taken back."""

    behaviour: str
    km: int
    at: datetime
    reverses: int | None = None

    def data(self, reference: str) -> dict[str, object]:
        data: dict[str, object] = {"distance_km": str(self.km), "ticket_reference": reference}
        return {**data, "fare_medium": "qr"} if self.behaviour == "bus_trip" else data


ACTS = st.builds(
    Act,
    st.sampled_from(["bus_trip", "bus_trip", "metro_trip"]),
    st.integers(1, 59),
    st.sampled_from(DAYS),
    st.none() | st.none() | st.integers(0, 20),
)


@pytest.fixture(name="world")
def _world(session: Session, make_world: object, tmp_path: Path) -> Iterator[World]:
    assert callable(make_world)
    with clock_at(NOW):
        made = make_world()
        ship_terms(made, tmp_path)
        yield made
        session.rollback()


def newcomer(world: World) -> str:
    name = f"N{len(world.accounts)}"
    with transaction() as session:
        programme = programme_settings(session, world.programme_id)
        (account_id,) = open_accounts_in_bulk(session, programme, [NewHolder({Scheme.CUSTOMER_REF: name})])
        world.accounts[name] = account_id
    with transaction() as session:
        given_at = NOW - timedelta(days=100)
        consent_in_bulk(session, programme, [DeclaredConsent(account_id, "trips", given_at, "branch")])
    return name


@dataclass
class Model:
    """One account's history judged by the engine, in booking order."""

    catalogue: Catalogue
    usage: UsageBook
    given: dict[int, tuple[CompiledRule, dict[str, object], datetime, Outcome]]

    def ride(self, number: int, act: Act, world: World, reference: str) -> None:
        pinned = self.catalogue.rule_at(act.behaviour, act.at)
        assert pinned is not None
        compiled = pinned.compiled
        assert compiled is not None
        data = world.event(act.behaviour, act.data(reference)).data
        values = compiled.values(data)
        day = (act.at + timedelta(hours=8)).date()
        outcome = compiled.settle(compiled.assess(values), self.usage, day, no_budget)
        self.given[number] = (compiled, values, act.at, outcome)

    def take_back(self, number: int) -> None:
        compiled, values, at, outcome = self.given[number]
        if outcome.reduction_mg or outcome.amount_millicredits:
            bonuses = (outcome.trace or {}).get("boosts", {})
            assert isinstance(bonuses, dict)
            counted = Counted(outcome.reduction_mg, outcome.amount_millicredits, bonuses)
            give_back(compiled, values, self.usage, (at + timedelta(hours=8)).date(), counted)


def standing(session: Session, account_id: int) -> list[tuple[int, int]]:
    """mg and millicredits that each event comes to, in order."""
    rows = session.execute(
        text(
            "SELECT coalesce(r.trace -> 'after', jsonb_build_array(e.reduction_mg, e.amount_millicredits)) "
            "FROM decision e LEFT JOIN LATERAL (SELECT trace FROM decision r WHERE r.account_id = e.account_id "
            "AND r.kind = 17 AND (r.trace -> 'event_seq')::bigint = e.account_seq ORDER BY account_seq DESC LIMIT 1"
            ") AS r ON true WHERE e.kind = 2 AND e.account_id = :id ORDER BY e.account_seq"
        ),
        {"id": account_id},
    ).scalars()
    found = [(mg, millicredits) for mg, millicredits in rows]
    session.rollback()
    return found


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(ACTS, min_size=1, max_size=14), figure=st.integers(1, 600))
def test_each_award_comes_to_what_it_should_have_been(
    world: World, session: Session, history: list[Act], figure: int
) -> None:
    customer, code = newcomer(world), f"again-{world.sent}"
    account_id = world.accounts[customer]
    granted: list[int] = []
    numbers: dict[int, str] = {}
    taken: set[int] = set()
    for number, act in enumerate(history):
        if act.reverses is not None and act.reverses in numbers and act.reverses not in taken:
            behaviour = history[act.reverses].behaviour
            world.take_back(numbers[act.reverses], behaviour=behaviour, customer=customer)
            taken.add(act.reverses)
            continue
        numbers[number] = reference = f"{customer}-{number}"
        receipt = world.one(
            act.behaviour, act.data(reference), customer=customer, at=act.at, event_id=reference
        )
        granted.append(receipt.amount_millicredits)
    decided = standing(session, account_id)
    approve(world, factor(f"{figure / 10:.1f}"), restatement(code))
    post(POSTED_AT)
    with transaction() as opened:
        model = Model(load_catalogue(opened, world.programme_id), UsageBook(secret=b"any"), {})
        model.usage.opened_on = (NOW + timedelta(hours=8)).date()
    gone: set[int] = set()
    for number, act in enumerate(history):
        if number in numbers:
            model.ride(number, act, world, numbers[number])
        elif act.reverses is not None and act.reverses in numbers and act.reverses not in gone:
            model.take_back(act.reverses)
            gone.add(act.reverses)
    assert gone == taken
    expected = []
    for place, number in enumerate(numbers):
        outcome, before = model.given[number][3], decided[place]
        is_touched = number not in taken and DAYS.index(history[number].at) in {1, 2}
        if is_touched:
            before = outcome.reduction_mg, max(granted[place], outcome.amount_millicredits)
        expected.append(before)
    assert standing(session, account_id) == expected
    assert [finding for finding in check(session) if finding.differences] == []
    session.rollback()
