"""Two who do something to a change at the same time: one of them wins, and the other is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from carbonpoints.approvals.requests import follow_programme
from carbonpoints.core.clock import clock_at
from tests.approvals.world import NOTICED, SOON, ChangeWorld, Seen, better, later, problem, seen

Call = Callable[[ChangeWorld], TestResponse]
ROUNDS = 3
"""Enough that either side wins now and then."""


def at_once(app: Flask, world: ChangeWorld, *calls: Call) -> list[TestResponse]:
    """Make the calls from one thread each, all released at the same time."""
    barrier = threading.Barrier(len(calls))

    def run(call: Call) -> TestResponse:
        own = ChangeWorld(app.test_client(), world.settings, world.programme_id)
        barrier.wait()
        return call(own)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def outcomes(answers: list[TestResponse]) -> list[tuple[int, str]]:
    return sorted((200, "") if answer.status_code == 200 else problem(answer) for answer in answers)


def approve(change: Seen, person: str) -> Call:
    return lambda own: own.step(change, "approve", person)


@pytest.mark.parametrize("round_no", range(ROUNDS))
def test_of_two_checkers_one_approves(committed: Flask, committed_world: ChangeWorld, round_no: int) -> None:
    change = committed_world.submitted(better(committed_world, valid_from=SOON))
    answers = at_once(
        committed, committed_world, *[approve(change, person) for person in ("zhao", "sun", "zhao", "sun")]
    )
    assert outcomes(answers) == [(200, "")] + [(409, "step_not_allowed")] * 3
    after = committed_world.look(change)
    (winner,) = (person for step, person in after.steps if step == "approve")
    assert (after.state, after.body["change"]["checker_person"]) == ("scheduled", winner)
    rules = committed_world.call("GET", "/rules/tram_trip").json
    assert rules is not None
    assert len(rules["versions"]) == 3


@pytest.mark.parametrize("round_no", range(ROUNDS))
def test_an_approval_meets_an_edit(committed: Flask, committed_world: ChangeWorld, round_no: int) -> None:
    change = committed_world.submitted(better(committed_world, valid_from=SOON))
    item = better(committed_world, valid_from=NOTICED)
    answers = at_once(
        committed, committed_world, approve(change, "zhao"), lambda own: own.edit(change, item, person="wang")
    )
    assert outcomes(answers) == [(200, ""), (409, "step_not_allowed")]
    after = committed_world.look(change)
    approved, edited = (answer.status_code == 200 for answer in answers)
    assert after.state == ("scheduled" if approved else "draft")
    assert ("edit", "wang") in after.steps if edited else ("approve", "zhao") in after.steps


def test_of_two_edits_one_is_stale(committed: Flask, committed_world: ChangeWorld) -> None:
    draft = seen(committed_world.draft(better(committed_world, valid_from=SOON)))
    items = [better(committed_world, grant, valid_from=SOON) for grant in (600, 700, 800)]

    def edit(number: int) -> Call:
        return lambda own: own.edit(draft, items[number], person=("lin", "wang", "lin")[number])

    answers = at_once(committed, committed_world, *map(edit, range(3)))
    assert outcomes(answers) == [(200, "")] + [(412, "precondition_failed")] * 2
    (won,) = (number for number, answer in enumerate(answers) if answer.status_code == 200)
    after = committed_world.look(draft)
    assert len(after.steps) == 2
    assert after.body["items"][0]["content"]["credits"] == items[won]["content"]["credits"]


@pytest.mark.parametrize("round_no", range(ROUNDS))
def test_of_two_changes_of_one_version_the_second_is_outdated(
    committed: Flask, committed_world: ChangeWorld, round_no: int
) -> None:
    changes = [
        committed_world.submitted(better(committed_world, grant, valid_from=SOON)) for grant in (600, 700)
    ]
    answers = at_once(committed, committed_world, approve(changes[0], "zhao"), approve(changes[1], "sun"))
    assert outcomes(answers) == [(200, ""), (409, "change_outdated")]
    states = {committed_world.look(change).state for change in changes}
    assert states == {"scheduled", "submitted"}
    (loser,) = (change for change in changes if committed_world.look(change).state == "submitted")
    # Compared afresh, it is a change of what the other one has put in force.
    (won,) = (change for change in changes if change.number != loser.number)
    put = {won.body["items"][0]["content"]["credits"]["grant_millicredits"]}
    again = seen(committed_world.edit(loser, better(committed_world, 900, valid_from=SOON)))
    before = {
        field["before"]
        for field in again.body["items"][0]["fields"]
        if field["field"].endswith("grant_millicredits")
    }
    assert before == put


def test_the_beat_may_come_twice_at_once_and_late(committed: Flask, committed_world: ChangeWorld) -> None:
    change = committed_world.approved(better(committed_world, valid_from=SOON))
    with clock_at(later(5)):
        barrier = threading.Barrier(4)

        def beat(_no: int) -> None:
            barrier.wait()
            with committed.app_context():
                follow_programme(committed_world.programme_id)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(beat, range(4)))
    assert committed_world.look(change).steps[-2:] == [("schedule", None), ("activate", None)]
