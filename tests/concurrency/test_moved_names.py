"""A bank account moves from one customer to another while acts on it are reported: each is one customer's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from sqlalchemy import text

from carbonpoints.accounts.linking import Relation, link_account, unlink_account
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import db, reading
from tests.behaviours.names import BANK_ACCOUNT, about, ended_for, operations
from tests.behaviours.world import NOW, World
from tests.concurrency.test_events import THREADS, at_once
from tests.concurrency.test_events import world as world  # noqa: PLC0414 - a fixture

MOVED = NOW + timedelta(days=2)
SUBJECT = f"BANK_ACCOUNT:{BANK_ACCOUNT}"
Ends = list[tuple[str, str | None]]


def test_each_act_is_one_customers_while_a_bank_account_moves(committed: Flask, world: World) -> None:
    before = [about(world, SUBJECT, MOVED - timedelta(days=day, seconds=1)) for day in range(6)]
    since = [about(world, SUBJECT, MOVED) for _ in range(4)]
    with committed.app_context():
        ops = operations(db.session())
        first, second = world.accounts["C1"], world.accounts["C2"]
        link_account(caller=ops, account_id=first, bank_account=BANK_ACCOUNT, relation=Relation.OWNER)

    def move() -> Ends:
        unlink_account(caller=ops, account_id=first, bank_account=BANK_ACCOUNT)
        link_account(caller=ops, account_id=second, bank_account=BANK_ACCOUNT, relation=Relation.OWNER)
        return []

    def report(*numbers: int) -> Callable[[], Ends]:
        return lambda: ended_for(world, *((before + since)[number] for number in numbers))

    rest = [report(number) for number in range(10)] + [report(*range(10)), report(*reversed(range(10)))]
    with clock_at(MOVED):
        ends = at_once(committed, [move, *rest, *([report(*range(10))] * (THREADS - 1 - len(rest)))])
        with committed.app_context():
            again = ended_for(world, *before, *since)
    # Between the end of one link and the start of the next the bank account is nobody's; then it comes again. A
    # conflict is with the same event on its way to the first customer.
    assert {end for part in ends for end, _ in part} <= {
        "credited",
        "duplicate",
        "unknown_account",
        "conflict",
    }
    assert again[:6] == [("duplicate", "C1")] * 6
    assert {end for end, _ in again[6:]} <= {"duplicate", "credited"}
    with committed.app_context(), reading() as session:
        decided = session.execute(
            text(
                "SELECT account_id, count(*) AS decisions, count(DISTINCT event_hash) AS events FROM decision"
                " WHERE event_hash IS NOT NULL GROUP BY 1"
            )
        ).all()
    by_account = {row.account_id: row.events for row in decided}
    assert sum(row.decisions for row in decided) == sum(by_account.values()) == 10
    assert by_account.keys() <= {first, second}
    assert by_account[first] >= 6
