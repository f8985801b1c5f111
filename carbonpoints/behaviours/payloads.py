"""The inputs of decisions: the only place where they are kept (M15)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from struct import Struct
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.core.db import copy_rows, raw_connection

PAYLOADS = "event_payload (account_id, account_seq, content)"
_HEAD = Struct(">h iq iq i")


def write_payloads(session: Session, payloads: Sequence[tuple[int, int, bytes]]) -> None:
    """Store (account, number, canonical JSON in UTF-8) rows."""
    pack = _HEAD.pack
    rows = [
        pack(3, 8, account_id, 8, account_seq, len(content)) + content
        for account_id, account_seq, content in payloads
    ]
    copy_rows(session, PAYLOADS, rows)


def read_payload(session: Session, account_id: int, account_seq: int) -> dict[str, Any] | None:
    """Return the inputs of a decision, or None when they were erased."""
    row = (
        raw_connection(session)
        .execute(
            "SELECT content FROM event_payload WHERE account_id = %s AND account_seq = %s",
            (account_id, account_seq),
        )
        .fetchone()
    )
    return None if row is None else json.loads(row[0])
