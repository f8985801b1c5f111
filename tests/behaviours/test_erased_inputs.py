from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.views import read_event
from carbonpoints.core.auth import Caller
from carbonpoints.core.ids import NumberedId
from carbonpoints.core.roles import Role
from tests.behaviours.world import World


def test_an_erased_event_keeps_its_result_and_its_versions_and_loses_its_arithmetic(
    world: World, session: Session
) -> None:
    ride = {"distance_km": "5", "ticket_reference": "T-1", "fare_medium": "qr"}
    receipt = world.one("bus_trip", ride)
    bank_id = session.scalars(text("SELECT bank_id FROM bank")).one()
    caller = Caller(
        bank_id, "https://bank.example/gansu", "C1", Role.CUSTOMER, frozenset(), "C1", "zhangye", ()
    )
    assert receipt.account_seq is not None
    event_id = str(NumberedId("evt", world.accounts["C1"], receipt.account_seq))

    kept = read_event(caller=caller, event_id=event_id, purpose=None, awards_only=False)
    session.execute(text("DELETE FROM event_payload"))
    session.commit()
    erased = read_event(caller=caller, event_id=event_id, purpose=None, awards_only=False)

    assert (kept["inputs_state"], kept["inputs"]["data"]) == ("kept", ride)
    assert (kept["estimate_mg"], [formula.name for formula in kept["formulas"]]) == (
        134_500,
        ["baseline", "project", "leakage", "estimate"],
    )
    lost = {"inputs_state": "erased", "inputs": None, "estimate_mg": None, "formulas": ()}
    assert erased == kept | lost
