from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from carbonpoints.accounts.merging import receive_transfer, still_there
from carbonpoints.core import outbox
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import reading
from carbonpoints.core.ids import parse_account_id
from carbonpoints.core.roles import Role
from carbonpoints.ledger.book import Book, Parcel
from carbonpoints.ledger.chart import Kind, Unit
from carbonpoints.ledger.lots import Lot
from carbonpoints.ledger.reconcile import check
from tests.accounts.world import (
    CLOSE,
    EXPIRES_ON,
    FREEZE,
    NOW,
    World,
    code,
    hold,
    link,
    nothing_changes,
    ok,
    rows,
)

KEY = "merge-0001"
BACK = "merge-0002"
REASON = {"reason": "the same person opened two"}
SOONER = date(2026, 12, 31)


def deliver() -> int:
    """Deliver what waits in the outbox; returns how many messages left."""
    return sum(outbox.deliver_bucket(bucket, owner="test") for bucket in outbox.waiting_buckets())


def merge(world: World, source: str, target: str, **options: Any) -> Any:
    options.setdefault("key", KEY)
    return world.operate(f"/accounts/{source}/merges", {"into_account_id": target, **REASON}, **options)


def lots(account: str) -> list[tuple[date, int]]:
    return [
        (row[0], row[1])
        for row in rows(
            "SELECT l.expires_on, b.amount FROM balance b JOIN lot l USING (account_id, lot_no) "
            "WHERE b.account_id = :id AND b.kind = 1 AND b.amount > 0 ORDER BY 1",
            id=parse_account_id(account),
        )
    ]


def proven() -> None:
    with reading() as session:
        assert [finding for finding in check(session) if finding.differences] == []


@pytest.fixture
def pair(world: World) -> tuple[str, str]:
    """Two accounts of one person: the first has credits in two lots, the second in one of them."""
    source, target = world.open("C1"), world.open("C2")
    world.earn(source, 5000)
    world.earn(source, 700, expires_on=SOONER)
    world.earn(source, 40, matures_on=date(2026, 7, 1))
    world.earn(target, 300)
    return source, target


def test_a_merge_moves_lots_with_their_expiry_once_the_outbox_delivers(
    world: World, pair: tuple[str, str]
) -> None:
    source, target = pair
    merged = ok(merge(world, source, target))
    assert (merged["source"]["status"], merged["target"]["status"]) == ("merged", "open")
    assert merged["source"]["balances"]["available_millicredits"] == 0
    assert merged["target"]["balances"]["available_millicredits"] == 300
    proven()
    assert deliver() == 1
    assert lots(source) == []
    assert lots(target) == [(SOONER, 700), (EXPIRES_ON, 5300)]
    balances = ok(world.get("/accounts/mine", subject="C2"))["balances"]
    assert (balances["available_millicredits"], balances["pending_millicredits"]) == (6000, 40)
    assert rows("SELECT DISTINCT transfer_id::text FROM transfer_leg") == [(merged["transfer_id"],)]
    proven()


def test_a_message_delivered_again_changes_nothing(world: World, pair: tuple[str, str]) -> None:
    ok(merge(world, *pair))
    ((account_id, account_seq, topic, body),) = rows(
        "SELECT account_id, account_seq, topic, body FROM outbox_message"
    )
    message = outbox.Message(account_id, account_seq, 0, topic, body)
    receive_transfer(message)
    with nothing_changes():
        receive_transfer(message)
    with nothing_changes(), pytest.raises(outbox.PermanentFailure):
        receive_transfer(replace(message, body={**body, "to_account_id": 1}))


def test_both_customer_numbers_then_open_the_one_account(world: World, pair: tuple[str, str]) -> None:
    source, target = pair
    ok(world.core(f"/accounts/{source}/linked-accounts", link()))
    ok(world.core(f"/accounts/{target}/linked-accounts", link("authorised_user")))
    ok(merge(world, source, target))
    for subject in ("C1", "C2"):
        assert ok(world.get("/accounts/mine", subject=subject))["account_id"] == target
        assert ok(world.post("/accounts", subject=subject))["account_id"] == target
    assert rows("SELECT account_id, relation FROM identity_bank_account") == [
        (parse_account_id(target), "owner")
    ]
    shown = ok(world.get(f"/accounts/{target}/linked-accounts", subject="C2"))["items"]
    assert [(item["relation"], item["unlinked_at"]) for item in shown] == [("owner", None)]


