"""A programme to book in."""

from __future__ import annotations

from sqlalchemy.orm import Session

from carbonpoints.core.models import Bank, Programme


def make_programme(session: Session) -> int:
    """Make a bank with one programme and return the programme's id."""
    bank = Bank(code="ledger", issuer="https://ledger.test", name_en="Ledger", name_zh="账")
    session.add(bank)
    session.flush()
    programme = Programme(
        bank_id=bank.bank_id, code="main", name_en="Main", name_zh="主", time_zone="UTC", currency="CNY"
    )
    session.add(programme)
    session.flush()
    return programme.programme_id
