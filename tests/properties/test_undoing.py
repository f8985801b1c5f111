"""Events, corrections and reversals in any order, again and again, against a plain account of what survives (M6, M9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.bulk import DeclaredConsent, consent_in_bulk, open_accounts_in_bulk
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import transaction
from carbonpoints.ledger.reconcile import check
from tests.behaviours.conftest import make_world
from tests.behaviours.undoing import has, spend, used
from tests.behaviours.world import NOW, SOURCES, World

__all__ = ["make_world"]

MG_PER_100_M = 2_690
TRANSIT = SOURCES["bus_trip"]


class Report(NamedTuple):
    """An event, or with `revision` None the reversal of one. At the most five rides stand: no cap is met."""

    number: int
    revision: int | None
    hundreds_m: int


class Spending(NamedTuple):
    """Of a thousand parts of what is available."""

    share: int


REPORTS = st.builds(
    Report, st.integers(0, 4), st.none() | st.integers(0, 3) | st.integers(0, 3), st.integers(1, 9)
)
STEPS = st.lists(
    st.lists(REPORTS, min_size=1, max_size=4) | st.builds(Spending, st.integers(0, 1000)),
    min_size=1,
    max_size=10,
)


@dataclass
class Plain:
    """What survives: by event its newest revision and mg, and which are reversed."""

    newest: dict[int, tuple[int, int]] = field(default_factory=dict)
    reversed: set[int] = field(default_factory=set)
    spent: int = 0

    def take(self, reports: list[Report]) -> None:
        """Of one delivery the reversals hold for all of it, and of several revisions the highest, the first of them."""
        self.reversed |= {report.number for report in reports if report.revision is None}
        for report in sorted(reports, key=lambda each: -(each.revision or 0)):
            revision = report.revision
            known = self.newest.get(report.number)
            if revision is None or report.number in self.reversed or (known and known[0] >= revision):
                continue
            self.newest[report.number] = (revision, report.hundreds_m * MG_PER_100_M)

    @property
    def standing(self) -> dict[int, int]:
        return {number: mg for number, (_, mg) in self.newest.items() if number not in self.reversed}


@pytest.fixture
def world(session: Session, make_world: Callable[[], World]) -> Iterator[World]:
    with clock_at(NOW):
        yield make_world()
        session.rollback()


def open_another(world: World, name: str) -> None:
    """Put a customer without a past in the place of the first."""
    with transaction() as session:
        programme = programme_settings(session, world.programme_id)
        (account_id,) = open_accounts_in_bulk(session, programme, [NewHolder({Scheme.CUSTOMER_REF: name})])
    with transaction() as session:
        given_at = NOW - timedelta(days=100)
        consent_in_bulk(session, programme, [DeclaredConsent(account_id, "trips", given_at, "branch")])
    world.accounts["C1"] = account_id


def staged(world: World, name: str, report: Report) -> StagedEvent:
    event_id = f"{name} {report.number}"
    if report.revision is None:
        return world.reversal(event_id, behaviour="bus_trip", event_id=f"{event_id} back", customer=name)
    data = {
        "distance_km": f"0.{report.hundreds_m}",
        "ticket_reference": f"{event_id} {report.hundreds_m % 2}",
        "fare_medium": "qr",
    }
    return world.event("bus_trip", data, event_id=event_id, revision=report.revision, customer=name)


def entries(session: Session, world: World) -> int:
    found = session.scalar(
        text("SELECT count(*) FROM entry WHERE account_id = :id"), {"id": world.accounts["C1"]}
    )
    session.rollback()
    return int(found or 0)


def test_what_survives_is_what_counts(world: World, session: Session) -> None:
    names = count()

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(STEPS)
    def live(steps: list[list[Report] | Spending]) -> None:
        name = f"H{next(names)}"
        open_another(world, name)
        plain, sent = Plain(), []
        for step in steps:
            if isinstance(step, Spending):
                amount = has(world, session)[0] * step.share // 1000
                if amount:
                    spend(world, amount)
                    plain.spent += amount
                continue
            events = [staged(world, name, report) for report in step]
            sent.append(events)
            world.take(*events, source=TRANSIT)
            plain.take(step)
            is_as_plain(plain)
        before = entries(session, world)
        for events in [*sent, *reversed(sent)]:
            world.take(*events, source=TRANSIT)
            is_as_plain(plain)
        assert entries(session, world) == before

    def is_as_plain(plain: Plain) -> None:
        available, _, due, mg = has(world, session)
        total = sum(plain.standing.values())
        assert (mg, available - due) == (total, total - plain.spent)
        day = used(session, world.accounts["C1"])
        assert [row[1:4] for row in day if row[1]] == (
            [(len(plain.standing), total, total)] if plain.standing else []
        )

    live()
    assert [finding.code for finding in check(session) if finding.differences] == []
