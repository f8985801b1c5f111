"""What there is to see of restatements: what each restates, why, and how far posting has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from carbonpoints.behaviours.replay.restatement import RestatementDefinition, read_restatement
from carbonpoints.behaviours.restating.errors import RestatementNotFound
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading
from carbonpoints.core.programmes import programme_of

RUNS = text("""
SELECT v.code, v.version_id, v.change_request_id, v.content, r.approved_at, r.finished_at, r.posted,
    count(p.partition_no) AS partitions, count(p.posted) AS partitions_done
FROM restatement_run r JOIN version v USING (version_id) LEFT JOIN restatement_partition p USING (version_id)
WHERE r.programme_id = :programme_id AND (CAST(:code AS text) IS NULL OR v.code = :code)
GROUP BY v.version_id, r.version_id ORDER BY r.approved_at DESC, r.version_id DESC
""")


@dataclass(frozen=True)
class RestatementProgress:
    """A restatement, and how far posting it has come; what was posted once all is."""

    restatement: RestatementDefinition
    version_id: int
    change_request_id: int
    approved_at: datetime
    finished_at: datetime | None
    partitions: int
    partitions_done: int
    posted: dict[str, Any] | None


def list_restatements(*, caller: Caller) -> list[RestatementProgress]:
    """Return the approved restatements of the caller's programme, latest first."""
    return _read(caller, None)


def read_restatement_progress(*, caller: Caller, code: str) -> RestatementProgress:
    """Return one restatement by its code; raises RestatementNotFound."""
    found = _read(caller, code)
    if not found:
        raise RestatementNotFound
    return found[0]


def _read(caller: Caller, code: str | None) -> list[RestatementProgress]:
    with reading() as session:
        parameters = {"programme_id": programme_of(session, caller), "code": code}
        return [
            RestatementProgress(
                restatement=read_restatement(row.content),
                version_id=row.version_id,
                change_request_id=row.change_request_id,
                approved_at=row.approved_at,
                finished_at=row.finished_at,
                partitions=row.partitions,
                partitions_done=row.partitions_done,
                posted=row.posted,
            )
            for row in session.execute(RUNS, parameters)
        ]
