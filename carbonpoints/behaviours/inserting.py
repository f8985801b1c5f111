"""Rows that may be there already, copied when they are expected to be new.

PostgreSQL inserts speculatively where a statement says ON CONFLICT, and that costs two to three times as much
as a plain insert. So many rows that are expected to be new are copied, behind a savepoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from sqlalchemy.orm import Session

from carbonpoints.core.db import copy_rows, raw_connection

MANY = 50
"""From so many rows on the savepoint costs less than it saves."""


def copy_if_all_new(session: Session, target: str, rows: Sequence[bytes]) -> bool:
    """Copy many rows of a binary COPY; False, and nothing is changed, for few or when one of them is there already."""
    if len(rows) < MANY:
        return False
    try:
        with raw_connection(session).transaction():
            copy_rows(session, target, rows)
    except psycopg.errors.UniqueViolation:
        return False
    return True
