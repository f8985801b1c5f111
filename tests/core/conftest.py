"""A bank, and tokens for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.models import Bank
from carbonpoints.core.roles import Role

ISSUER = "https://login.bank-a.test"


def new_bank(code: str, issuer: str) -> Bank:
    return Bank(code=code, issuer=issuer, name_en=code, name_zh=code)


@pytest.fixture
def bank_id(session: Session) -> int:
    """The bank whose tokens ISSUER signs."""
    bank = new_bank("bank-a", ISSUER)
    session.add(bank)
    session.flush()
    return bank.bank_id


Headers = Callable[..., dict[str, str]]


@pytest.fixture
def headers(settings: Settings, bank_id: int) -> Headers:
    """Make the headers of a caller of the bank."""

    def make(role: Role = Role.OPERATIONS, subject: str = "somebody", **claims: Any) -> dict[str, str]:
        token = issue_demo_token(settings, issuer=ISSUER, subject=subject, role=role, **claims)
        return {"Authorization": f"Bearer {token}"}

    return make
