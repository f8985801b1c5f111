"""Restatements, events and reversals at once: every award is set right once, whoever comes first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from carbonpoints.behaviours.replay.reexecution import Result, reexecute
from carbonpoints.behaviours.restating import posting
from carbonpoints.behaviours.restating.runs import continue_next_restatement
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import reading
from carbonpoints.core.errors import Busy
from carbonpoints.ledger.reconcile import check
from tests.behaviours.world import World
from tests.concurrency.test_events import at_once, count, world
from tests.concurrency.test_undoing import a_ride, balances, taking
from tests.restating.scenes import POSTED_AT, YESTERDAY, approve, factor, restatement

__all__ = ["world"]

OLD_MG, NEW_MG = 134_500, 150_000


def keep_posting() -> bool:
    """Post until nothing is left: a range whose accounts stay locked is taken again."""
    while True:
        try:
            if not continue_next_restatement():
                return True
        except Busy:
            continue


def prove() -> None:
    with reading() as session:
        assert [finding for finding in check(session) if finding.differences] == []


@pytest.fixture
def rides(committed: Flask, world: World) -> None:
    """Twelve rides of yesterday, by two customers, with a figure that is too low."""
    with committed.app_context():
        for number in range(12):
            taking(world, a_ride(world, f"E-{number}", customer=f"C{1 + number % 2}", at=YESTERDAY))()
        approve(world, factor("30"), restatement())


@pytest.mark.usefixtures("rides")
def test_sixteen_workers_post_every_difference_once(committed: Flask, world: World) -> None:
    with clock_at(POSTED_AT):
        at_once(committed, [keep_posting] * 16)
    with committed.app_context():
        assert count("SELECT count(*) FROM decision WHERE kind = 17") == 12
        assert balances() == {1: 12 * NEW_MG, 5: 12 * NEW_MG}
        assert count("SELECT (posted ->> 'awards')::int FROM restatement_run") == 12
        prove()


@pytest.mark.usefixtures("rides")
def test_reversals_and_late_events_at_the_same_time_come_to_the_same(committed: Flask, world: World) -> None:
    calls: list[Callable[[], object]] = [keep_posting] * 4
    for number in range(0, 12, 2):
        back = world.reversal(f"E-{number}", behaviour="bus_trip", customer="C1")
        calls.append(taking(world, back))
        calls.append(taking(world, a_ride(world, f"late {number}", customer="C2", at=YESTERDAY)))
    with clock_at(POSTED_AT):
        at_once(committed, calls)
        with committed.app_context():
            keep_posting()
            # The second customer's six rides of the day used its count; the first has none left.
            assert balances() == {1: 6 * NEW_MG, 5: 6 * NEW_MG}
            assert count("SELECT sum(awards) FROM usage WHERE period = 'day'") == 6
            assert count("SELECT sum(reduction_mg) FROM usage WHERE period = 'day'") == 6 * NEW_MG
            prove()
            ends = {reexecute(account_id=one, account_seq=seq).result for one, seq in _events()}
            assert ends <= {Result.SAME, Result.NOT_JUDGED}


def _events() -> list[tuple[int, int]]:
    with reading() as session:
        rows = session.execute(text("SELECT account_id, account_seq FROM decision WHERE kind = 2"))
        return [(row[0], row[1]) for row in rows]


@pytest.mark.usefixtures("rides")
@pytest.mark.parametrize("dies_at", ["write_books", "open_books", "read_facts"])
def test_a_worker_that_dies_leaves_nothing_half_done(
    committed: Flask, world: World, dies_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_args: object, **_kwargs: object) -> None:
        raise SystemExit

    with committed.app_context(), clock_at(POSTED_AT + timedelta(minutes=1)):
        with monkeypatch.context() as patched:
            patched.setattr(posting, dies_at, die)
            with pytest.raises(SystemExit):
                keep_posting()
        assert count("SELECT count(*) FROM decision WHERE kind = 17") == 0
        assert balances() == {1: 12 * OLD_MG, 5: 12 * OLD_MG}
        keep_posting()
        assert balances() == {1: 12 * NEW_MG, 5: 12 * NEW_MG}
        prove()
