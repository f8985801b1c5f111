"""Events about whatever name a test has in mind, and whose they became."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.staged import StagedEvent, microseconds_of, stage_event
from carbonpoints.core.auth import Caller
from carbonpoints.core.roles import ROLE_SCOPES, Role
from tests.behaviours.api import ISSUER
from tests.behaviours.world import SOURCES, World, payment

BANK_ACCOUNT = "6222020200012345678"


def operations(session: Session) -> Caller:
    """Whoever links bank accounts and changes numbers."""
    bank_id = session.scalars(text("SELECT bank_id FROM bank")).one()
    session.rollback()
    return Caller(bank_id, ISSUER, "ops", Role.OPERATIONS, ROLE_SCOPES[Role.OPERATIONS], "ops", "zhangye", ())


def about(world: World, subject: str, at: datetime) -> StagedEvent:
    """A payment of its own, to a payee of its own."""
    world.sent += 1
    paid = world.event("non_cash_payment", payment(f"T{world.sent}"))
    return stage_event(
        SOURCES["non_cash_payment"],
        event_id=paid.event_id,
        subject=subject,
        occurred_at_us=microseconds_of(at),
        behaviour=paid.behaviour,
        data=paid.data,
    )


def ended_for(world: World, *events: StagedEvent) -> list[tuple[str, str | None]]:
    """How each event of a delivery ended, and for which customer."""
    names = {account_id: name for name, account_id in world.accounts.items()}
    return [
        (receipt.disposition.code, names.get(receipt.account_id or 0))
        for receipt in world.take(*events).receipts
    ]
