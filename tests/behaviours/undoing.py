"""What tests of reversals, corrections and appeals share: short ways to earn, spend, merge, and to look."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.accounts.merging import merge_accounts, unmerge_accounts
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.drafts import put_in_force, read_draft
from carbonpoints.approvals.lifecycle import Step
from carbonpoints.approvals.services import draft_change
from carbonpoints.approvals.steps import lock_change, take_step
from carbonpoints.approvals.versions import VersionKind, current_versions
from carbonpoints.behaviours.work import Receipt
from carbonpoints.core import outbox
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import now
from carbonpoints.core.db import transaction
from carbonpoints.core.roles import ROLE_SCOPES, Role
from carbonpoints.ledger import flows
from carbonpoints.ledger.book import Moment
from carbonpoints.ledger.loading import load_open_items
from carbonpoints.ledger.posting import open_books, write_books
from carbonpoints.ledger.queries import read_balances
from tests.behaviours.world import World, payment

RIDE = {"distance_km": "5", "ticket_reference": "T-1", "fare_medium": "qr"}
RIDE_MG = 134_500
PAYMENT = 1_000
"""What a payment earns, in millicredits."""


def pay(world: World, event_id: str, *, reference: str | None = None, **options: Any) -> Receipt:
    data = payment(reference or f"of {event_id}", **options.pop("data", {}))
    return world.one("non_cash_payment", data, event_id=event_id, **options)


def ride(world: World, event_id: str, **options: Any) -> Receipt:
    data = {**RIDE, "ticket_reference": f"of {event_id}", **options.pop("data", {})}
    return world.one("bus_trip", data, event_id=event_id, **options)


def end(receipt: Receipt) -> str:
    return receipt.disposition.code


def has(world: World, session: Session, customer: str = "C1") -> tuple[int, int, int, int]:
    """Available, held and pending, and due millicredits of a customer, and their mg."""
    calendar = programme_settings(session, world.programme_id).calendar
    found = read_balances(session, world.accounts[customer], calendar, None)
    session.rollback()
    return (
        found.available_millicredits,
        found.held_millicredits + found.pending_millicredits,
        found.clawback_due_millicredits,
        found.lifetime_reduction_mg,
    )


def used(session: Session, account_id: int, period: str = "day") -> list[tuple[Any, ...]]:
    found = session.execute(
        text(
            "SELECT scope, awards, reduction_mg, amount_millicredits, tallies FROM usage "
            "WHERE account_id = :id AND period = :period ORDER BY scope, period_start"
        ),
        {"id": account_id, "period": period},
    ).all()
    session.rollback()
    return [tuple(row) for row in found]


@contextmanager
def working(world: World, customer: str = "C1"):
    """A customer's book with a moment: what is done to it is written."""
    account_id = world.accounts[customer]
    with transaction() as session:
        calendar = programme_settings(session, world.programme_id).calendar
        book = open_books(session, [account_id])[account_id]
        load_open_items(session, [book])
        yield book, book.next_moment(Moment.at(now(), calendar), calendar)
        write_books(session, [book])


def spend(world: World, amount: int, *, keep_held: bool = False) -> int:
    with working(world) as (book, moment):
        hold_seq = flows.hold(book, moment, reference=f"order {book.last_seq}", amount_millicredits=amount)
        if not keep_held:
            flows.capture(book, moment, hold_seq=hold_seq)
    return hold_seq


def set_status(session: Session, world: World, status: str, customer: str = "C1") -> None:
    session.execute(
        text("UPDATE account SET status = :status WHERE account_id = :id"),
        {"status": status, "id": world.accounts[customer]},
    )
    session.commit()


def change_setting(world: World, name: str, value: int) -> None:
    """Change one of the programme's settings, as two persons do, without asking for evidence and notice."""
    with transaction() as session:
        (version,) = current_versions(session, world.programme_id, VersionKind.PROGRAMME)
        proposed = ProposedVersion(
            kind=version.kind, code=version.code, content={**version.content, name: value}
        )
        made = draft_change(
            session, programme_id=world.programme_id, proposed=[proposed], maker_person="maker", reason="test"
        )
        assert made.draft_id is not None
        change = lock_change(session, world.programme_id, made.draft_id)
        take_step(session, change, Step.SUBMIT, person="maker")
        put_in_force(session, change, read_draft(session, change), person="checker", reason=None)


def _operations(session: Session) -> Caller:
    bank_id = session.scalar(text("SELECT bank_id FROM bank"))
    session.rollback()
    return Caller(
        bank_id=bank_id,
        issuer="https://bank.example/gansu",
        subject="ops",
        role=Role.OPERATIONS,
        scopes=ROLE_SCOPES[Role.OPERATIONS],
        person="ops",
        programme=None,
        sources=(),
    )


def merge(session: Session, world: World, source: str, target: str, *, deliver: bool = True) -> int:
    """Merge a customer's account into another's; returns the merge's number."""
    answer = merge_accounts(
        caller=_operations(session),
        account_id=world.accounts[source],
        into_account_id=world.accounts[target],
        reason="one person",
        key=f"merge {source} {target}",
        answer=lambda merged: {"merge_no": merged.merge_no},
    )
    if deliver:
        deliver_all()
    return int(answer.body["merge_no"])


def unmerge(session: Session, world: World, source: str, merge_no: int) -> None:
    unmerge_accounts(
        caller=_operations(session),
        account_id=world.accounts[source],
        merge_no=merge_no,
        reason="two persons",
        key=f"unmerge {source}",
        answer=lambda _: {},
    )
    deliver_all()


def deliver_all() -> None:
    for bucket in outbox.waiting_buckets():
        outbox.deliver_bucket(bucket, owner="test")
