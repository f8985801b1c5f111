"""The inputs of decisions: the only place where they are kept (M15)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def write_payloads(session: Session, payloads: Sequence[tuple[int, int, str]]) -> None:
    """Store (account, number, canonical JSON) rows."""
    if not payloads:
        return
    lines = [
        f"{account_id}\t{account_seq}\t{content.translate(_ESCAPES) if chr(92) in content else content}\n"
        for account_id, account_seq, content in payloads
    ]
    with (
        raw_connection(session).cursor() as cursor,
        cursor.copy("COPY event_payload (account_id, account_seq, content) FROM STDIN") as copy,
    ):
        copy.write("".join(lines).encode())


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
