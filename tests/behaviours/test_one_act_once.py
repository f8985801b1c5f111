"""Two sources that report one act credit it once, whichever comes first and as whichever behaviour (M14)."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from carbonpoints.behaviours.services import take_events
from carbonpoints.behaviours.staged import StagedEvent, microseconds_of, stage_event
from carbonpoints.behaviours.work import Receipt
from carbonpoints.rules.attributes import AttributeChecks
from tests.behaviours.world import NOW, World, payment, rows, shipped

TRANSIT, MOBILE, CORE, PLATFORM = (
    "urn:zhangye:transit",
    "urn:zhangye:mobile-banking",
    "urn:zhangye:core-banking",
    "urn:zhangye:government-platform",
)
TRIP = {"distance_km": "5", "ticket_reference": "T-1", "fare_medium": "qr"}
METRO = {"distance_km": "5", "ticket_reference": "T-1"}
BILL = {
    "transaction_reference": "P-1",
    "bill_kind": "electricity",
    "customer_number_hash": "ee01",
    "amount_minor": 1850,
    "currency": "CNY",
}
CASE = {
    "case_hash": "9a0c",
    "category": "social_security",
    "fully_online": True,
    "completed": True,
    "reported_by": "government_platform",
}
Report = tuple[str, str, dict[str, object]]


def report(world: World, number: int, source: str, behaviour: str, data: dict[str, object]) -> Receipt:
    """One event of one source, delivered alone."""
    checks = AttributeChecks(next(each for each in shipped().behaviours if each.code == behaviour))
    event: StagedEvent = stage_event(
        source,
        event_id=f"E-{number}",
        subject="CUSTOMER_REF:C1",
        occurred_at_us=microseconds_of(NOW),
        revision=0,
        behaviour=behaviour,
        data=checks.canonical(data),
    )
    return take_events(programme_id=world.programme_id, source_uri=source, events=[event]).receipts[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((TRANSIT, "bus_trip", TRIP), (MOBILE, "bus_trip", TRIP)),
        ((MOBILE, "bus_trip", TRIP), (TRANSIT, "bus_trip", TRIP)),
        ((TRANSIT, "bus_trip", TRIP), (MOBILE, "metro_trip", METRO)),
        ((CORE, "non_cash_payment", payment("P-1")), (MOBILE, "utility_bill_online", BILL)),
        ((MOBILE, "utility_bill_online", BILL), (CORE, "non_cash_payment", payment("P-1"))),
        ((MOBILE, "utility_bill_online", BILL), (CORE, "utility_bill_online", BILL)),
        (
            (PLATFORM, "e_government_service", CASE),
            (MOBILE, "e_government_service", {**CASE, "reported_by": "bank_service"}),
        ),
    ],
    ids=[
        "operator, then bank",
        "bank, then operator",
        "as another behaviour",
        "payment, then bill",
        "bill, then payment",
        "bill twice",
        "case twice",
    ],
)
def test_what_two_sources_report_is_credited_once(
    world: World, session: Session, first: Report, second: Report
) -> None:
    credited = report(world, 1, *first)
    assert credited.disposition.code == "credited"
    booked = rows(session, "entry")
    again = report(world, 2, *second)
    assert (again.disposition.code, again.amount_millicredits, again.reduction_mg) == (
        "claimed_elsewhere",
        0,
        0,
    )
    assert again.account_seq > credited.account_seq
    assert rows(session, "entry") == booked


def test_what_is_paid_to_an_office_earns_nothing_as_a_payment(world: World, session: Session) -> None:
    """A case is credited as a case; fees and taxes are no everyday payment."""
    case = report(world, 1, PLATFORM, "e_government_service", CASE)
    fee = report(world, 2, CORE, "non_cash_payment", payment("P-1", tax_or_fine=True))
    assert [(each.disposition.code, each.reason) for each in (case, fee)] == [
        ("credited", None),
        ("ineligible", "not_tax_or_fine"),
    ]
    assert rows(session, "entry") == 1


def test_a_payment_is_no_case_whoever_reports_it(world: World, session: Session) -> None:
    paid = report(world, 1, CORE, "non_cash_payment", payment("P-1"))
    case = report(world, 2, PLATFORM, "e_government_service", {**CASE, "is_payment": True})
    assert (paid.disposition.code, case.disposition.code, case.reason) == (
        "credited",
        "ineligible",
        "no_payment",
    )
    assert rows(session, "entry") == 1
