"""Rows that may be there already, inserted the cheaper way when they are expected to be new.

PostgreSQL inserts speculatively where a statement says ON CONFLICT, and that costs two to three times as much
as a plain insert. So many rows that are expected to be new are inserted plainly, behind a savepoint.
"""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy.orm import Session

from carbonpoints.core.db import raw_connection


def insert_unless_known(
    session: Session, statement: str, arguments: tuple[Any, ...], *, expects_new: bool
) -> bool:
    """Run an INSERT without its ON CONFLICT clause; rows that are there already stay as they are.

    Returns True when every row is known to be new; False when some were there, or may have been.
    """
    connection = raw_connection(session)
    if expects_new:
        try:
            with connection.transaction():
                connection.execute(statement, arguments)
        except psycopg.errors.UniqueViolation:
            pass
        else:
            return True
    connection.execute(f"{statement} ON CONFLICT DO NOTHING", arguments)
    return False
