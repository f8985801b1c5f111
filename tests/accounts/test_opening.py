from __future__ import annotations

from datetime import date

import pytest

from carbonpoints.accounts.opening import is_minor_on
from carbonpoints.core.roles import Role
from carbonpoints.core.sentences import CAVEAT
from tests.accounts.conftest import seed
from tests.accounts.world import NOW, World, code, fields, nothing_changes, ok, rows

ENTERPRISE = {
    "name": "Huawei Technologies Co., Ltd.",
    "uscc": "914403001922038216",
    "lei": "5493002ERZU2K9PZDL40",
}


def test_a_customer_opens_their_own_account(world: World) -> None:
    answer = world.post("/accounts")
    body = ok(answer)
    account = body.pop("account_id")
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/accounts/{account}"
    assert body == {
        "programme": "zhangye",
        "holder_kind": "person",
        "status": "open",
        "balances": {
            "available_millicredits": 0,
            "held_millicredits": 0,
            "pending_millicredits": 0,
            "expiring_30d_millicredits": 0,
            "clawback_due_millicredits": 0,
            "lifetime_reduction_mg": 0,
            "as_of": "2026-06-15T04:00:00+00:00",
        },
        "under_review": None,
        "caveat": CAVEAT._asdict(),
    }
    assert rows("SELECT kind, account_seq FROM decision") == [(1, 1)]
    assert rows("SELECT scheme, masked_value, valid_from, valid_to FROM holder_identifier") == [
        ("CUSTOMER_REF", "****", NOW, None)
    ]


def test_a_second_opening_answers_the_same_account_and_changes_nothing(world: World) -> None:
    account = world.open()
    with nothing_changes():
        answer = world.post("/accounts")
    assert (answer.status_code, ok(answer)["account_id"]) == (200, account)


def test_another_customer_gets_another_account(world: World) -> None:
    assert world.open("C1") != world.open("C2")


def test_another_bank_s_customer_of_the_same_number_is_somebody_else(world: World) -> None:
    account = world.open()
    seed("other", "https://other.example")
    answer = world.post("/accounts", issuer="https://other.example")
    assert answer.status_code == 201
    other = ok(answer)["account_id"]
    assert other != account
    assert code(world.get(f"/accounts/{other}")) == (404, "not_found")
    assert code(world.get(f"/accounts/{account}", issuer="https://other.example")) == (404, "not_found")


def test_a_token_whose_subject_is_no_customer_number_opens_nothing(world: World) -> None:
    with nothing_changes():
        answer = world.post("/accounts", subject="C 1")
    assert (answer.status_code, fields(answer)) == (422, [("sub", "identifier_invalid")])


def test_unknown_fields_are_refused(world: World) -> None:
    with nothing_changes():
        answer = world.post("/accounts", {"name": "C"})
    assert (answer.status_code, fields(answer)) == (422, [("name", "unknown_field")])


def test_a_minor_needs_a_guardian(world: World) -> None:
    with nothing_changes():
        refused = world.post("/accounts", {"born_on": "2008-06-16"})
    assert code(refused) == (403, "guardian_consent_needed")
    assert world.post("/accounts", {"born_on": "2008-06-16", "guardian_consent": True}).status_code == 201
    assert rows("SELECT born_on, guardian_consent_at FROM holder") == [(date(2008, 6, 16), NOW)]


@pytest.mark.parametrize(("born_on", "why"), [("2026-06-16", "in_future"), ("1899-12-31", "out_of_range")])
def test_nobody_is_born_tomorrow_or_before_1900(world: World, born_on: str, why: str) -> None:
    with nothing_changes():
        assert fields(world.post("/accounts", {"born_on": born_on})) == [("born_on", why)]


def test_an_adult_needs_none(world: World) -> None:
    assert world.post("/accounts", {"born_on": "2008-06-15", "guardian_consent": True}).status_code == 201
    assert rows("SELECT born_on, guardian_consent_at FROM holder") == [(date(2008, 6, 15), None)]


@pytest.mark.parametrize(
    ("born_on", "day", "minor"),
    [
        (date(2008, 6, 15), date(2026, 6, 14), True),
        (date(2008, 6, 15), date(2026, 6, 15), False),
        (date(2008, 2, 29), date(2026, 2, 28), True),
        (date(2008, 2, 29), date(2026, 3, 1), False),
    ],
)
def test_the_day_of_coming_of_age(born_on: date, day: date, *, minor: bool) -> None:
    assert is_minor_on(born_on, day) is minor


@pytest.mark.parametrize("role", [Role.OPERATIONS, Role.CORE_BANKING, Role.ENTERPRISE_USER])
def test_only_customers_open_personal_accounts(world: World, role: Role) -> None:
    with nothing_changes():
        assert code(world.post("/accounts", role=role)) == (403, "insufficient_scope")


def test_operations_open_an_enterprise_s_account(world: World) -> None:
    answer = world.operate("/enterprise-accounts", ENTERPRISE)
    assert (answer.status_code, ok(answer)["holder_kind"]) == (201, "enterprise")
    account = ok(answer)["account_id"]
    assert rows("SELECT scheme, masked_value FROM holder_identifier ORDER BY identifier_no") == [
        ("USCC", ENTERPRISE["uscc"]),
        ("LEI", ENTERPRISE["lei"]),
    ]
    assert rows("SELECT name FROM holder") == [(ENTERPRISE["name"],)]
    with nothing_changes():
        again = world.operate("/enterprise-accounts", ENTERPRISE)
    assert (again.status_code, ok(again)["account_id"]) == (200, account)


@pytest.mark.parametrize(
    ("field", "value"),
    [("uscc", "914403001922038217"), ("lei", "5493002ERZU2K9PZDL41"), ("isin", "US0378331006")],
)
def test_a_wrong_check_character_is_refused(world: World, field: str, value: str) -> None:
    with nothing_changes():
        answer = world.operate("/enterprise-accounts", {**ENTERPRISE, field: value})
    assert (answer.status_code, fields(answer)) == (422, [(field, "identifier_invalid")])


def test_identifiers_of_two_enterprises_are_not_mixed(world: World) -> None:
    ok(world.operate("/enterprise-accounts", ENTERPRISE))
    with nothing_changes():
        answer = world.operate("/enterprise-accounts", {**ENTERPRISE, "uscc": "9144030071526726XG"})
    assert code(answer) == (409, "identifier_taken")


def test_a_customer_opens_no_enterprise_account(world: World) -> None:
    with nothing_changes():
        assert code(world.post("/enterprise-accounts", ENTERPRISE)) == (403, "insufficient_scope")
