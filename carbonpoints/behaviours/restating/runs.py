"""Posting approved restatements as jobs: a row says what is to be done, ranges of accounts are posted one by one (M19).

A range is judged, posted and marked in one transaction, so that a worker may be killed at any moment and any number of
them may work side by side.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.versions import read_versions
from carbonpoints.behaviours.jobs import collector_paused
from carbonpoints.behaviours.replay.prepared import prepare_rerun
from carbonpoints.behaviours.replay.restatement import LEFT, read_restatement
from carbonpoints.behaviours.restating.models import RestatementRun
from carbonpoints.behaviours.restating.posting import Approved, post_differences
from carbonpoints.core import audit, clock
from carbonpoints.core.db import raw_connection, transaction
from carbonpoints.ledger.flows import Moment
from carbonpoints.ledger.history import accounts_between
from carbonpoints.rules.catalogue import stored_pins

QUIET = timedelta(seconds=60)
"""Whatever was being decided by the old versions when the restatement was approved is booked by then."""

NEXT_PARTITION = text("""
SELECT p.version_id, p.partition_no, p.first_account_id, p.last_account_id
FROM restatement_run r JOIN restatement_partition p USING (version_id)
WHERE r.finished_at IS NULL AND r.approved_at <= :approved_until AND p.posted IS NULL
ORDER BY r.approved_at, r.version_id, p.partition_no LIMIT 1 FOR UPDATE OF p SKIP LOCKED
""")
STORE_POSTED = "UPDATE restatement_partition SET posted = %s WHERE version_id = %s AND partition_no = %s"
NEXT_COMPLETE = text("""
SELECT r.version_id FROM restatement_run r WHERE r.finished_at IS NULL
AND NOT EXISTS (SELECT FROM restatement_partition p WHERE p.version_id = r.version_id AND p.posted IS NULL)
ORDER BY r.approved_at, r.version_id LIMIT 1 FOR UPDATE OF r SKIP LOCKED
""")
READ_POSTED = text("SELECT posted FROM restatement_partition WHERE version_id = :version_id")
NO_TIMEOUT = text("SET LOCAL statement_timeout = 0")
NOTHING_POSTED = dict.fromkeys(
    ("events", "awards", "accounts", "millicredits", "added_mg", "taken_mg", *LEFT), 0
)

_prepared: dict[int, Approved] = {}
"""What this process works on."""


def continue_next_restatement() -> bool:
    """Do the next piece of work on any restatement: a range posted, a run closed; False when there is none.

    Raises Busy where an account stays locked: the range is taken again later.
    """
    with collector_paused():
        return _post_next_partition() or _close_next_run()


def _post_next_partition() -> bool:
    with transaction() as session:
        row = session.execute(NEXT_PARTITION, {"approved_until": clock.now() - QUIET}).one_or_none()
        if row is None:
            return False
        session.execute(NO_TIMEOUT)
        approved = _approved(session, session.get_one(RestatementRun, row.version_id))
        programme_id = approved.programme.id
        account_ids = accounts_between(session, programme_id, row.first_account_id, row.last_account_id)
        moment = Moment.at(clock.now(), approved.programme.calendar)
        posted = post_differences(session, approved, account_ids, moment)
        raw_connection(session).execute(STORE_POSTED, (Jsonb(posted), row.version_id, row.partition_no))
    return True


def _approved(session: Session, run: RestatementRun) -> Approved:
    found = _prepared.get(run.version_id)
    if found is None:
        version = read_versions(session, [run.version_id])[run.version_id]
        restatement = read_restatement(version.content)
        prepared = prepare_rerun(session, run.programme_id, restatement, known_at=run.approved_at)
        judging = {rule.pin_hash for judge in prepared.judges.values() for rule in judge.judging()}
        found = Approved(
            run.version_id,
            programme_settings(session, run.programme_id),
            prepared,
            stored_pins(session, judging),
        )
        _prepared.clear()
        _prepared[run.version_id] = found
    return found


def _close_next_run() -> bool:
    with transaction() as session:
        version_id = session.execute(NEXT_COMPLETE).scalar_one_or_none()
        if version_id is None:
            return False
        run = session.get_one(RestatementRun, version_id)
        summed: Counter[str] = Counter(NOTHING_POSTED)
        for posted in session.scalars(READ_POSTED, {"version_id": version_id}):
            summed.update(posted)
        run.posted, run.finished_at = dict(summed), clock.now()
        audit.record(session, action="restatement.done", detail={"version_id": version_id, **summed})
    return True
