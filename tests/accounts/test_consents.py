from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from carbonpoints.accounts.access import consents_in_force
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.ids import parse_account_id
from carbonpoints.core.roles import Role
from tests.accounts.world import NOW, TEXT_VERSION, World, code, fields, nothing_changes, ok, rows

LATER = NOW + timedelta(days=10)
EARLIER = NOW - timedelta(days=100)


def consent(source: str = "trips", **more: Any) -> dict[str, Any]:
    return {"source": source, "text_version": TEXT_VERSION, "channel": "app", **more}


def in_force(account: str) -> dict[str, datetime]:
    with reading() as session:
        found = consents_in_force(session, [parse_account_id(account)])
    return {source: covers_from for (_, source), covers_from in found.items()}


def withdraw(world: World, account: str, source: str = "trips", **options: Any) -> Any:
    return world.post(f"/accounts/{account}/consents/{source}/withdrawal", {"channel": "app"}, **options)


def test_nothing_is_consented_to_by_default(world: World) -> None:
    account = world.open()
    items = ok(world.get(f"/accounts/{account}/consents"))["items"]
    assert {item["state"] for item in items} == {"not_given"}
    trips = next(item for item in items if item["source"] == "trips")
    assert (trips["sensitive"], trips["offered"]["version"], trips["covers_from"]) == (
        True,
        TEXT_VERSION,
        None,
    )
    assert in_force(account) == {}


def test_consent_is_separate_by_source_and_covers_from_when_it_was_given(world: World) -> None:
    account = world.open()
    answer = ok(world.post(f"/accounts/{account}/consents", consent()))
    given = answer["consent"]
    assert (given["state"], given["covers_from"], given["channel"]) == (
        "given",
        "2026-06-15T04:00:00+00:00",
        "app",
    )
    assert answer["account"]["account_id"] == account
    assert in_force(account) == {"trips": NOW}
    assert rows("SELECT account_seq, kind, trace FROM decision WHERE kind = 3") == [
        (
            2,
            3,
            {
                "source": "trips",
                "action": "given",
                "text_version": TEXT_VERSION,
                "covers_from": NOW.isoformat(),
                "declared": False,
            },
        )
    ]


def test_giving_it_twice_changes_nothing(world: World) -> None:
    account = world.open()
    first = ok(world.post(f"/accounts/{account}/consents", consent()))
    with clock_at(LATER), nothing_changes():
        assert ok(world.post(f"/accounts/{account}/consents", consent()))["consent"] == first["consent"]


def test_withdrawal_starts_the_retention_clock(world: World) -> None:
    account = world.open()
    ok(world.post(f"/accounts/{account}/consents", consent()))
    with clock_at(LATER):
        answer = ok(withdraw(world, account))
    assert (answer["consent"]["state"], answer["consent"]["covers_from"]) == ("withdrawn", None)
    assert in_force(account) == {}
    erase_from = (LATER + timedelta(days=180)).isoformat()
    assert rows("SELECT trace ->> 'erase_payloads_from' FROM decision WHERE account_seq = 3") == [
        (erase_from,)
    ]
    with nothing_changes():
        assert ok(withdraw(world, account))["consent"] == answer["consent"]


def test_consent_given_anew_covers_only_from_then_on(world: World) -> None:
    account = world.open()
    ok(world.post(f"/accounts/{account}/consents", consent()))
    ok(withdraw(world, account))
    with clock_at(LATER):
        ok(world.post(f"/accounts/{account}/consents", consent()))
    assert in_force(account) == {"trips": LATER}
    assert rows("SELECT action FROM consent ORDER BY account_seq") == [("given",), ("withdrawn",), ("given",)]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (consent("passports"), (422, "invalid_request")),
        (consent(text_version="2019-01"), (409, "consent_text_outdated")),
        (consent(covers_from=EARLIER.isoformat(), reason="?"), (403, "role_not_allowed")),
        (consent(covers_from=EARLIER.isoformat()), (422, "invalid_request")),
        (consent(covers_from="2026-01-01T00:00:00", reason="?"), (422, "invalid_request")),
        (consent(covers_from="2026-01-01T00:00Z", reason="?"), (422, "invalid_request")),
    ],
)
def test_a_customer_s_wrong_consent_is_refused(
    world: World, body: dict[str, Any], refusal: tuple[int, str]
) -> None:
    account = world.open()
    with nothing_changes():
        assert code(world.post(f"/accounts/{account}/consents", body)) == refusal


def test_withdrawing_what_was_never_given_is_refused(world: World) -> None:
    account = world.open()
    with nothing_changes():
        assert code(withdraw(world, account)) == (409, "consent_not_given")
        assert code(withdraw(world, account, "passports")) == (422, "invalid_request")


