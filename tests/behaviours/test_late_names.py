"""Acts reported late under a number or a bank account that is somebody else's by now (M2)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.bulk import BankLink, link_in_bulk
from carbonpoints.accounts.identifiers import add_identifier
from carbonpoints.accounts.linking import Relation, link_account, unlink_account
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import transaction
from tests.behaviours.names import BANK_ACCOUNT, about, ended_for, operations
from tests.behaviours.undoing import merge, set_status, unmerge
from tests.behaviours.world import NOW, World, rows

DAY = timedelta(days=1)
MOVED = NOW + 2 * DAY
LATER = NOW + 3 * DAY
SUBJECT = f"BANK_ACCOUNT:{BANK_ACCOUNT}"


@pytest.fixture
def ops(world: World, session: Session) -> Caller:
    return operations(session)


def link(ops: Caller, world: World, name: str, at: datetime, relation: Relation = Relation.OWNER) -> None:
    with clock_at(at):
        link_account(
            caller=ops, account_id=world.accounts[name], bank_account=BANK_ACCOUNT, relation=relation
        )


def unlink(ops: Caller, world: World, name: str, at: datetime) -> None:
    with clock_at(at):
        unlink_account(caller=ops, account_id=world.accounts[name], bank_account=BANK_ACCOUNT)


def taken(world: World, subject: str, *times: datetime) -> list[tuple[str, str | None]]:
    """How acts of these times end that are reported now in one delivery, and whose they are."""
    with clock_at(LATER):
        return ended_for(world, *(about(world, subject, at) for at in times))


def one_by_one(world: World, subject: str, *times: datetime) -> list[tuple[str, str | None]]:
    return [end for at in times for end in taken(world, subject, at)]


BOTH = pytest.mark.parametrize("report", [taken, one_by_one], ids=["at once", "one by one"])


@BOTH
def test_a_bank_account_is_its_owners_of_the_time(world: World, ops: Caller, report: Any) -> None:
    link(ops, world, "C1", NOW)
    unlink(ops, world, "C1", MOVED)
    link(ops, world, "C2", MOVED)
    second = timedelta(seconds=1)
    assert report(world, SUBJECT, LATER, MOVED, MOVED - second, NOW, NOW - DAY) == [
        ("credited", "C2"),
        ("credited", "C2"),
        ("credited", "C1"),
        ("credited", "C1"),
        ("credited", "C1"),
    ]


def test_between_two_owners_it_is_nobodys(world: World, ops: Caller) -> None:
    link(ops, world, "C1", NOW)
    unlink(ops, world, "C1", NOW + DAY)
    assert taken(world, SUBJECT, LATER, NOW + DAY, NOW) == [
        ("unknown_account", None),
        ("unknown_account", None),
        ("credited", "C1"),
    ]
    link(ops, world, "C2", MOVED)
    assert taken(world, SUBJECT, MOVED, NOW + DAY) == [("credited", "C2"), ("unknown_account", None)]


def test_what_was_linked_again_is_the_owners_but_for_the_time_between(world: World, ops: Caller) -> None:
    link(ops, world, "C1", NOW)
    unlink(ops, world, "C1", NOW + DAY)
    link(ops, world, "C1", MOVED)
    assert taken(world, SUBJECT, NOW, NOW + DAY, MOVED) == [
        ("credited", "C1"),
        ("unknown_account", None),
        ("credited", "C1"),
    ]


def test_a_user_acts_as_long_as_the_bank_account_is_linked_to_them(world: World, ops: Caller) -> None:
    link(ops, world, "C1", NOW)
    link(ops, world, "C2", NOW, Relation.AUTHORISED_USER)
    unlink(ops, world, "C2", MOVED)
    acting = f"{SUBJECT}#C2"
    assert taken(world, acting, NOW - DAY, NOW, MOVED - DAY, MOVED, LATER) == [
        *[("credited", "C2")] * 3,
        *[("unknown_account", None)] * 2,
    ]
    assert taken(world, f"{SUBJECT}#C1", MOVED) == [("credited", "C1")]
    # Nobody knew of the link before; that C2 acted the source says.
    link(ops, world, "C2", LATER, Relation.AUTHORISED_USER)
    assert taken(world, acting, MOVED, LATER) == [("unknown_account", None), ("credited", "C2")]


@BOTH
def test_a_number_is_its_bearers_of_the_time(world: World, ops: Caller, report: Any) -> None:
    for name, new, ends in (("C1", "C9", 1), ("C2", "C1", None)):
        with clock_at(MOVED):
            add_identifier(
                caller=ops,
                account_id=world.accounts[name],
                scheme=Scheme.CUSTOMER_REF,
                value=new,
                ends=ends,
            )
    moved = [("credited", "C2"), ("credited", "C2"), ("credited", "C1")]
    times = (LATER, MOVED, MOVED - timedelta(microseconds=1))
    assert report(world, "CUSTOMER_REF:C1", *times) == moved
    # Who acted on a bank account that both may use is named by the number of the time, too.
    link(ops, world, "C1", LATER)
    link(ops, world, "C2", LATER, Relation.AUTHORISED_USER)
    assert report(world, f"{SUBJECT}#C1", *times) == moved


@pytest.mark.parametrize("subject", [SUBJECT, "CUSTOMER_REF:C1"])
def test_the_account_of_the_time_may_be_closed_by_now(
    world: World, ops: Caller, session: Session, subject: str
) -> None:
    link(ops, world, "C1", NOW)
    unlink(ops, world, "C1", MOVED)
    link(ops, world, "C2", MOVED)
    set_status(session, world, "closed")
    before = rows(session, "entry")
    assert taken(world, subject, NOW) == [("account_closed", "C1")]
    assert rows(session, "entry") == before
    assert taken(world, SUBJECT, MOVED) == [("credited", "C2")]


@pytest.mark.parametrize("subject", [SUBJECT, "CUSTOMER_REF:C1", f"{SUBJECT}#C1"])
def test_what_a_merged_account_bore_is_the_others(
    world: World, ops: Caller, session: Session, subject: str
) -> None:
    link(ops, world, "C1", NOW)
    with clock_at(MOVED):
        merge_no = merge(session, world, "C1", "C2")
    assert taken(world, subject, NOW - DAY, NOW, MOVED, LATER) == [("credited", "C2")] * 4
    with clock_at(LATER + DAY):
        unmerge(session, world, "C1", merge_no)
    assert taken(world, subject, NOW, MOVED) == [("credited", "C1"), ("credited", "C2")]


def test_links_made_in_bulk_are_dated(world: World, ops: Caller, session: Session) -> None:
    link(ops, world, "C1", NOW)
    unlink(ops, world, "C1", MOVED)
    with clock_at(MOVED), transaction() as bulk:
        settings = programme_settings(bulk, world.programme_id)
        links = [BankLink(world.accounts["C2"], BANK_ACCOUNT, Relation.OWNER)]
        assert [link_in_bulk(bulk, settings, links), link_in_bulk(bulk, settings, links)] == [1, 0]
    assert taken(world, SUBJECT, MOVED - DAY, MOVED) == [("credited", "C1"), ("credited", "C2")]
    kept = session.execute(
        text("SELECT account_id, lower(valid), upper(valid) FROM identity_bank_account ORDER BY 1")
    ).all()
    assert [tuple(row) for row in kept] == [
        (world.accounts["C1"], NOW, MOVED),
        (world.accounts["C2"], MOVED, None),
    ]


def test_what_was_linked_for_no_time_leaves_nothing(world: World, ops: Caller, session: Session) -> None:
    link(ops, world, "C1", NOW)
    unlink(ops, world, "C1", NOW)
    assert rows(session, "identity_bank_account") == 0
    assert taken(world, SUBJECT, NOW, LATER) == [("unknown_account", None)] * 2
