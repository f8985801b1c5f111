"""The inputs of decisions: the only place where they are kept (M15)."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from struct import Struct
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.core.arrays import of_numbers
from carbonpoints.core.db import copy_rows, raw_connection

PAYLOADS = "event_payload (account_id, account_seq, content)"
_HEAD = Struct(">h iq iq i")


def write_payloads(session: Session, payloads: Sequence[tuple[int, int, bytes]]) -> None:
    """Store (account, number, canonical JSON in UTF-8) rows.

    An account's rows go side by side, as its decisions do: whoever replays it reads a few pages, not one for each.
    """
    pack = _HEAD.pack
    rows = [
        pack(3, 8, account_id, 8, account_seq, len(content)) + content
        for account_id, account_seq, content in sorted(payloads)
    ]
    copy_rows(session, PAYLOADS, rows)


READ = """
SELECT account_id, account_seq, content FROM event_payload
JOIN unnest(%s::bigint[], %s::bigint[]) AS asked (account_id, account_seq) USING (account_id, account_seq)
"""


def read_payload(session: Session, account_id: int, account_seq: int) -> dict[str, Any] | None:
    """Return the inputs of a decision, or None when they were erased."""
    return read_payloads(session, [(account_id, account_seq)]).get((account_id, account_seq))


def read_payloads(
    session: Session, decisions: Collection[tuple[int, int]]
) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the inputs of decisions, named by account and number; those that were erased are absent."""
    account_ids, seqs = zip(*decisions, strict=True)
    rows = raw_connection(session).execute(READ, (of_numbers(account_ids), of_numbers(seqs)))
    return {(account_id, seq): json.loads(content) for account_id, seq, content in rows}
