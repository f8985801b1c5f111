from __future__ import annotations

from datetime import date, timedelta

import pytest

from carbonpoints.accounts.access import consents_in_force, resolve_subjects
from carbonpoints.accounts.bulk import (
    BankLink,
    DeclaredConsent,
    consent_in_bulk,
    link_in_bulk,
    open_accounts_in_bulk,
)
from carbonpoints.accounts.errors import (
    AccountClosed,
    BankAccountLinkedOtherwise,
    BankAccountTaken,
    GuardianConsentNeeded,
)
from carbonpoints.accounts.linking import Relation
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.errors import InvalidRequest, NotFound
from carbonpoints.core.ids import account_public_id, parse_account_id
from carbonpoints.ledger.reconcile import check
from tests.accounts.world import CLOSE, NOW, World, nothing_changes, ok, rows

EARLIER = NOW - timedelta(days=100)


def opened(world: World, *references: str, born_on: date | None = None) -> list[int]:
    with transaction() as session:
        programme = programme_settings(session, world.programme_id)
        holders = [NewHolder({Scheme.CUSTOMER_REF: reference}, born_on=born_on) for reference in references]
        return open_accounts_in_bulk(session, programme, holders)


def linked(world: World, *links: BankLink) -> int:
    with transaction() as session:
        return link_in_bulk(session, programme_settings(session, world.programme_id), links)


def consented(world: World, *consents: DeclaredConsent) -> int:
    with transaction() as session:
        return consent_in_bulk(session, programme_settings(session, world.programme_id), consents)


def proven() -> None:
    with reading() as session:
        assert [finding for finding in check(session) if finding.differences] == []


def test_a_load_opens_what_is_missing_in_the_order_of_its_rows(world: World) -> None:
    one = parse_account_id(world.open("C1"))
    ids = opened(world, "C3", "C1", "C2", "C3")
    assert ids[1] == one
    assert ids[0] == ids[3]
    assert len(set(ids)) == 3
    assert ok(world.get("/accounts/mine", subject="C2"))["account_id"] == account_public_id(ids[2])
    assert rows("SELECT kind, account_seq, count(*) FROM decision GROUP BY 1, 2") == [(1, 1, 3)]
    with nothing_changes():
        assert opened(world, "C3", "C1", "C2", "C3") == ids
        assert opened(world) == []
    proven()


def test_one_wrong_row_opens_nobody(world: World) -> None:
    with nothing_changes(), pytest.raises(InvalidRequest):
        opened(world, "C1", "C 2")
    with nothing_changes(), pytest.raises(GuardianConsentNeeded):
        opened(world, "C1", born_on=date(2010, 1, 1))


def test_links_are_made_once(world: World) -> None:
    one, two = opened(world, "C1", "C2")
    links = [
        BankLink(one, "A1", Relation.OWNER),
        BankLink(two, "A1", Relation.AUTHORISED_USER),
        BankLink(two, "A2", Relation.OWNER),
    ]
    assert linked(world, *links) == 3
    with nothing_changes():
        assert linked(world, *links) == 0
    with reading() as session:
        asked = ["BANK_ACCOUNT:A1", "BANK_ACCOUNT:A1#C2", "BANK_ACCOUNT:A2"]
        found = resolve_subjects(session, world.programme_id, asked)
    assert {name: bearers.at(NOW) for name, bearers in found.items()} == {
        "BANK_ACCOUNT:A1": one,
        "BANK_ACCOUNT:A1#C2": two,
        "BANK_ACCOUNT:A2": two,
    }
    assert rows("SELECT account_id, count(*) FROM decision WHERE kind = 5 GROUP BY 1 ORDER BY 1") == [
        (one, 1),
        (two, 2),
    ]
    proven()


def test_one_wrong_link_links_nothing(world: World) -> None:
    one, two = opened(world, "C1", "C2")
    linked(world, BankLink(one, "A1", Relation.OWNER))
    new = BankLink(one, "A9", Relation.OWNER)
    for wrong, refusal in (
        (BankLink(two, "A1", Relation.OWNER), BankAccountTaken),
        (BankLink(one, "A1", Relation.AUTHORISED_USER), BankAccountLinkedOtherwise),
        (BankLink(one, "A 2", Relation.OWNER), InvalidRequest),
        (BankLink(one + 1000, "A2", Relation.OWNER), NotFound),
    ):
        with nothing_changes(), pytest.raises(refusal):
            linked(world, new, wrong)


def test_consents_are_declared_once_and_only_reach_further_back(world: World) -> None:
    one, two = opened(world, "C1", "C2")
    declared = [
        DeclaredConsent(one, "payments", EARLIER, "branch"),
        DeclaredConsent(one, "trips", NOW, "branch"),
        DeclaredConsent(two, "payments", NOW, "branch"),
    ]
    assert consented(world, *declared) == 3
    with nothing_changes():
        assert consented(world, *declared) == 0
        assert consented(world, DeclaredConsent(one, "payments", NOW, "branch")) == 0
    assert consented(world, DeclaredConsent(two, "payments", EARLIER, "branch")) == 1
    with reading() as session:
        assert consents_in_force(session, [one, two]) == {
            (one, "payments"): EARLIER,
            (one, "trips"): NOW,
            (two, "payments"): EARLIER,
        }
        assert consents_in_force(session, []) == {}
    proven()


def test_a_load_gives_back_no_consent_that_was_withdrawn(world: World) -> None:
    one, two = parse_account_id(world.open("C1")), parse_account_id(world.open("C2"))
    declared = [DeclaredConsent(account_id, "trips", EARLIER, "branch") for account_id in (one, two)]
    consented(world, *declared)
    ok(world.post(f"/accounts/{account_public_id(one)}/consents/trips/withdrawal", {"channel": "app"}))
    with nothing_changes():
        assert consented(world, *declared) == 0
    earlier = EARLIER - timedelta(days=1)
    assert (
        consented(
            world, *(DeclaredConsent(account_id, "trips", earlier, "branch") for account_id in (one, two))
        )
        == 1
    )
    with reading() as session:
        assert consents_in_force(session, [one, two]) == {(two, "trips"): earlier}


def test_one_wrong_consent_records_nothing(world: World) -> None:
    one, two = opened(world, "C1", "C2")
    ok(world.operate(f"/accounts/{account_public_id(two)}/close", CLOSE, key="close-0001"))
    new = DeclaredConsent(one, "payments", EARLIER, "branch")
    for wrong, refusal in (
        (DeclaredConsent(one, "passports", EARLIER, "branch"), KeyError),
        (DeclaredConsent(one, "trips", NOW + timedelta(seconds=1), "branch"), ValueError),
        (DeclaredConsent(two, "trips", EARLIER, "branch"), AccountClosed),
    ):
        with nothing_changes(), pytest.raises(refusal):
            consented(world, new, wrong)
