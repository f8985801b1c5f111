"""Back-tests as jobs: one row says what is asked and how far it has come, ranges of accounts are replayed (M19).

A partition is replayed and stored in one transaction, so that a worker may be killed at any moment and any number of
them may work side by side. Nobody writes to the ledger.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.versions import VersionKind, content_hash, current_versions
from carbonpoints.behaviours.jobs import collector_paused
from carbonpoints.behaviours.replay.drafts import draft_content, read_draft_content
from carbonpoints.behaviours.replay.evidence import record_back_test
from carbonpoints.behaviours.replay.forecast import BudgetLimit
from carbonpoints.behaviours.replay.history import Extent, Period, read_facts
from carbonpoints.behaviours.replay.models import BacktestRun
from carbonpoints.behaviours.replay.prepared import Prepared, prepare_draft, prepare_rerun, replay_extent
from carbonpoints.behaviours.replay.report import Basis, make_report
from carbonpoints.behaviours.replay.restatement import LEFT, RestatementDefinition, Standing, read_restatement
from carbonpoints.behaviours.replay.totals import Totals
from carbonpoints.core import clock
from carbonpoints.core.clock import Calendar
from carbonpoints.core.db import raw_connection, transaction
from carbonpoints.ledger.history import outstanding_millicredits, partition_accounts
from carbonpoints.rules.budget_views import budgets_left
from carbonpoints.rules.drafting import held_since_ever
from carbonpoints.rules.reading import as_content

PARTITION_NUMBERS = 50_000
"""An account's events take two or three of its numbers each: some twenty thousand events."""
PARTITIONS_MAX = 500
"""More accounts make longer partitions, not more of them."""

SUMMED = ("outstanding_millicredits", *LEFT)
"""What is summed over partitions beside their totals."""

INSERT_PARTITIONS = """
INSERT INTO backtest_partition (run_id, partition_no, first_account_id, last_account_id) VALUES (%s, %s, %s, %s)
"""
NEXT_PARTITION = text("""
SELECT p.run_id, p.partition_no, p.first_account_id, p.last_account_id
FROM backtest_run r JOIN backtest_partition p USING (run_id)
WHERE r.state = 'running' AND p.totals IS NULL
ORDER BY r.requested_at, r.run_id, p.partition_no LIMIT 1 FOR UPDATE OF p SKIP LOCKED
""")
# Whoever cancels waits for this lock, and removes what was stored under it.
STILL_RUNNING = text("SELECT 1 FROM backtest_run WHERE run_id = :run_id AND state = 'running' FOR SHARE")
COPY_ACCOUNTS = "COPY backtest_account FROM STDIN"
STORE_TOTALS = """
UPDATE backtest_partition SET totals = %s WHERE run_id = %s AND partition_no = %s
"""
NEXT_COMPLETE = text("""
SELECT r.run_id FROM backtest_run r WHERE r.state = 'running'
AND NOT EXISTS (SELECT FROM backtest_partition p WHERE p.run_id = r.run_id AND p.totals IS NULL)
ORDER BY r.requested_at, r.run_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED
""")
READ_TOTALS = text("SELECT totals FROM backtest_partition WHERE run_id = :run_id ORDER BY partition_no")
FORGET_ACCOUNTS = text("DELETE FROM backtest_account WHERE run_id = :run_id")
NO_TIMEOUT = text("SET LOCAL statement_timeout = 0")


@dataclass(frozen=True)
class Asked:
    """What a run asks."""

    programme_id: int
    draft: tuple[ProposedVersion, ...]
    period: Period
    restatement: RestatementDefinition | None
    """Whose differences are asked for; without one, the draft is held against the past as if always in force."""
    requested_at: datetime


_prepared: dict[uuid.UUID, Prepared] = {}
"""What this process works on: reading it costs as much as a thousand events."""


def start_run(
    session: Session,
    programme_id: int,
    draft: Sequence[ProposedVersion],
    period: Period,
    *,
    change_request_id: int | None,
    restatement: RestatementDefinition | None = None,
) -> uuid.UUID:
    """Write a run with its partitions; raises RulesOverlap where the draft cannot stand beside what is in force."""
    run_id, content, requested_at = uuid.uuid4(), draft_content(draft), clock.now()
    _prepare(session, Asked(programme_id, tuple(draft), period, restatement, requested_at))
    session.add(
        BacktestRun(
            run_id=run_id,
            programme_id=programme_id,
            change_request_id=change_request_id,
            draft=content,
            restatement=as_content(restatement) if restatement is not None else None,
            draft_hash=content_hash(content),
            first_day=period.first_day,
            last_day=period.last_day,
            state="running",
            requested_at=requested_at,
        )
    )
    session.flush()
    ranges = partition_accounts(session, programme_id, least=PARTITION_NUMBERS, most=PARTITIONS_MAX)
    with raw_connection(session).cursor() as cursor:
        cursor.executemany(INSERT_PARTITIONS, [(run_id, no, *range_) for no, range_ in enumerate(ranges, 1)])
    return run_id