def test_the_bank_declares_a_consent_given_earlier(world: World) -> None:
    account = world.open()
    body = consent(covers_from=EARLIER.isoformat(), reason="paper form of March, archived")
    answer = ok(world.core(f"/accounts/{account}/consents", body))
    assert answer["consent"]["state"] == "given"
    assert in_force(account) == {"trips": EARLIER}
    assert rows("SELECT (trace ->> 'declared')::boolean FROM decision WHERE kind = 3") == [(True,)]
    assert rows("SELECT action, purpose, detail FROM audit_record") == [
        ("consent.declare", "paper form of March, archived", {"account_seq": 2})
    ]


def test_after_a_withdrawal_only_the_holder_gives_consent_again(world: World) -> None:
    account = world.open()
    ok(world.post(f"/accounts/{account}/consents", consent()))
    ok(withdraw(world, account))
    paper = {"covers_from": EARLIER.isoformat(), "reason": "paper form of March, archived"}
    body = consent(**paper)
    with nothing_changes():
        for role in (Role.CORE_BANKING, Role.OPERATIONS):
            answer = world.post(f"/accounts/{account}/consents", body, role=role, subject="bank")
            assert code(answer) == (409, "consent_withdrawn")
    ok(world.core(f"/accounts/{account}/consents", consent("payments", **paper)))
    ok(world.post(f"/accounts/{account}/consents", consent()))
    ok(world.core(f"/accounts/{account}/consents", body))
    assert in_force(account) == {"trips": EARLIER, "payments": EARLIER}


def test_a_declaration_s_reason_is_not_in_the_journal(world: World) -> None:
    account = world.open()
    ok(world.core(f"/accounts/{account}/consents", consent(covers_from=EARLIER.isoformat(), reason="secret")))
    assert "secret" not in repr(rows("SELECT trace FROM decision"))


def test_the_bank_neither_consents_nor_withdraws_in_the_customer_s_place(world: World) -> None:
    account = world.open()
    with nothing_changes():
        for role in (Role.CORE_BANKING, Role.OPERATIONS):
            options = {"role": role, "subject": "bank"}
            answer = world.post(f"/accounts/{account}/consents", consent(), **options)
            assert code(answer) == (403, "role_not_allowed")
            assert code(withdraw(world, account, **options)) == (403, "role_not_allowed")


def test_a_consent_from_an_instant_to_come_is_refused(world: World) -> None:
    account = world.open()
    body = consent(covers_from=LATER.isoformat(), reason="?")
    with nothing_changes():
        assert fields(world.core(f"/accounts/{account}/consents", body)) == [("covers_from", "in_future")]


def test_nobody_consents_for_another_customer(world: World) -> None:
    account = world.open("C1")
    world.open("C2")
    with nothing_changes():
        answer = world.post(f"/accounts/{account}/consents", consent(), subject="C2")
        assert code(answer) == (404, "not_found")
        assert code(withdraw(world, account, subject="C2")) == (404, "not_found")


def test_a_frozen_holder_can_withdraw_and_a_closed_one_too_but_not_consent(world: World) -> None:
    account = world.open()
    for source in ("trips", "payments"):
        ok(world.post(f"/accounts/{account}/consents", consent(source)))
    ok(world.operate(f"/accounts/{account}/freeze", {"reason_code": "fraud_suspected", "reason": "?"}))
    ok(withdraw(world, account))
    ok(
        world.operate(
            f"/accounts/{account}/close", {"reason_code": "fraud_confirmed", "reason": "?"}, key="close-01"
        )
    )
    ok(withdraw(world, account, "payments"))
    with nothing_changes():
        assert code(world.post(f"/accounts/{account}/consents", consent())) == (409, "account_closed")


MINOR, ADULT = "2010-01-01", "2000-01-01"


def hold_by(account: str, born_on: str, guardian_consent_at: datetime | None) -> None:
    """Let the account's holder be somebody born on a day, as it may stand in the books from another system."""
    statement = (
        "UPDATE holder SET born_on = :born, guardian_consent_at = :guardian WHERE account_id = :account"
    )
    values = {"born": born_on, "guardian": guardian_consent_at, "account": parse_account_id(account)}
    with transaction() as session:
        session.execute(text(statement), values)


def test_a_minor_consents_with_a_guardian_s_consent_only(world: World) -> None:
    account = world.open()
    ok(world.post(f"/accounts/{account}/consents", consent("payments")))
    hold_by(account, MINOR, None)
    declared = consent(covers_from=EARLIER.isoformat(), reason="signed at the branch")
    with nothing_changes():
        for answer in (
            world.post(f"/accounts/{account}/consents", consent()),
            world.core(f"/accounts/{account}/consents", declared),
        ):
            assert code(answer) == (403, "guardian_consent_needed")
    ok(withdraw(world, account, "payments"))
    hold_by(account, MINOR, NOW)
    ok(world.post(f"/accounts/{account}/consents", consent()))


def test_an_adult_consents_alone(world: World) -> None:
    account = world.open()
    hold_by(account, ADULT, None)
    ok(world.post(f"/accounts/{account}/consents", consent()))