def test_unmerging_moves_back_what_is_still_there(world: World, pair: tuple[str, str]) -> None:
    source, target = pair
    ok(world.core(f"/accounts/{source}/linked-accounts", link()))
    ok(world.core(f"/accounts/{target}/linked-accounts", link("authorised_user")))
    merge_no = ok(merge(world, source, target))["merge_no"]
    deliver()
    hold(world, target, 900)
    with clock_at(datetime(2026, 7, 2, 4, 0, tzinfo=UTC)):
        answer = ok(world.operate(f"/accounts/{source}/merges/{merge_no}/unmerge", REASON, key=BACK))
        assert (answer["source"]["status"], answer["target"]["status"]) == ("open", "open")
        deliver()
        # The hold took all of the sooner lot and 200 of the other; the pending 40 has matured.
        assert lots(source) == [(EXPIRES_ON, 5040)]
        assert lots(target) == [(EXPIRES_ON, 100)]
        assert ok(world.get("/accounts/mine", subject="C1"))["account_id"] == source
        assert ok(world.get("/accounts/mine", subject="C2"))["account_id"] == target
    assert rows(
        "SELECT account_id, relation FROM identity_bank_account WHERE upper_inf(valid) ORDER BY 1"
    ) == [
        (parse_account_id(source), "owner"),
        (parse_account_id(target), "authorised_user"),
    ]
    proven()


def test_the_accounts_can_be_merged_again_and_the_old_merge_is_done_with(
    world: World, pair: tuple[str, str]
) -> None:
    source, target = pair
    merge_no = ok(merge(world, source, target))["merge_no"]
    deliver()
    undo = f"/accounts/{source}/merges/{merge_no}/unmerge"
    ok(world.operate(undo, REASON, key=BACK))
    with nothing_changes():
        assert code(world.operate(undo, REASON, key="merge-0003")) == (409, "merge_undone")
        assert code(merge(world, source, target, key="merge-0003")) == (409, "credits_in_transit")
    deliver()
    again = ok(merge(world, source, target, key="merge-0004"))
    assert again["merge_no"] > merge_no
    deliver()
    assert lots(target) == [(SOONER, 700), (EXPIRES_ON, 5300)]
    proven()


def test_a_repeated_merge_is_answered_as_the_first_time(world: World, pair: tuple[str, str]) -> None:
    source, target = pair
    first = merge(world, source, target)
    with nothing_changes():
        again = merge(world, source, target)
    assert (ok(again), again.headers["Idempotent-Replayed"]) == (ok(first), "true")


def test_unmerging_waits_for_the_merge_s_own_transfer(world: World, pair: tuple[str, str]) -> None:
    source, target = pair
    merge_no = ok(merge(world, source, target))["merge_no"]
    with nothing_changes():
        answer = world.operate(f"/accounts/{source}/merges/{merge_no}/unmerge", REASON, key=BACK)
    assert code(answer) == (409, "credits_in_transit")


def test_neither_closing_nor_merging_on_overtakes_a_transfer(world: World, pair: tuple[str, str]) -> None:
    source, target = pair
    third = world.open("C3")
    ok(merge(world, source, target))
    with nothing_changes():
        closing = world.post(f"/accounts/{target}/close", CLOSE, key="close-01", subject="C2")
        assert code(closing) == (409, "credits_in_transit")
        assert code(merge(world, target, third)) == (409, "credits_in_transit")


def test_a_transfer_arrives_although_the_account_was_frozen_meanwhile(
    world: World, pair: tuple[str, str]
) -> None:
    source, target = pair
    ok(merge(world, source, target))
    ok(world.operate(f"/accounts/{target}/freeze", FREEZE))
    deliver()
    assert lots(target) == [(SOONER, 700), (EXPIRES_ON, 5300)]


def test_a_merge_of_nothing_is_a_merge(world: World) -> None:
    source, target = world.open("C1"), world.open("C2")
    ok(merge(world, source, target))
    deliver()
    assert lots(target) == []
    proven()


