"""A back-test of the rules in force gives exactly what was really decided: every event, every digit, any history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from carbonpoints.accounts.bulk import DeclaredConsent, consent_in_bulk, open_accounts_in_bulk
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.services import import_shipped
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.behaviours.replay.accounts import JUDGED_BY_RULES, Facts, Handling, Replayed, replay
from carbonpoints.behaviours.replay.history import Extent, Period, read_events
from carbonpoints.behaviours.replay.prepared import prepare_draft
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import settings as app_settings
from carbonpoints.core.db import transaction
from carbonpoints.ledger.queries import read_decision
from carbonpoints.rules.definitions import (
    CapDefinition,
    ConditionDefinition,
    CounterDefinition,
    RuleDefinition,
)
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.services import seed_programme
from tests.behaviours.world import World, payment, shipped

NOW = datetime(2026, 3, 20, 4, tzinfo=UTC)
FIRST_DAY = date(2025, 12, 29)
TURN = datetime(2026, 1, 15, tzinfo=UTC)
"""Where a rule may have its second version."""
LATE_EVENT_DAYS = 81
"""Some of the acts are too late."""
CODES = ("non_cash_payment", "bus_trip", "metro_trip")
FACTORS = {code for rule in shipped().rules if rule.code in CODES for code in rule.factors}
CUSTOMERS = ("C1", "C2")


@dataclass(frozen=True)
class Act:
    customer: str
    behaviour: str
    day: int
    hour: int
    size: int
    party: str
    reference: int

    def data(self) -> dict[str, object]:
        if self.behaviour == "non_cash_payment":
            return payment(f"R{self.reference}", amount_minor=self.size, payee_hash=self.party)
        data: dict[str, object] = {
            "distance_km": f"{self.size % 59 + 1}",
            "ticket_reference": f"R{self.reference}",
        }
        return {**data, "fare_medium": "qr"} if self.behaviour == "bus_trip" else data

    @property
    def at(self) -> datetime:
        midnight = datetime.combine(FIRST_DAY, datetime.min.time(), tzinfo=UTC)
        return midnight + timedelta(days=self.day, hours=self.hour)


LIMITS = {
    "count": st.none() | st.integers(1, 9),
    "mg": st.none() | st.integers(1, 9_000_000),
    "millicredits": st.none() | st.integers(1, 9_000_000),
}


@st.composite
def caps(draw: st.DrawFn, code: str) -> tuple[CapDefinition, ...]:
    found = []
    for number, window in enumerate(draw(st.lists(st.sampled_from(["day", "month", "year"]), max_size=3))):
        limits = {name: draw(limit) for name, limit in LIMITS.items()}
        if any(limits.values()):
            found.append(CapDefinition(code=f"{code}_{number}", window=window, **limits))  # type: ignore[arg-type]
    return tuple(found)


WINDOWS = st.sampled_from(["day", "month", "year", "3d", "7d"])


@st.composite
def rules(draw: st.DrawFn, code: str) -> RuleDefinition:
    shipped_rule = next(rule for rule in shipped().rules if rule.code == code)
    party, number = (
        ("payee_hash", "amount_minor") if code == "non_cash_payment" else ("ticket_reference", "distance_km")
    )
    measures = {"times": "count", "sum": f"sum:{number}", "parties": f"distinct:{party}"}
    counters = {
        name: CounterDefinition(
            measure=measure,
            window=draw(WINDOWS),
            per=draw(st.sampled_from([None, party])) if name != "parties" else None,
        )
        for name, measure in measures.items()
        if draw(st.booleans())
    }
    conditions = [
        ConditionDefinition(
            code=f"few_{name}",
            when=f"{name} {draw(st.sampled_from(['<', '<=']))} {draw(st.integers(1, 200 if name == 'sum' else 6))}",
            text_en="",
            text_zh="",
        )
        for name in counters
    ]
    return replace(
        shipped_rule,
        counters=counters,
        eligibility=(
            ConditionDefinition(
                code="enough", when=f"{number} >= {draw(st.integers(1, 10))}", text_en="", text_zh=""
            ),
            *conditions,
        ),
        caps=draw(caps(code)),
        purpose=draw(st.sampled_from(["reduction", "credits_only"])),
        credits=replace(
            shipped_rule.credits,
            grant_millicredits=draw(st.sampled_from([0, 700])),
        ),
        expiry_months=draw(st.integers(1, 24)),
    )


@st.composite
def timelines(draw: st.DrawFn) -> list[ProposedVersion]:
    """Rules of three behaviours, each with one version or two, or with a time in which there is none."""
    proposed = []
    for code in CODES:
        ranges: Any = draw(st.sampled_from([[(None, None)], [(None, TURN), (TURN, None)], [(TURN, None)]]))
        proposed += [
            ProposedVersion(
                kind=VersionKind.RULE,
                code=code,
                content=as_content(draw(rules(code))),
                valid_from=start,
                valid_to=end,
            )
            for start, end in ranges
        ]
    return proposed


ACTS = st.builds(
    Act,
    customer=st.sampled_from([*CUSTOMERS[:1] * 3, CUSTOMERS[1]]),
    behaviour=st.sampled_from(CODES),
    # Few days on both sides of a turn of the year and of a month, so that caps and counters of every period meet.
    day=st.sampled_from([1, 2, 3, 4, 5, 6, 17, 18, 33, 34, 35, 36]),
    hour=st.integers(0, 23),
    size=st.integers(1, 60),
    party=st.sampled_from("ab"),
    # Now and then two report the same act.
    reference=st.integers(1, 400),
)
BATCHES = st.lists(st.lists(ACTS, min_size=4, max_size=9), min_size=4, max_size=7)
"""In any order: some acts are reported late."""


@pytest.fixture
def programmes(session: Session) -> Iterator[list[int]]:
    """The numbers of the programmes that the examples have made."""
    with clock_at(NOW):
        yield []
        session.rollback()


def make_world(number: int, proposed: list[ProposedVersion]) -> World:
    """A programme of its own for one example, with two customers."""
    catalogue = shipped()
    programme_id = seed_programme(
        bank_code=f"bank{number}",
        issuer=f"https://bank.example/{number}",
        bank_name_en="Bank",
        bank_name_zh="银行",
        catalogue=replace(
            catalogue,
            behaviours=tuple(behaviour for behaviour in catalogue.behaviours if behaviour.code in CODES),
            factors=tuple(factor for factor in catalogue.factors if factor.code in FACTORS),
            rules=(),
            programme=replace(catalogue.programme, late_event_days=LATE_EVENT_DAYS),
        ),
        maker_person="maker",
        checker_person="checker",
    ).programme_id
    with transaction() as session:
        import_shipped(
            session,
            programme_id=programme_id,
            proposed=proposed,
            maker_person="maker",
            checker_person="checker",
        )
    with transaction() as session:
        programme = programme_settings(session, programme_id)
        ids = open_accounts_in_bulk(
            session, programme, [NewHolder({Scheme.CUSTOMER_REF: name}) for name in CUSTOMERS]
        )
        consents = [
            DeclaredConsent(account_id, source, datetime(2025, 1, 1, tzinfo=UTC), "branch")
            for account_id in ids
            for source in programme.consent_sources
        ]
        consent_in_bulk(session, programme, consents)
    return World(programme_id, dict(zip(CUSTOMERS, ids, strict=True)))


def send(world: World, batches: list[list[Act]]) -> None:
    """Deliver batches; every batch speaks for one source at a time, as sources do."""
    for batch in batches:
        for behaviours in (CODES[:1], CODES[1:]):
            events = [
                world.event(act.behaviour, act.data(), customer=act.customer, at=act.at)
                for act in batch
                if act.behaviour in behaviours
            ]
            if events:
                world.take(*events)


def backtest(session: Session, world: World, draft: list[ProposedVersion], period: Period) -> list[Replayed]:
    prepared = prepare_draft(session, world.programme_id, draft, period)
    ids = sorted(world.accounts.values())
    events = read_events(session, Extent(ids[0], ids[-1]), period, prepared.reach, prepared.judges)
    return list(
        replay(
            events,
            prepared.judges,
            period.first_day,
            period.last_day,
            secret=app_settings().identity_key,
            facts=Facts(),
        )
    )


@dataclass(frozen=True)
class History:
    """Rules in time, what was reported in which deliveries, and what is asked about it."""

    proposed: list[ProposedVersion]
    batches: list[list[Act]]
    period: Period
    drafted: set[str]
    """The rules that are handed in as a draft; the others are in force beside it."""


@st.composite
def histories(draw: st.DrawFn) -> History:
    first, last = draw(st.sampled_from([2, 3, 4, 5])), draw(st.sampled_from([5, 17, 33, 34, 36]))
    return History(
        draw(timelines()),
        draw(BATCHES),
        Period(FIRST_DAY + timedelta(days=first), FIRST_DAY + timedelta(days=last)),
        draw(st.sampled_from([{*CODES}, {*CODES}, {*CODES[:1]}, {*CODES[1:]}])),
    )


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories())
def test_a_backtest_of_the_rules_in_force_is_what_was_decided(
    session: Session, programmes: list[int], history: History
) -> None:
    world = make_world(len(programmes), history.proposed)
    programmes.append(world.programme_id)
    send(world, history.batches)
    draft = [item for item in history.proposed if item.code in history.drafted]
    replayed = backtest(session, world, draft, history.period)
    decisions = {
        (each.event.account_id, each.event.account_seq): read_decision(
            session, each.event.account_id, each.event.account_seq
        )
        for each in replayed
    }
    assert len(decisions) == len(replayed)
    for each in replayed:
        event, outcome = each.event, each.outcome
        decision = decisions[event.account_id, event.account_seq]
        assert decision is not None
        assert each.handling is expected_handling(event.disposition, each.pinned.behaviour.code, history)
        assert (outcome.reduction_mg, outcome.amount_millicredits) == (
            decision.reduction_mg,
            decision.amount_millicredits,
        )
        if each.handling is Handling.JUDGED:
            assert outcome.trace == decision.trace
    session.rollback()


def expected_handling(disposition: int, behaviour: str, history: History) -> Handling:
    if not any(item.code == behaviour for item in history.proposed if item.code in history.drafted):
        return Handling.UNTOUCHED
    return Handling.JUDGED if disposition in JUDGED_BY_RULES else Handling.KEPT
