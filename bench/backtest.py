"""Back-tests of drafts over a whole feed file: events that are replayed in a second by the workers, beside the baseline.

One event counts once, whatever is done for both sides of it. The clock runs from the request to the report. The
machine's processor time is given beside it: on a shared machine it says more than the clock.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text

from bench.feed import load_file
from bench.figures import Figure, Goal, at_least, figure
from bench.generate_feed import MONTH, write_feed
from bench.machine import cpu_seconds
from bench.sizes import Sizes
from bench.stage import POLL_S, Database, Stage, say
from bench.world import POPULATED, catalogue_of_bench
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.services import BacktestProgress, read_backtest, request_backtest
from carbonpoints.core.clock import month_end
from carbonpoints.core.db import reading
from carbonpoints.embedded import Child
from carbonpoints.rules.definitions import CapDefinition, RuleDefinition
from carbonpoints.rules.services import find_programme
from carbonpoints.rules.submissions import Located, Submission

PERIOD = Period(MONTH, month_end(MONTH))
NESTED_PER_S = at_least(100_000)
GENERAL_PER_S = at_least(25_000)
ROWS = "SELECT (SELECT count(*) FROM decision WHERE kind = 2), (SELECT count(*) FROM event_payload)"


@dataclass(frozen=True)
class Replay:
    """One back-test that ran through."""

    seconds: float
    cpu_s: float
    report: Mapping[str, Any]

    @property
    def events(self) -> int:
        """How many events of the period there were."""
        events: int = self.report["events"]
        return events


def nested_caps() -> RuleDefinition:
    """Return the rule of payments without conditions: a cap in mg for the day within one for the month and the year."""
    return replace(
        _payments(),
        counters={},
        eligibility=(),
        caps=(
            CapDefinition(code="nested_day", window="day", mg=4_000),
            CapDefinition(code="nested_month", window="month", mg=40_000),
            CapDefinition(code="nested_year", window="year", mg=300_000),
        ),
        samples=tuple(replace(sample, counters={}) for sample in _payments().samples),
        ineligible_samples=(),
    )


def general() -> RuleDefinition:
    """Return the rule of payments as it ships, conditions, counter and all, with narrower caps."""
    return replace(
        _payments(),
        caps=(
            CapDefinition(code="narrow_day", window="day", count=4),
            CapDefinition(code="narrow_month", window="month", count=50),
        ),
    )


def _payments() -> RuleDefinition:
    return next(rule for rule in catalogue_of_bench().rules if rule.code == "non_cash_payment")


def measure_backtest(stage: Stage, sizes: Sizes) -> list[Figure]:
    """Return the figures of back-tests over one feed file, and how many rows they read."""
    path = stage.directory / "backtest.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        write_feed(file, events=sizes.events, accounts=sizes.accounts)
    with stage.database("backtest", template=POPULATED) as database, stage.workers(database) as worker:
        load_file(database, path, worker)
        path.unlink()
        with database.app.app_context(), reading() as session:
            decisions, payloads = session.execute(text(ROWS)).one()
        stage.checkpoint()
        figures = _figures(
            "backtest", [_run(database, worker, nested_caps()) for _ in range(sizes.runs)], NESTED_PER_S
        )
        figures += _figures(
            "backtest_general", [_run(database, worker, general()) for _ in range(sizes.runs)], GENERAL_PER_S
        )
    return [
        *figures,
        figure("backtest_decision_rows", [decisions]),
        figure("backtest_payload_rows", [payloads]),
    ]


def _figures(name: str, replays: list[Replay], goal: Goal) -> list[Figure]:
    return [
        figure(f"{name}_events_per_s", (one.events / one.seconds for one in replays), goal),
        figure(f"{name}_cpu_us_per_event", (one.cpu_s / one.events * 1_000_000 for one in replays)),
        figure(f"{name}_events", (one.events for one in replays)),
    ]


def _run(database: Database, worker: Child, rule: RuleDefinition) -> Replay:
    """Ask for a back-test as the API does, and wait until the workers have its report."""
    submission = Submission(rules=(Located(rule, rule.code),))
    with database.app.app_context():
        programme_id = find_programme(bank=None, programme=None).programme_id
        before_s, started = cpu_seconds(os.getpid()), time.perf_counter()
        run_id = request_backtest(programme_id=programme_id, submission=submission, period=PERIOD)
        progress = _finished(run_id, worker)
        seconds, cpu_s = time.perf_counter() - started, cpu_seconds(os.getpid()) - before_s
    assert progress.report is not None  # noqa: S101 - it is done
    replay = Replay(seconds, cpu_s, progress.report)
    say(f"  {replay.events / seconds:,.0f} events/s, {cpu_s / replay.events * 1_000_000:.1f} us of CPU each")
    return replay


def _finished(run_id: uuid.UUID, worker: Child) -> BacktestProgress:
    progress = read_backtest(run_id=run_id)
    while not progress.is_finished:
        if not worker.is_running():
            raise worker.failure()
        time.sleep(POLL_S)
        progress = read_backtest(run_id=run_id)
    return progress
