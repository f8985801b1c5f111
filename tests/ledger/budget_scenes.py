"""Budgets of the ledger's programme, and awards that draw on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.clock import month_end
from carbonpoints.ledger.budgets import DRAWN_ON, Draw, Wanted, draw
from carbonpoints.ledger.slices import Amount, Limits, Terms
from tests.ledger.scenes import DAY

PRICE = 20
"""Millifen for a credit."""


def terms(
    programme_id: int,
    millicredits: int | None,
    fen: int | None = None,
    *,
    code: str = "everything",
    day: date = DAY,
    version: int = 1,
    known: int | None = None,
) -> Terms:
    return Terms(
        programme_id=programme_id,
        code=code,
        campaign=None,
        business_date=day,
        starts_on=day.replace(day=1),
        ends_on=month_end(day),
        limits=Limits(millicredits, None if fen is None else fen * 10**6),
        millifen_per_credit=PRICE,
        version_id=version,
        known_version_id=version if known is None else known,
    )


def changed(held: Terms, millicredits: int | None, fen: int | None = None) -> Terms:
    """The same budget after a change."""
    limits = Limits(millicredits, None if fen is None else fen * 10**6)
    version = held.known_version_id + 1
    return replace(held, limits=limits, version_id=version, known_version_id=version)


def take(session: Session, held: Terms, millicredits: int, least: int | None = None) -> int:
    drawn = take_one(session, held, millicredits, least)
    return drawn.millicredits if drawn else 0


def take_one(session: Session, held: Terms, millicredits: int, least: int | None = None) -> Draw | None:
    return draw(session, held, Wanted(millicredits, millicredits if least is None else least))


def drawn_on(held: Terms, millicredits: int) -> Mapping[str, object]:
    """The trace of an award that drew on a budget."""
    return {DRAWN_ON: {held.code: list(held.cost(millicredits))}}


def used(session: Session) -> Amount:
    row = session.execute(text("SELECT sum(used_millicredits), sum(used_microfen) FROM budget_slice")).one()
    return Amount(int(row[0]), int(row[1]))


def shares(session: Session) -> list[int]:
    return [
        int(share)
        for share in session.scalars(text("SELECT share_millicredits FROM budget_slice ORDER BY slice_no"))
    ]
