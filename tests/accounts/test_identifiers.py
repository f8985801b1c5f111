from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from carbonpoints.accounts.access import resolve_subjects
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import reading
from carbonpoints.core.ids import account_public_id
from carbonpoints.core.roles import Role
from tests.accounts.world import NOW, World, code, fields, identifier, nothing_changes, ok, rows

LATER = NOW + timedelta(days=1)


def whose(world: World, subject: str, *, days: int = 2) -> str | None:
    with reading() as session:
        found = resolve_subjects(session, world.programme_id, [subject])
    return account_public_id(found[subject].at(NOW + timedelta(days=days))) if subject in found else None


def test_a_changed_customer_number_is_the_same_person(world: World) -> None:
    account = world.open("customer-000001")
    world.earn(account, 5000)
    with clock_at(LATER):
        answer = ok(world.core(f"/accounts/{account}/identifiers", identifier("customer-000002", ends=1)))
    assert answer["identifiers"] == [
        {
            "identifier_no": 1,
            "scheme": "CUSTOMER_REF",
            "masked_value": "****0001",
            "valid_from": "2026-06-15T04:00:00+00:00",
            "valid_to": "2026-06-16T04:00:00+00:00",
        },
        {
            "identifier_no": 2,
            "scheme": "CUSTOMER_REF",
            "masked_value": "****0002",
            "valid_from": "2026-06-16T04:00:00+00:00",
            "valid_to": None,
        },
    ]
    assert answer["account"]["account_id"] == account
    assert answer["account"]["balances"]["available_millicredits"] == 5000
    assert rows("SELECT count(*) FROM holder") == [(1,)]
    assert ok(world.get("/accounts/mine", subject="customer-000002"))["account_id"] == account


def test_the_old_number_opens_nothing_but_its_late_events_are_still_the_holder_s(world: World) -> None:
    account = world.open("old")
    with clock_at(LATER):
        ok(world.core(f"/accounts/{account}/identifiers", identifier("new", ends=1)))
    assert code(world.get("/accounts/mine", subject="old")) == (404, "not_found")
    assert whose(world, "CUSTOMER_REF:old") == account
    assert whose(world, "CUSTOMER_REF:new") == account


def test_a_number_given_to_somebody_else_is_theirs(world: World) -> None:
    account = world.open("old")
    with clock_at(LATER):
        ok(world.core(f"/accounts/{account}/identifiers", identifier("new", ends=1)))
        other = world.open("old")
    assert other != account
    assert whose(world, "CUSTOMER_REF:old") == other
    assert whose(world, "CUSTOMER_REF:old", days=0) == account


def test_adding_what_is_there_changes_nothing(world: World) -> None:
    account = world.open()
    first = ok(world.core(f"/accounts/{account}/identifiers", identifier("C9", ends=1)))
    with nothing_changes():
        assert ok(world.core(f"/accounts/{account}/identifiers", identifier("C9", ends=1))) == first


def test_another_holder_s_identifier_is_refused(world: World) -> None:
    account = world.open("C1")
    world.open("C2")
    with nothing_changes():
        answer = world.core(f"/accounts/{account}/identifiers", identifier("C2"))
    assert code(answer) == (409, "identifier_taken")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (identifier("C9", ends=7), (404, "not_found")),
        (identifier("C 9"), (422, "invalid_request")),
        ({"scheme": "USCC", "value": "914403001922038216"}, (422, "invalid_request")),
        ({"scheme": "BANK_ACCOUNT", "value": "6222"}, (422, "invalid_request")),
    ],
)
def test_what_is_wrong_is_refused(world: World, body: dict[str, Any], refusal: tuple[int, str]) -> None:
    account = world.open()
    with nothing_changes():
        assert code(world.core(f"/accounts/{account}/identifiers", body)) == refusal


def test_an_identifier_ends_once(world: World) -> None:
    account = world.open()
    ok(world.core(f"/accounts/{account}/identifiers", identifier("C8", ends=1)))
    with nothing_changes():
        answer = world.core(f"/accounts/{account}/identifiers", identifier("C9", ends=1))
    assert code(answer) == (409, "identifier_not_in_force")


def test_a_customer_changes_no_identifiers(world: World) -> None:
    account = world.open()
    with nothing_changes():
        answer = world.post(f"/accounts/{account}/identifiers", identifier("C9"))
    assert code(answer) == (403, "role_not_allowed")


def test_staff_name_their_purpose_and_leave_a_record(world: World) -> None:
    account = world.open()
    read = f"/accounts/{account}/identifiers"
    with nothing_changes():
        refused = world.call("GET", read, role=Role.AUDITOR, purpose="")
        blank = world.get(read, role=Role.AUDITOR, purpose="  ")
    assert fields(refused) == [("purpose", "wrong_length")]
    assert (code(blank), fields(blank)) == ((422, "purpose_needed"), [("purpose", "required")])
    ok(world.get(read, role=Role.AUDITOR, purpose=" quarterly review "))
    assert rows("SELECT action, purpose, actor_role FROM audit_record") == [
        ("identifiers.read", "quarterly review", "auditor")
    ]


@pytest.mark.parametrize("purpose", ["a question", "case:", "case: ", "case:47 11", "Case:4711", "case:４７"])
def test_customer_service_names_its_case(world: World, purpose: str) -> None:
    account = world.open()
    with nothing_changes():
        answer = world.get(f"/accounts/{account}", role=Role.CUSTOMER_SERVICE, purpose=purpose)
    assert (code(answer), fields(answer)) == ((422, "purpose_needed"), [("purpose", "case_needed")])
    ok(world.get(f"/accounts/{account}", role=Role.CUSTOMER_SERVICE, purpose=" case:CS-4711 "))
    assert rows("SELECT purpose FROM audit_record") == [("case:CS-4711",)]


def test_a_system_s_reading_is_recorded_with_a_purpose(world: World) -> None:
    account = world.open()
    ok(world.get(f"/accounts/{account}", role=Role.CORE_BANKING, subject="core"))
    ok(world.get(f"/accounts/{account}", role=Role.CORE_BANKING, subject="core", purpose="night run"))
    assert rows("SELECT action, purpose, actor_role FROM audit_record ORDER BY purpose") == [
        ("account.read", "night run", "core_banking"),
        ("account.read", "system:core", "core_banking"),
    ]


def test_reading_one_s_own_account_leaves_no_record(world: World) -> None:
    account = world.open()
    with nothing_changes():
        for path in ("", "/identifiers", "/linked-accounts", "/consents", "/closure-preview"):
            ok(world.get(f"/accounts/{account}{path}"))
