"""A month of payments and rides, and drafts to hold against it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from carbonpoints.accounts.bulk import DeclaredConsent, consent_in_bulk, open_accounts_in_bulk
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.drafts import put_in_force as confirm_draft
from carbonpoints.approvals.drafts import read_draft
from carbonpoints.approvals.lifecycle import Step
from carbonpoints.approvals.services import draft_change
from carbonpoints.approvals.steps import lock_change, take_step
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.runs import continue_next_run
from carbonpoints.behaviours.replay.services import BacktestProgress, read_backtest, request_backtest
from carbonpoints.core.db import transaction
from carbonpoints.rules.definitions import RuleDefinition
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.submissions import Located, Submission
from tests.behaviours.world import NOW, World, payment, shipped

PERIOD = Period(date(2026, 6, 1), date(2026, 6, 15))
RIDE = {"distance_km": "5", "fare_medium": "qr"}
RIDE_MG = 134_500
"""5 km by the shipped rule, a millicredit for each."""
GRANT = 1_000
"""Millicredits for a payment by the shipped rule."""


def rule(code: str, **changes: Any) -> RuleDefinition:
    """A shipped rule with some fields changed; from July on, as drafts begin in the future."""
    found = next(each for each in shipped().rules if each.code == code)
    return replace(found, valid_from=datetime.fromisoformat("2026-07-01T00:00:00+08:00"), **changes)


def granting(millicredits: int) -> RuleDefinition:
    """The rule of payments with another grant."""
    found = rule("non_cash_payment")
    return replace(
        found,
        credits=replace(found.credits, grant_millicredits=millicredits),
        samples=tuple(replace(sample, millicredits=millicredits) for sample in found.samples),
    )


def put_in_force(world: World, definition: RuleDefinition, valid_from: datetime | None = None) -> None:
    """Let a rule judge acts from then on, as two persons decide, without asking for evidence and notice."""
    put_version_in_force(
        world.programme_id,
        ProposedVersion(
            kind=VersionKind.RULE,
            code=definition.code,
            content=as_content(definition),
            valid_from=valid_from,
        ),
    )


def put_version_in_force(programme_id: int, version: ProposedVersion) -> None:
    """Put a version in force, as two persons do, without asking for evidence and notice."""
    with transaction() as session:
        made = draft_change(
            session, programme_id=programme_id, proposed=[version], maker_person="maker", reason="test"
        )
        if made.draft_id is None:
            return
        change = lock_change(session, programme_id, made.draft_id)
        take_step(session, change, Step.SUBMIT, person="maker")
        confirm_draft(session, change, read_draft(session, change), person="checker", reason=None)


def submitted(*rules: RuleDefinition) -> Submission:
    return Submission(rules=tuple(Located(each, each.code) for each in rules))


def pay(world: World, count: int, *, customer: str = "C1", days_ago: int = 0) -> None:
    """Report so many payments of one day, all to different payees."""
    at = NOW - timedelta(days=days_ago)
    events = [
        world.event(
            "non_cash_payment",
            payment(f"{customer}-{days_ago}-{world.sent}"),
            customer=customer,
            at=at + timedelta(seconds=number),
        )
        for number in range(count)
    ]
    world.take(*events)


def ride(world: World, *, customer: str = "C1", days_ago: int = 0) -> None:
    at = NOW - timedelta(days=days_ago)
    data = {**RIDE, "ticket_reference": f"T{world.sent}"}
    world.take(world.event("bus_trip", data, customer=customer, at=at))


def ask(world: World, *rules: RuleDefinition, period: Period = PERIOD) -> uuid.UUID:
    return request_backtest(programme_id=world.programme_id, submission=submitted(*rules), period=period)


def work() -> None:
    while continue_next_run():
        pass


def run(world: World, *rules: RuleDefinition, period: Period = PERIOD) -> dict[str, Any]:
    """Back-test drafted rules and return the report."""
    progress = finished(ask(world, *rules, period=period))
    assert progress.state == "done"
    assert progress.report is not None
    return progress.report


def finished(run_id: uuid.UUID) -> BacktestProgress:
    work()
    return read_backtest(run_id=run_id)


def side(awarded_events: int, amount_millicredits: int, reduction_mg: int = 0) -> dict[str, int]:
    return {
        "awarded_events": awarded_events,
        "amount_millicredits": amount_millicredits,
        "reduction_mg": reduction_mg,
    }


def picked(report: dict[str, Any], name: str, names: Sequence[str]) -> dict[str, Any]:
    return {each: report[name][each] for each in names}


def crowd(world: World, count: int) -> None:
    """Open more accounts, each with two payments of a day."""
    names = [f"K{number}" for number in range(count)]
    with transaction() as session:
        programme = programme_settings(session, world.programme_id)
        holders = [NewHolder({Scheme.CUSTOMER_REF: name}) for name in names]
        ids = open_accounts_in_bulk(session, programme, holders)
        world.accounts |= dict(zip(names, ids, strict=True))
    with transaction() as session:
        programme = programme_settings(session, world.programme_id)
        given = NOW - timedelta(days=100)
        consent_in_bulk(
            session, programme, [DeclaredConsent(each, "payments", given, "branch") for each in ids]
        )
    for name in names:
        pay(world, 2, customer=name)