@pytest.mark.parametrize(
    ("freeze", "close", "refusal"),
    [
        ("source", None, "account_frozen"),
        ("target", None, "account_frozen"),
        (None, "source", "account_closed"),
        (None, "target", "account_closed"),
    ],
)
def test_both_must_be_open(
    world: World, pair: tuple[str, str], freeze: str | None, close: str | None, refusal: str
) -> None:
    accounts = dict(zip(("source", "target"), pair, strict=True))
    if freeze:
        ok(world.operate(f"/accounts/{accounts[freeze]}/freeze", FREEZE))
    if close:
        ok(world.operate(f"/accounts/{accounts[close]}/close", CLOSE, key="close-01"))
    with nothing_changes():
        assert code(merge(world, *pair)) == (409, refusal)


def test_held_credits_stay_where_they_are_held(world: World, pair: tuple[str, str]) -> None:
    hold(world, pair[0], 100)
    with nothing_changes():
        assert code(merge(world, *pair)) == (409, "holds_open")


def test_what_is_merged_is_neither_itself_nor_merged_nor_an_enterprise_s(
    world: World, pair: tuple[str, str]
) -> None:
    source, target = pair
    enterprise = ok(world.operate("/enterprise-accounts", {"name": "H", "uscc": "914403001922038216"}))
    with nothing_changes():
        assert code(merge(world, source, source)) == (409, "merge_refused")
        assert code(merge(world, source, str(enterprise["account_id"]))) == (409, "merge_refused")
        assert code(merge(world, source, "acct_999999")) == (404, "not_found")
    ok(merge(world, source, target))
    with nothing_changes():
        assert code(merge(world, source, target, key="merge-0009")) == (409, "account_merged")
        assert code(world.operate(f"/accounts/{source}/freeze", FREEZE)) == (409, "account_merged")
        unknown = world.operate(f"/accounts/{source}/merges/99/unmerge", REASON, key=BACK)
        assert code(unknown) == (404, "not_found")


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.CORE_BANKING, Role.AUDITOR])
def test_only_operations_merge(world: World, pair: tuple[str, str], role: Role) -> None:
    source, target = pair
    body = {"into_account_id": target, **REASON}
    with nothing_changes():
        answer = world.post(f"/accounts/{source}/merges", body, role=role, key=KEY)
        assert code(answer) == (403, "insufficient_scope")


def test_consents_stay_where_they_were_given(world: World, pair: tuple[str, str]) -> None:
    source, target = pair
    given = {"source": "trips", "text_version": "2026-01", "channel": "app"}
    ok(world.post(f"/accounts/{source}/consents", given))
    ok(merge(world, source, target))
    items = ok(world.get(f"/accounts/{target}/consents", subject="C1"))["items"]
    assert {item["state"] for item in items} == {"not_given"}


def test_what_settled_a_due_amount_does_not_come_back() -> None:
    book = Book(
        account_id=2,
        programme_id=1,
        holder_kind="person",
        status="open",
        last_seq=9,
        last_booked_at=NOW,
        opened_at=NOW,
    )
    book.add_lot(Lot(1, Unit.CREDIT, None, EXPIRES_ON, 2))
    # 300 were here; 100 came with 30 due, which the 100 settled: 370 are left.
    book.balances[Unit.CREDIT, Kind.AVAILABLE, 1] = 370
    book.balances[Unit.MG_CO2E, Kind.REDUCTION, 0] = 900
    came = [
        Parcel(Unit.CREDIT, Kind.AVAILABLE, 100, None, EXPIRES_ON),
        Parcel(Unit.CREDIT, Kind.CLAWBACK_DUE, 30),
        Parcel(Unit.MG_CO2E, Kind.REDUCTION, 500),
        Parcel(Unit.CREDIT, Kind.AVAILABLE, 10, None, SOONER),
    ]
    assert sorted(still_there(book, came), key=lambda parcel: parcel.unit_id) == [
        Parcel(Unit.CREDIT, Kind.AVAILABLE, 80, None, EXPIRES_ON),
        Parcel(Unit.MG_CO2E, Kind.REDUCTION, 500),
    ]