def continue_next_run() -> bool:
    """Do the next piece of work on any run: a partition replayed, a run closed; False when there is none."""
    with collector_paused():
        return _replay_next_partition() or _close_next_run()


def _replay_next_partition() -> bool:
    with transaction() as session:
        row = session.execute(NEXT_PARTITION).one_or_none()
        if row is None:
            return False
        run = session.get_one(BacktestRun, row.run_id)
        asked = Asked(
            run.programme_id,
            read_draft_content(run.draft),
            Period(run.first_day, run.last_day),
            read_restatement(run.restatement) if run.restatement is not None else None,
            run.requested_at,
        )
        if run.run_id not in _prepared:
            _prepared.clear()
            _prepared[run.run_id] = _prepare(session, asked)
        extent = Extent(row.first_account_id, row.last_account_id, booked_until=asked.requested_at)
        calendar = programme_settings(session, asked.programme_id).calendar
        totals, standing = replay_accounts(session, _prepared[run.run_id], extent, calendar)
        content = {
            **totals.as_content(),
            "outstanding_millicredits": _outstanding(session, asked, extent),
            **standing.left(),
        }
        if session.execute(STILL_RUNNING, {"run_id": run.run_id}).one_or_none() is not None:
            _store(session, run.run_id, row.partition_no, totals, content)
    return True


def _prepare(session: Session, asked: Asked) -> Prepared:
    known_at = asked.requested_at
    if asked.restatement is not None:
        return prepare_rerun(session, asked.programme_id, asked.restatement, asked.draft, known_at=known_at)
    draft = held_since_ever(asked.draft)
    return prepare_draft(session, asked.programme_id, draft, asked.period, known_at=known_at)


def replay_accounts(
    session: Session, prepared: Prepared, extent: Extent, calendar: Calendar
) -> tuple[Totals, Standing]:
    """Replay the events of a range of accounts and return their totals, and what a restatement leaves as it is."""
    totals = Totals()
    facts = read_facts(session, extent, calendar)
    standing = Standing(facts)
    replayed = replay_extent(session, prepared, extent, facts)
    totals.take(standing.of(replayed) if prepared.is_rerun else replayed, prepared.expiry_months)
    return totals, standing


def _outstanding(session: Session, asked: Asked, extent: Extent) -> int:
    calendar = programme_settings(session, asked.programme_id).calendar
    midnight = datetime.combine(asked.period.last_day + timedelta(days=1), time(), calendar.zone)
    return outstanding_millicredits(
        session,
        asked.programme_id,
        (extent.first_account_id, extent.last_account_id),
        day=asked.period.last_day,
        until=midnight,
    )


def _store(
    session: Session, run_id: uuid.UUID, partition_no: int, totals: Totals, content: Mapping[str, Any]
) -> None:
    with raw_connection(session).cursor() as cursor:
        with cursor.copy(COPY_ACCOUNTS) as copy:
            for account_id, compared in totals.accounts.items():
                copy.write_row((run_id, account_id, compared.events, *compared.numbers()))
        cursor.execute(STORE_TOTALS, (Jsonb(content), run_id, partition_no))


def _close_next_run() -> bool:
    """Write the report of a run whose partitions are all replayed."""
    with transaction() as session:
        run_id = session.execute(NEXT_COMPLETE).scalar_one_or_none()
        if run_id is None:
            return False
        session.execute(NO_TIMEOUT)
        run = session.get_one(BacktestRun, run_id)
        totals, summed = Totals(), Counter[str]()
        for content in session.scalars(READ_TOTALS, {"run_id": run_id}):
            totals.merge_content(content)
            summed.update({name: content.get(name, 0) for name in SUMMED})
        programme = programme_settings(session, run.programme_id)
        today = programme.calendar.business_date(clock.now())
        basis = Basis(
            run_id=run_id,
            period=Period(run.first_day, run.last_day),
            today=today,
            millifen_per_credit=_millifen_per_credit(session, run),
            outstanding_millicredits=summed["outstanding_millicredits"],
            limits=[BudgetLimit(*left) for left in budgets_left(session, programme, today)],
        )
        run.report = make_report(session, basis, totals)
        if run.restatement is not None:
            run.report |= {name: summed[name] for name in LEFT}
        run.state, run.finished_at = "done", clock.now()
        session.flush()
        session.execute(FORGET_ACCOUNTS, {"run_id": run_id})
        record_back_test(session, run)
    return True


def _millifen_per_credit(session: Session, run: BacktestRun) -> int | None:
    """Return what a credit costs, by the programme's settings of when the run was asked for; None if they do not say."""
    versions = current_versions(session, run.programme_id, VersionKind.PROGRAMME, known_at=run.requested_at)
    found = (
        version.content.get("millifen_per_credit")
        for version in versions
        if version.holds_at(run.requested_at)
    )
    return next(found, None)


def cancel_run(session: Session, run: BacktestRun) -> None:
    """End a run that is locked and running: what was added up is dropped, and nobody goes on with it."""
    run.state, run.finished_at = "cancelled", clock.now()
    session.flush()
    session.execute(FORGET_ACCOUNTS, {"run_id": run.run_id})
