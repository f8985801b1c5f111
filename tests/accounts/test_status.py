from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from carbonpoints.core.clock import clock_at
from carbonpoints.core.roles import Role
from carbonpoints.ledger.errors import AccountNotOpen
from tests.accounts.conftest import seed
from tests.accounts.world import CLOSE, FREEZE, World, code, fields, hold, nothing_changes, ok, rows

UNFREEZE = {"reason_code": "resolved", "reason": "the customer proved who they are"}
KEY = "close-0001"


def test_freezing_and_unfreezing_keep_their_reasons_in_order(world: World) -> None:
    account = world.open()
    assert ok(world.operate(f"/accounts/{account}/freeze", FREEZE))["status"] == "frozen"
    assert ok(world.operate(f"/accounts/{account}/unfreeze", UNFREEZE))["status"] == "open"
    assert rows(
        "SELECT account_seq, from_status, to_status, reason_code, reason, actor_role FROM status_change ORDER BY 1"
    ) == [
        (2, "open", "frozen", "fraud_suspected", "three devices in an hour", "operations"),
        (3, "frozen", "open", "resolved", "the customer proved who they are", "operations"),
    ]
    assert rows("SELECT account_seq, kind FROM decision ORDER BY 1") == [(1, 1), (2, 4), (3, 4)]
    assert rows("SELECT action, purpose, detail FROM audit_record ORDER BY detail ->> 'account_seq'") == [
        ("status.change", "fraud_suspected", {"account_seq": 2, "from": "open", "to": "frozen"}),
        ("status.change", "resolved", {"account_seq": 3, "from": "frozen", "to": "open"}),
    ]


def test_a_frozen_account_spends_nothing(world: World) -> None:
    account = world.open()
    world.earn(account, 5000)
    ok(world.operate(f"/accounts/{account}/freeze", FREEZE))
    with nothing_changes(), pytest.raises(AccountNotOpen):
        hold(world, account, 1000)


@pytest.mark.parametrize(
    ("before", "action", "body", "refusal"),
    [
        ([], "unfreeze", UNFREEZE, "account_not_frozen"),
        (["freeze"], "freeze", FREEZE, "account_frozen"),
        (["close"], "freeze", FREEZE, "account_closed"),
        (["close"], "unfreeze", UNFREEZE, "account_closed"),
        (["close"], "close", CLOSE, "account_closed"),
    ],
)
def test_what_does_not_follow_is_refused(
    world: World, before: list[str], action: str, body: dict[str, str], refusal: str
) -> None:
    account = world.open()
    for step in before:
        ok(world.operate(f"/accounts/{account}/{step}", CLOSE if step == "close" else FREEZE, key=KEY))
    with nothing_changes():
        answer = world.operate(f"/accounts/{account}/{action}", body, key="another-key")
    assert code(answer) == (409, refusal)


@pytest.mark.parametrize("action", ["freeze", "unfreeze"])
@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.CORE_BANKING, Role.RISK])
def test_only_operations_freeze(world: World, action: str, role: Role) -> None:
    account = world.open()
    with nothing_changes():
        answer = world.post(f"/accounts/{account}/{action}", FREEZE, role=role)
    assert code(answer) == (403, "insufficient_scope")


def test_another_bank_s_operations_find_no_such_account(world: World) -> None:
    account = world.open()
    seed("other", "https://other.example")
    with nothing_changes():
        for action, body in (
            ("freeze", FREEZE),
            ("close", CLOSE),
            ("merges", {"into_account_id": account, "reason": "?"}),
        ):
            answer = world.operate(
                f"/accounts/{account}/{action}", body, key=KEY, issuer="https://other.example"
            )
            assert code(answer) == (404, "not_found")


def test_a_reason_is_needed_and_its_code_is_one_of_the_list(world: World) -> None:
    account = world.open()
    with nothing_changes():
        answer = world.operate(f"/accounts/{account}/freeze", {"reason_code": "mood", "reason": ""})
    assert sorted(fields(answer)) == [("reason", "wrong_length"), ("reason_code", "not_a_choice")]


def test_death_freezes_until_the_record_is_corrected(world: World) -> None:
    account = world.open()
    deceased = {"reason_code": "deceased", "reason": "notified by the branch", "deceased_on": "2026-06-10"}
    ok(world.operate(f"/accounts/{account}/freeze", deceased))
    assert rows("SELECT deceased_on FROM holder") == [(date(2026, 6, 10),)]
    with nothing_changes():
        assert code(world.operate(f"/accounts/{account}/unfreeze", UNFREEZE)) == (409, "holder_deceased")
    corrected = {"reason_code": "recorded_in_error", "reason": "a namesake"}
    assert ok(world.operate(f"/accounts/{account}/unfreeze", corrected))["status"] == "open"
    assert rows("SELECT deceased_on FROM holder") == [(None,)]


