"""Campaigns, shared caps, budgets, reversals and corrections: replayed, they give what was decided."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.replay.reexecution import Result, reexecute
from tests.behaviours.api import BANK, TRANSIT
from tests.behaviours.test_campaigns import ship_terms
from tests.behaviours.world import World, payment
from tests.replay.scenes import GRANT, granting, run
from tests.rules.budget_files import budget
from tests.rules.catalogue_files import read, ship, write


def travel(world: World, *names: str, behaviour: str = "bus_trip", km: str = "5") -> list[str]:
    events = [
        world.event(
            behaviour,
            {
                "distance_km": km,
                "ticket_reference": name,
                **({"fare_medium": "qr"} if behaviour == "bus_trip" else {}),
            },
            event_id=name,
        )
        for name in names
    ]
    return [receipt.disposition.code for receipt in world.take(*events).receipts]


def results(session: Session) -> dict[str, int]:
    """How every event that was judged comes out when it is run again."""
    rows = session.execute(text("SELECT account_id, account_seq FROM decision WHERE kind = 2")).all()
    session.rollback()
    found: dict[str, int] = {}
    for account_id, account_seq in rows:
        result = reexecute(account_id=account_id, account_seq=account_seq).result
        found[result] = found.get(result, 0) + 1
    return found


def test_campaigns_and_shared_caps_come_out_the_same(world: World, session: Session, tmp_path: Path) -> None:
    ship_terms(world, tmp_path)
    assert travel(world, "B1", "B2") == ["credited"] * 2
    assert travel(world, "M1", "M2", behaviour="metro_trip") == ["credited", "capped"]
    assert results(session) == {Result.SAME: 4}
    report = run(world, granting(GRANT))
    assert report["baseline"] == report["draft"], "payments do not touch travel"


def test_what_budgets_said_is_taken_as_it_was(world: World, session: Session, tmp_path: Path) -> None:
    ship(world.programme_id, read(write(tmp_path, budgets=budget(millicredits=2 * GRANT))))
    events = [world.event("non_cash_payment", payment(f"T{number}")) for number in range(3)]
    ends = [receipt.disposition.code for receipt in world.take(*events).receipts]
    assert ends == ["credited", "credited", "budget_exhausted"]
    assert results(session) == {Result.SAME: 3}
    report = run(world, granting(3 * GRANT))
    assert report["draft"]["amount_millicredits"] == 6 * GRANT, "the third stays without"


def test_what_was_taken_back_makes_room_where_it_did(world: World, session: Session, tmp_path: Path) -> None:
    ship_terms(world, tmp_path)
    assert travel(world, "B1", "B2", "B3", "B4") == ["credited"] * 3 + ["capped"]
    back = [world.reversal(name, behaviour="bus_trip") for name in ("B1", "B4")]
    assert [one.disposition.code for one in world.take(*back, source=TRANSIT).receipts] == ["reversed"] * 2
    assert travel(world, "B5", "B6") == ["credited", "capped"]
    longer = world.event(
        "bus_trip",
        {"distance_km": "7", "ticket_reference": "B2", "fare_medium": "qr"},
        event_id="B2",
        revision=1,
    )
    assert world.take(longer).receipts[0].disposition.code == "credited"
    for number in range(6):
        world.one("non_cash_payment", payment(f"T{number}"), event_id=f"P{number}")
    world.take(world.reversal("P0"), world.reversal("P5"), source=BANK)
    assert world.one("non_cash_payment", payment("T9")).disposition.code == "credited"
    assert results(session) == {Result.SAME: 14}
