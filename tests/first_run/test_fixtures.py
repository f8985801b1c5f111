"""The fixtures keep their promises: what a test leaves behind, the next one does not find."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from carbonpoints.core.db import db, transaction

INSERT = text("INSERT INTO bank (code, issuer, name_en, name_zh) VALUES ('b', 'https://b.test', 'B', 'B')")
COUNT = text("SELECT count(*) FROM bank WHERE code = 'b'")


@pytest.mark.parametrize("_", [1, 2])
def test_the_session_forgets_what_a_service_committed(session: Session, _: int) -> None:
    assert session.scalar(COUNT) == 0
    session.rollback()
    with transaction() as inner:
        inner.execute(INSERT)
    db.session.remove()
    assert db.session.scalar(COUNT) == 1


def test_a_failed_transaction_leaves_the_earlier_one(session: Session) -> None:
    with transaction() as inner:
        inner.execute(INSERT)
    with pytest.raises(ProgrammingError), transaction() as inner:
        inner.execute(text("DELETE FROM bank; SELECT nothing_of_that_name"))
    assert session.scalar(COUNT) == 1


def test_committed_is_seen_by_another_connection(committed: Flask) -> None:
    with committed.app_context():
        with transaction() as inner:
            inner.execute(INSERT)
        with db.engine.connect() as other:
            assert other.scalar(COUNT) == 1
