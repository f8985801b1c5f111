"""Crediting staged files: chunk by chunk, resumable, side by side (M19).

A chunk is decided in the same two steps as a single event, and its row is closed in the very transaction
that books its events. A worker that dies leaves nothing half done: its locks go with its connection, and the
next one takes the chunk. Chunks of one bucket go in file order; buckets go side by side.
"""

from __future__ import annotations

import gc
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.intake import place, prepare
from carbonpoints.behaviours.services import decide_placed, open_delivery
from carbonpoints.behaviours.staged import decode_chunk
from carbonpoints.behaviours.work import Receipt
from carbonpoints.core import clock
from carbonpoints.core.db import transaction
from carbonpoints.rules.catalogue import load_catalogue

NEXT_CHUNK = text("""
SELECT c.chunk_no, c.content FROM feed_chunk c
WHERE c.job_id = :job_id AND c.outcome IS NULL
  AND NOT EXISTS (SELECT FROM feed_chunk e WHERE e.job_id = c.job_id AND e.bucket = c.bucket
                  AND e.outcome IS NULL AND e.chunk_no < c.chunk_no)
ORDER BY c.chunk_no LIMIT 1 FOR UPDATE OF c SKIP LOCKED
""")
SAME_CHUNK = text("""
SELECT chunk_no FROM feed_chunk WHERE job_id = :job_id AND chunk_no = :chunk_no AND outcome IS NULL
FOR UPDATE SKIP LOCKED
""")
CLOSE_CHUNK = text("""
UPDATE feed_chunk SET outcome = CAST(:outcome AS jsonb), content = NULL
WHERE job_id = :job_id AND chunk_no = :chunk_no
""")
CLOSE_JOB = text("""
UPDATE feed_job j SET state = 'done', finished_at = :now
WHERE job_id = :job_id AND state = 'staged'
  AND NOT EXISTS (SELECT FROM feed_chunk c WHERE c.job_id = j.job_id AND c.outcome IS NULL)
RETURNING job_id
""")


class ChunkTakenError(Exception):
    """Another worker took the chunk between our two steps; it will finish it."""


@dataclass(frozen=True)
class JobSource:
    """Where a job's events come from."""

    job_id: uuid.UUID
    programme_id: int
    source_uri: str


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking over a chunk's rows, which are no cycles, again and again.

    It costs a third of the time otherwise. Workers run one task at a time, so nobody else waits for it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def credit_next_chunk(job: JobSource) -> bool:
    """Decide the next free chunk of a staged job; False when there is none (left or free)."""
    with collector_paused():
        return _credit_next_chunk(job)


def _credit_next_chunk(job: JobSource) -> bool:
    received_at = clock.now()
    with transaction() as session:
        row = session.execute(NEXT_CHUNK, {"job_id": job.job_id}).one_or_none()
        if row is None:
            return False
        chunk_no, events = row.chunk_no, decode_chunk(row.content)
        catalogue = load_catalogue(session, job.programme_id)
        delivery = open_delivery(
            session,
            programme_id=job.programme_id,
            source_uri=job.source_uri,
            received_at=received_at,
            catalogue=catalogue,
        )
        candidates = prepare(delivery, catalogue, events)
        place(session, delivery, candidates)
    key = {"job_id": job.job_id, "chunk_no": chunk_no}

    def take_again(session: Session) -> None:
        # Before any account is locked: whoever comes second looks for another chunk and does not wait.
        if session.execute(SAME_CHUNK, key).one_or_none() is None:
            raise ChunkTakenError

    def close(session: Session, receipts: Sequence[Receipt]) -> None:
        counts = count_outcomes(receipts)
        session.execute(CLOSE_CHUNK, {**key, "outcome": json.dumps(counts, sort_keys=True)})

    try:
        decide_placed(delivery, candidates, begin=take_again, finish=close)
    except ChunkTakenError:
        return True
    return True


def count_outcomes(receipts: Sequence[Receipt]) -> dict[str, int]:
    """Return how many events ended how: by disposition, and for ineligible ones by reason."""
    counts = Counter((int(receipt.disposition), receipt.reason) for receipt in receipts)
    outcomes: Counter[str] = Counter()
    for (number, reason), count in counts.items():
        disposition = Disposition(number)
        is_reasoned = disposition is Disposition.INELIGIBLE and reason
        outcomes[f"{disposition.code}:{reason}" if is_reasoned else disposition.code] += count
    return dict(outcomes)


def close_job_if_done(job_id: uuid.UUID) -> bool:
    """Mark a staged job done when none of its chunks is open; True when this call did it."""
    with transaction() as session:
        closed = session.execute(CLOSE_JOB, {"job_id": job_id, "now": clock.now()})
        return closed.one_or_none() is not None
