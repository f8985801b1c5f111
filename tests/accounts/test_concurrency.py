"""Every operation runs concurrently with itself: on a real database, from several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from carbonpoints.core.db import reading
from carbonpoints.ledger.reconcile import check
from tests.accounts.world import CLOSE, FREEZE, World, code, identifier, link, ok, rows

MERGE = {"reason": "the same person opened two"}
ROUNDS = 5
"""Enough that either side wins now and then."""


def at_once(app: Flask, world: World, *calls: Callable[[World], TestResponse]) -> list[TestResponse]:
    """Make the calls from one thread each, all released at the same time."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[World], TestResponse]) -> TestResponse:
        own = World(app.test_client(), world.settings, world.programme_id)
        barrier.wait()
        return call(own)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def statuses(answers: list[TestResponse]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


def proven() -> None:
    with reading() as session:
        assert [finding for finding in check(session) if finding.differences] == []


def test_simultaneous_openings_give_one_account(committed: Flask, committed_world: World) -> None:
    answers = at_once(committed, committed_world, *[lambda own: own.post("/accounts")] * 6)
    assert statuses(answers) == [200] * 5 + [201]
    assert len({ok(answer)["account_id"] for answer in answers}) == 1
    for table in ("account", "holder", "holder_identifier", "identity_holder", "decision"):
        assert rows(f"SELECT count(*) FROM {table}") == [(1,)]
    proven()


def test_one_of_two_gets_the_identifier(committed: Flask, committed_world: World) -> None:
    accounts = [committed_world.open("C1"), committed_world.open("C2")]

    def claim(account: str) -> Callable[[World], TestResponse]:
        return lambda own: own.core(f"/accounts/{account}/identifiers", identifier("C9"))

    answers = at_once(committed, committed_world, *map(claim, accounts))
    assert statuses(answers) == [200, 409]
    winner, loser = sorted(answers, key=lambda answer: answer.status_code)
    assert code(loser) == (409, "identifier_taken")
    assert (
        ok(committed_world.get("/accounts/mine", subject="C9"))["account_id"]
        == ok(winner)["account"]["account_id"]
    )
    assert rows("SELECT count(*) FROM holder_identifier") == [(3,)]
    proven()


def test_one_of_two_owns_the_bank_account(committed: Flask, committed_world: World) -> None:
    accounts = [committed_world.open("C1"), committed_world.open("C2")]

    def claim(account: str) -> Callable[[World], TestResponse]:
        return lambda own: own.core(f"/accounts/{account}/linked-accounts", link())

    answers = at_once(committed, committed_world, *map(claim, accounts))
    assert statuses(answers) == [200, 409]
    assert (
        rows("SELECT count(*) FROM linked_account")
        == rows("SELECT count(*) FROM identity_bank_account")
        == [(1,)]
    )


def test_the_same_identifier_added_twice_at_once_is_there_once(
    committed: Flask, committed_world: World
) -> None:
    account = committed_world.open()
    body = identifier("C9", ends=1)
    call = [lambda own: own.core(f"/accounts/{account}/identifiers", body)] * 4
    answers = at_once(committed, committed_world, *call)
    assert statuses(answers) == [200] * 4
    assert rows("SELECT identifier_no, valid_to IS NULL FROM holder_identifier ORDER BY 1") == [
        (1, False),
        (2, True),
    ]


def test_either_the_freeze_or_the_merge_comes_first(committed: Flask, committed_world: World) -> None:
    for number in range(ROUNDS):
        source, target = (committed_world.open(f"{side}{number}") for side in "AB")
        committed_world.earn(source, 500)
        body: dict[str, Any] = {"into_account_id": target, **MERGE}

        def merge(own: World, source: str = source, body: dict[str, Any] = body) -> TestResponse:
            return own.operate(f"/accounts/{source}/merges", body, key="merge-0001")

        def freeze(own: World, source: str = source) -> TestResponse:
            return own.operate(f"/accounts/{source}/freeze", FREEZE)

        merged, frozen = at_once(committed, committed_world, merge, freeze)
        if merged.status_code == 200:
            assert code(frozen) == (409, "account_merged")
        else:
            assert code(merged) == (409, "account_frozen")
            assert ok(frozen)["status"] == "frozen"
    proven()


def test_a_close_sent_twice_at_once_is_one_close(committed: Flask, committed_world: World) -> None:
    account = committed_world.open()
    committed_world.earn(account, 5000)
    call = [lambda own: own.post(f"/accounts/{account}/close", CLOSE, key="close-0001")] * 4
    answers = at_once(committed, committed_world, *call)
    assert statuses(answers) == [200] * 4
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 3
    assert all(ok(answer) == ok(answers[0]) for answer in answers)
    assert rows("SELECT count(*) FROM status_change") == [(1,)]
    proven()


def test_merging_both_ways_at_once_merges_once(committed: Flask, committed_world: World) -> None:
    one, other = committed_world.open("C1"), committed_world.open("C2")

    def merge(source: str, target: str) -> Callable[[World], TestResponse]:
        body = {"into_account_id": target, **MERGE}
        return lambda own: own.operate(f"/accounts/{source}/merges", body, key="merge-0001")

    answers = at_once(committed, committed_world, merge(one, other), merge(other, one))
    assert statuses(answers) == [200, 409]
    assert rows("SELECT status, count(*) FROM account GROUP BY 1 ORDER BY 1") == [("merged", 1), ("open", 1)]
    proven()
