"""The audit trail names actor, role, purpose and request, pseudonymously, and cannot be changed."""

from __future__ import annotations

import pytest
from flask import Flask, g
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from carbonpoints.core.audit import record
from carbonpoints.core.auth import Caller, caller_hash
from carbonpoints.core.models import AuditRecord
from carbonpoints.core.roles import Role

AGENT = Caller(3, "https://a.test", "agent-7", Role.CUSTOMER_SERVICE, frozenset(), "p-7", "green", ())


def test_a_request_s_record_names_its_caller(app: Flask, session: Session) -> None:
    with app.test_request_context():
        g.caller, g.request_id = AGENT, "call-0001"
        record(session, account_id=100_001, action="account.read", purpose="case:17", detail={"fields": 3})
        session.flush()
        row = session.scalars(select(AuditRecord)).one()
        assert (row.account_id, row.action, row.purpose, row.detail) == (
            100_001,
            "account.read",
            "case:17",
            {"fields": 3},
        )
        assert (row.bank_id, row.actor_role, row.request_id) == (3, "customer_service", "call-0001")
        assert row.actor_hash == caller_hash(AGENT)


def test_outside_requests_the_actor_is_the_system(session: Session) -> None:
    record(session, action="keys.rotated")
    session.flush()
    row = session.scalars(select(AuditRecord)).one()
    assert (row.account_id, row.bank_id, row.actor_role, row.request_id, row.detail) == (
        0,
        0,
        "system",
        None,
        {},
    )


@pytest.mark.parametrize("change", [update(AuditRecord).values(action="x"), delete(AuditRecord)])
def test_nobody_changes_it(session: Session, change: object) -> None:
    record(session, action="account.read")
    session.flush()
    with pytest.raises(DBAPIError, match="append-only"):
        session.execute(change)  # type: ignore[call-overload]
