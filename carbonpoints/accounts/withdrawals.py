"""Withdrawn consents whose time has come: what they covered is to be erased (M11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.ledger.maintenance import read_pins_and_traces

PAGE_HOLDERS = 2_000
"""So many holders are looked at at a time, whether they withdrew anything or not."""

WITHDRAWN = text("""
SELECT h.account_id, c.account_seq, c.source
FROM (SELECT account_id FROM holder WHERE account_id > :after ORDER BY account_id LIMIT :limit) AS h
LEFT JOIN consent c ON c.account_id = h.account_id AND c.action = 'withdrawn'
ORDER BY h.account_id, c.account_seq
""")


@dataclass(frozen=True, slots=True)
class DueErasures:
    """What is to be erased of some holders."""

    by_account: Mapping[int, Mapping[str, int]]
    """Account -> consent source -> number of its withdrawal: what was decided before it goes."""
    last: int | None
    """The last account looked at; None when there was none left."""


def find_due_erasures(session: Session, *, after_account_id: int, at: datetime) -> DueErasures:
    """Look at the next accounts for withdrawals whose retention is over at an instant.

    A consent given again does not stop the clock of an earlier withdrawal: it covers what was decided after it.
    """
    rows = session.execute(WITHDRAWN, {"after": after_account_id, "limit": PAGE_HOLDERS}).all()
    withdrawn = [(row.account_id, row.account_seq) for row in rows if row.source is not None]
    decided = read_pins_and_traces(session, withdrawn)
    due: dict[int, dict[str, int]] = {}
    for account_id, seq, source in rows:
        if source is None:
            continue
        _, trace = decided[account_id, seq]
        if datetime.fromisoformat(trace["erase_payloads_from"]) <= at:
            due.setdefault(account_id, {})[source] = seq
    return DueErasures(due, rows[-1].account_id if rows else None)