def test_a_death_is_recorded_of_a_frozen_account_s_holder_too(world: World) -> None:
    account = world.open()
    deceased = {"reason_code": "deceased", "reason": "notified by the branch", "deceased_on": "2026-06-10"}
    ok(world.operate(f"/accounts/{account}/freeze", FREEZE))
    assert ok(world.operate(f"/accounts/{account}/freeze", deceased))["status"] == "frozen"
    assert rows("SELECT deceased_on FROM holder") == [(date(2026, 6, 10),)]
    assert rows("SELECT from_status, to_status, reason_code FROM status_change ORDER BY account_seq") == [
        ("open", "frozen", "fraud_suspected"),
        ("frozen", "frozen", "deceased"),
    ]
    with nothing_changes():
        assert code(world.operate(f"/accounts/{account}/unfreeze", UNFREEZE)) == (409, "holder_deceased")
        assert code(world.operate(f"/accounts/{account}/freeze", deceased)) == (409, "account_frozen")


def test_nobody_died_tomorrow(world: World) -> None:
    account = world.open()
    deceased = {"reason_code": "deceased", "reason": "?", "deceased_on": "2026-06-16"}
    with nothing_changes():
        assert fields(world.operate(f"/accounts/{account}/freeze", deceased)) == [
            ("deceased_on", "in_future")
        ]


def test_the_preview_says_what_closing_then_does(world: World) -> None:
    account = world.open()
    world.earn(account, 5000)
    world.earn(account, 700, matures_on=date(2026, 7, 1))
    with nothing_changes():
        preview = ok(world.get(f"/accounts/{account}/closure-preview"))
    assert (preview["forfeited_millicredits"], preview["refusal"]) == (5700, None)
    closed = ok(world.post(f"/accounts/{account}/close", CLOSE, key=KEY))
    assert closed["status"] == "closed"
    assert (closed["balances"]["available_millicredits"], closed["balances"]["pending_millicredits"]) == (
        0,
        0,
    )
    assert rows("SELECT amount, from_kind FROM entry WHERE to_kind = 109 ORDER BY amount") == [
        (700, 2),
        (5000, 1),
    ]
    assert rows("SELECT count(*) FROM pending_award") == [(0,)]
    after = ok(world.get(f"/accounts/{account}/closure-preview"))
    assert (after["forfeited_millicredits"], after["refusal"]) == (0, "account_closed")


def test_an_expired_lot_expires_and_is_not_forfeited(world: World) -> None:
    account = world.open()
    world.earn(account, 5000, expires_on=date(2026, 6, 30))
    with clock_at(datetime(2026, 7, 1, 4, 0, tzinfo=UTC)):
        assert ok(world.get(f"/accounts/{account}/closure-preview"))["forfeited_millicredits"] == 0
        ok(world.post(f"/accounts/{account}/close", CLOSE, key=KEY))
    assert rows("SELECT amount, to_kind FROM entry WHERE from_kind = 1") == [(5000, 103)]


def test_closing_is_refused_while_credits_are_held(world: World) -> None:
    account = world.open()
    world.earn(account, 5000)
    hold(world, account, 2000)
    preview = ok(world.get(f"/accounts/{account}/closure-preview"))
    assert (preview["forfeited_millicredits"], preview["refusal"]) == (3000, "holds_open")
    with nothing_changes():
        assert code(world.post(f"/accounts/{account}/close", CLOSE, key=KEY)) == (409, "holds_open")


def test_a_repeated_close_is_answered_as_the_first_time(world: World) -> None:
    account = world.open()
    world.earn(account, 5000)
    first = world.post(f"/accounts/{account}/close", CLOSE, key=KEY)
    with nothing_changes():
        again = world.post(f"/accounts/{account}/close", CLOSE, key=KEY)
        other = world.post(f"/accounts/{account}/close", {**CLOSE, "reason": "another"}, key=KEY)
    assert ok(again) == ok(first)
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert code(other) == (422, "idempotency_key_reused")


def test_closing_needs_a_key(world: World) -> None:
    account = world.open()
    with nothing_changes():
        answer = world.post(f"/accounts/{account}/close", CLOSE)
    assert (answer.status_code, fields(answer)) == (422, [("Idempotency-Key", "required")])


def test_a_customer_neither_closes_a_frozen_account_nor_for_the_bank_s_reasons(world: World) -> None:
    account = world.open()
    bank_s = {"reason_code": "fraud_confirmed", "reason": "?"}
    with nothing_changes():
        assert code(world.post(f"/accounts/{account}/close", bank_s, key=KEY)) == (403, "role_not_allowed")
    ok(world.operate(f"/accounts/{account}/freeze", FREEZE))
    with nothing_changes():
        assert code(world.post(f"/accounts/{account}/close", CLOSE, key=KEY)) == (409, "account_frozen")
    assert ok(world.operate(f"/accounts/{account}/close", bank_s, key=KEY))["status"] == "closed"


def test_closed_is_final_for_its_customer_too(world: World) -> None:
    account = world.open()
    ok(world.post(f"/accounts/{account}/close", CLOSE, key=KEY))
    with nothing_changes():
        assert code(world.post("/accounts")) == (409, "account_closed")


def test_nobody_closes_another_s_account(world: World) -> None:
    account = world.open()
    world.open("C2")
    with nothing_changes():
        assert code(world.post(f"/accounts/{account}/close", CLOSE, key=KEY, subject="C2")) == (
            404,
            "not_found",
        )
        assert code(world.core(f"/accounts/{account}/close", CLOSE, key=KEY)) == (403, "role_not_allowed")
