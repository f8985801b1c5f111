from __future__ import annotations

from datetime import timedelta

from carbonpoints.accounts.access import resolve_subjects
from carbonpoints.core.clock import clock_at, now
from carbonpoints.core.db import reading
from carbonpoints.core.ids import parse_account_id
from tests.accounts.world import BANK_ACCOUNT, NOW, World, code, link, nothing_changes, ok, rows


def test_a_linked_account_is_shown_masked(world: World) -> None:
    account = world.open()
    answer = ok(world.core(f"/accounts/{account}/linked-accounts", link()))
    shown = {
        "relation": "owner",
        "masked_value": "****5678",
        "linked_at": "2026-06-15T04:00:00+00:00",
        "unlinked_at": None,
    }
    assert answer["linked_accounts"] == [shown]
    assert ok(world.get(f"/accounts/{account}/linked-accounts"))["items"] == [shown]
    assert rows("SELECT kind, account_seq FROM decision ORDER BY 2") == [(1, 1), (5, 2)]
    kept = repr(rows("SELECT * FROM linked_account") + rows("SELECT * FROM identity_bank_account"))
    assert BANK_ACCOUNT not in kept


def test_linking_again_changes_nothing(world: World) -> None:
    account = world.open()
    first = ok(world.core(f"/accounts/{account}/linked-accounts", link()))
    with nothing_changes():
        assert ok(world.core(f"/accounts/{account}/linked-accounts", link())) == first


def test_a_user_does_not_become_the_owner_by_linking(world: World) -> None:
    account = world.open()
    ok(world.core(f"/accounts/{account}/linked-accounts", link("authorised_user")))
    with nothing_changes():
        answer = world.core(f"/accounts/{account}/linked-accounts", link())
    assert code(answer) == (409, "bank_account_linked_otherwise")


def test_another_owner_is_refused(world: World) -> None:
    owner, other = world.open("C1"), world.open("C2")
    ok(world.core(f"/accounts/{owner}/linked-accounts", link()))
    with nothing_changes():
        assert code(world.core(f"/accounts/{other}/linked-accounts", link())) == (409, "bank_account_taken")


def test_an_act_counts_for_who_acted_else_for_the_owner(world: World) -> None:
    owner, user = world.open("C1"), world.open("C2")
    world.open("C3")
    ok(world.core(f"/accounts/{owner}/linked-accounts", link()))
    ok(world.core(f"/accounts/{user}/linked-accounts", link("authorised_user")))
    ok(world.core(f"/accounts/{user}/linked-accounts", link("authorised_user", "only-a-user")))
    subject = f"BANK_ACCOUNT:{BANK_ACCOUNT}"
    asked = [
        subject,
        f"{subject}#C1",
        f"{subject}#C2",
        f"{subject}#C3",
        f"{subject}#nobody",
        "BANK_ACCOUNT:only-a-user",
        "BANK_ACCOUNT:unknown",
        "CUSTOMER_REF:C2",
        "CUSTOMER_REF:nobody",
        "PASSPORT:C1",
        "C1",
        "",
    ]
    with reading() as session:
        found = resolve_subjects(session, world.programme_id, asked)
        assert resolve_subjects(session, world.programme_id, []) == {}
    assert {name: bearers.at(NOW) for name, bearers in found.items()} == {
        subject: parse_account_id(owner),
        f"{subject}#C1": parse_account_id(owner),
        f"{subject}#C2": parse_account_id(user),
        f"{subject}#C3": 0,
        "CUSTOMER_REF:C2": parse_account_id(user),
    }


def test_a_customer_links_nothing(world: World) -> None:
    account = world.open()
    with nothing_changes():
        assert code(world.post(f"/accounts/{account}/linked-accounts", link())) == (403, "role_not_allowed")


UNLINK = {"bank_account": BANK_ACCOUNT}


def test_an_unlinked_account_counts_for_nobody_until_it_is_linked_again(world: World) -> None:
    account, other = world.open("C1"), world.open("C2")
    ok(world.core(f"/accounts/{account}/linked-accounts", link()))
    with clock_at(NOW + timedelta(days=1)):
        answer = ok(world.core(f"/accounts/{account}/linked-accounts/unlink", UNLINK))
        (shown,) = answer["linked_accounts"]
        assert (shown["linked_at"], shown["unlinked_at"]) == (
            "2026-06-15T04:00:00+00:00",
            "2026-06-16T04:00:00+00:00",
        )
        subject = f"BANK_ACCOUNT:{BANK_ACCOUNT}"
        with reading() as session:
            (owner,) = resolve_subjects(session, world.programme_id, [subject]).values()
        assert [owner.at(now()), owner.at(NOW)] == [0, parse_account_id(account)]
        assert rows("SELECT trace FROM decision WHERE kind = 5 ORDER BY account_seq") == [
            ({"linked": "owner"},),
            ({"unlinked": "owner"},),
        ]
        assert rows("SELECT action, detail FROM audit_record WHERE action = 'bank_account.unlink'") == [
            ("bank_account.unlink", {"account_seq": 3})
        ]
        with nothing_changes():
            assert ok(world.core(f"/accounts/{account}/linked-accounts/unlink", UNLINK)) == answer
        ok(world.core(f"/accounts/{other}/linked-accounts", link()))
        with nothing_changes():
            again = world.core(f"/accounts/{account}/linked-accounts", link())
        assert code(again) == (409, "bank_account_taken")
        with reading() as session:
            found = resolve_subjects(session, world.programme_id, [subject])
        assert [found[subject].at(at) for at in (now(), NOW)] == [
            parse_account_id(other),
            parse_account_id(account),
        ]


def test_unlinking_leaves_other_holders_links(world: World) -> None:
    owner, user = world.open("C1"), world.open("C2")
    ok(world.core(f"/accounts/{owner}/linked-accounts", link()))
    ok(world.core(f"/accounts/{user}/linked-accounts", link("authorised_user")))
    ok(world.core(f"/accounts/{user}/linked-accounts/unlink", UNLINK))
    assert rows("SELECT account_id, relation FROM identity_bank_account") == [
        (parse_account_id(owner), "owner")
    ]


def test_what_was_never_linked_is_not_unlinked(world: World) -> None:
    account, other = world.open("C1"), world.open("C2")
    ok(world.core(f"/accounts/{other}/linked-accounts", link()))
    with nothing_changes():
        answer = world.core(f"/accounts/{account}/linked-accounts/unlink", UNLINK)
    assert code(answer) == (409, "bank_account_not_linked")


def test_a_customer_unlinks_nothing(world: World) -> None:
    account = world.open()
    ok(world.core(f"/accounts/{account}/linked-accounts", link()))
    with nothing_changes():
        answer = world.post(f"/accounts/{account}/linked-accounts/unlink", UNLINK)
    assert code(answer) == (403, "role_not_allowed")
