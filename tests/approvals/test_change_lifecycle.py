"""A change goes from draft to superseded by allowed steps only, decided by whoever did not make it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from carbonpoints.approvals.lifecycle import ACTOR_OF, Actor, State, Step, state_after
from carbonpoints.approvals.requests import follow_programme
from carbonpoints.approvals.requirements import NEEDED, EvidenceKind, Result
from carbonpoints.approvals.routes import CHANGES
from carbonpoints.approvals.versions import VersionKind, current_versions
from carbonpoints.core.clock import clock_at
from carbonpoints.core.roles import Role
from tests.approvals.world import NOTICED, SOON, ChangeWorld, better, later, problem, seen, wrong_fields


def grants(session: Session, world: ChangeWorld) -> list[tuple[Any, ...]]:
    return [
        (version.content["credits"]["grant_millicredits"], version.valid_from, version.valid_to)
        for version in current_versions(session, world.programme_id, VersionKind.RULE)
    ]


def test_a_change_is_made_by_one_and_put_in_force_by_another(session: Session, world: ChangeWorld) -> None:
    draft = seen(world.draft(better(world, valid_from=SOON)))
    assert (draft.state, draft.body["missing"]) == ("draft", ["back_test"])
    assert problem(world.step(draft, "submit", "lin")) == (409, "evidence_missing")
    submitted = seen(world.step(world.prove(draft), "submit", "wang", reason="Ready."))
    assert (submitted.state, submitted.body["makers"]) == ("submitted", ["lin", "wang"])
    assert [grant for grant, *_ in grants(session, world)] == [0]
    approved = seen(world.step(submitted, "approve", "zhao", reason="Agreed."))
    assert (approved.state, approved.body["change"]["checker_person"]) == ("scheduled", "zhao")
    assert approved.steps == [
        ("draft", "lin"),
        ("submit", "wang"),
        ("approve", "zhao"),
        ("schedule", None),
    ]
    assert approved.body["steps"][2]["fields"] == [
        {"field": f"rule.tram_trip.content.{field}", "before": before, "after": after}
        for field, before, after in (
            ("credits.grant_millicredits", 0, 500),
            ("samples.0.millicredits", 40000, 40500),
            ("valid_from", "2024-01-01T00:00:00+08:00", SOON),
        )
    ]
    start = datetime(2026, 6, 15, 16, tzinfo=UTC)
    assert [(grant, starts, ends) for grant, starts, ends in grants(session, world)] == [
        (0, datetime(2023, 12, 31, 16, tzinfo=UTC), start),
        (500, start, None),
    ]


def test_what_is_scheduled_holds_from_its_start_and_is_named_active_when_somebody_looks(
    session: Session, world: ChangeWorld
) -> None:
    change = world.approved(better(world, valid_from=SOON))
    assert change.state == "scheduled"
    follow_programme(world.programme_id)
    assert world.look(change).state == "scheduled"
    with clock_at(later(3)):
        versions = current_versions(session, world.programme_id, VersionKind.RULE)
        assert [v.content["credits"]["grant_millicredits"] for v in versions if v.holds_at(later(3))] == [500]
        assert world.look(change).state == "scheduled", "nothing but the name waits for the beat"
        for _ in range(2):
            follow_programme(world.programme_id)
        assert world.look(change).steps[-2:] == [("schedule", None), ("activate", None)]


def test_a_change_is_superseded_when_nothing_of_it_holds_any_more(world: ChangeWorld) -> None:
    first = world.approved(better(world, valid_from=SOON))
    with clock_at(later(2)):
        follow_programme(world.programme_id)
        second = world.approved(better(world, 600, valid_from="2026-06-20T00:00:00+08:00"))
        assert (world.look(first).state, second.state) == ("active", "scheduled")
    with clock_at(later(6)):
        follow_programme(world.programme_id)
        assert (world.look(first).state, world.look(second).state) == ("superseded", "active")
        follow_programme(world.programme_id)
        assert world.look(first).steps[-1] == ("supersede", None)


def test_what_is_replaced_before_it_began_is_superseded_at_once(world: ChangeWorld) -> None:
    first = world.approved(better(world, valid_from=NOTICED))
    second = world.approved(better(world, valid_from=SOON))
    assert (world.look(first).state, second.state) == ("superseded", "scheduled")


@pytest.mark.parametrize("person", ["lin", "wang", "sun"])
def test_whoever_made_edited_or_submitted_it_never_decides(world: ChangeWorld, person: str) -> None:
    """Not with a checker's token either: persons are compared."""
    draft = seen(world.draft(better(world, valid_from=SOON)))
    path = f"/change-requests/{draft.number}"
    edited = seen(world.edit(draft, better(world, valid_from=NOTICED), person="wang"))
    proven = world.prove(edited)
    submit = world.call("POST", f"{path}/submit", "sun", role=Role.RULE_MAKER, json={}, tag=proven.tag)
    submitted = seen(submit)
    assert submitted.body["makers"] == ["lin", "sun", "wang"]
    for step in ("approve", "reject"):
        answer = world.call(
            "POST",
            f"{path}/{step}",
            person,
            role=Role.RULE_CHECKER,
            json={"reason": "No."},
            tag=submitted.tag,
        )
        assert problem(answer) == (403, "four_eyes")
    assert world.look(draft).body == submitted.body
    assert seen(world.step(submitted, "approve", "zhao")).state == "scheduled"


def test_an_edit_after_submission_needs_evidence_and_submission_anew(world: ChangeWorld) -> None:
    submitted = world.submitted(better(world, valid_from=SOON))
    edited = seen(world.edit(submitted, better(world, valid_from=NOTICED)))
    assert (edited.state, edited.body["missing"]) == ("draft", ["back_test"])
    assert edited.body["steps"][-1]["fields"] == [
        {"field": f"rule.tram_trip.{field}", "before": SOON, "after": NOTICED}
        for field in ("content.valid_from", "valid_from")
    ]
    assert [(item["kind"], item["counts"]) for item in edited.body["evidence"]] == [
        ("static_checks", False),
        ("sample_cases", False),
        ("back_test", False),
        ("static_checks", False),
        ("sample_cases", False),
        ("static_checks", True),
        ("sample_cases", True),
    ]
    assert problem(world.step(edited, "approve", "zhao")) == (409, "step_not_allowed")
    assert problem(world.step(edited, "submit", "lin")) == (409, "evidence_missing")
    back = seen(world.edit(edited, better(world, valid_from=SOON)))
    assert back.body["missing"] == [], "the same draft again is what the evidence was made for"


def test_an_edit_that_changes_nothing_is_none(world: ChangeWorld) -> None:
    draft = seen(world.draft(better(world, valid_from=SOON)))
    assert problem(world.edit(draft, better(world, valid_from=SOON))) == (409, "nothing_changes")
    assert problem(world.edit(draft, world.rule())) == (409, "nothing_changes")
    assert problem(world.draft(world.rule())) == (409, "nothing_changes")
    assert world.look(draft).body == draft.body


@pytest.mark.parametrize(("step", "person"), [("withdraw", "wang"), ("reject", "zhao")])
def test_a_change_may_be_given_up_or_refused_with_a_reason(
    session: Session, world: ChangeWorld, step: str, person: str
) -> None:
    submitted = world.submitted(better(world, valid_from=SOON))
    for given in ({}, {"reason": " "}, {"reason": None}):
        assert [field for field, _ in wrong_fields(world.step(submitted, step, person, **given))] == [
            "reason"
        ]
    closed = seen(world.step(submitted, step, person, reason="Not now."))
    assert closed.state == {"withdraw": "withdrawn", "reject": "rejected"}[step]
    assert (closed.body["steps"][-1]["reason"], closed.body["first_start"]) == ("Not now.", None)
    assert current_versions(session, world.programme_id, VersionKind.PROPOSAL) == ()
    assert problem(world.step(closed, "approve", "sun")) == (409, "step_not_allowed")
    assert problem(world.edit(closed, better(world, valid_from=NOTICED))) == (409, "step_not_allowed")
    assert closed.body["items"] == submitted.body["items"]


def test_two_checkers_agree_where_the_cost_is_a_warning(world: ChangeWorld) -> None:
    draft = world.prove(seen(world.draft(better(world, valid_from=SOON))), Result.WARNING)
    submitted = seen(world.step(draft, "submit", "lin"))
    assert submitted.body["checkers_needed"] == 2
    agreed = seen(world.step(submitted, "approve", "zhao"))
    assert (agreed.state, agreed.steps[-1]) == ("submitted", ("agree", "zhao"))
    assert problem(world.step(agreed, "approve", "zhao")) == (409, "second_checker_needed")
    again = seen(world.edit(agreed, better(world, valid_from=NOTICED)))
    resubmitted = seen(world.step(world.prove(again, Result.WARNING), "submit", "lin"))
    once = seen(world.step(resubmitted, "approve", "sun"))
    assert once.state == "submitted", "what zhao agreed to was another draft"
    assert seen(world.step(once, "approve", "zhao")).state == "scheduled"


def test_evidence_that_failed_stands_in_the_way_until_newer_evidence_does_not(world: ChangeWorld) -> None:
    draft = world.prove(seen(world.draft(better(world, valid_from=SOON))), Result.FAILED)
    assert problem(world.step(draft, "submit", "lin")) == (422, "evidence_failed")
    assert wrong_fields(world.step(draft, "submit", "lin")) == [("evidence.back_test", "failed")]
    assert seen(world.step(world.prove(draft, Result.PASSED), "submit", "lin")).state == "submitted"


def test_evidence_comes_too_late_for_what_is_decided(world: ChangeWorld) -> None:
    approved = world.approved(better(world, valid_from=SOON))
    with pytest.raises(Exception, match="not possible"):
        world.prove(approved)
    assert world.look(approved).body["evidence"] == approved.body["evidence"]


def test_every_kind_can_be_changed_and_says_what_it_needs(app: Flask) -> None:
    changeable = set(VersionKind) - {VersionKind.PROPOSAL}
    known = [kind for package in app.extensions["carbonpoints_kinds"] for kind in package.readers]
    assert sorted(known) == sorted(changeable)
    assert {kind.value for kind in changeable} <= NEEDED.keys()
    assert NEEDED["rule"] == NEEDED["factor"] == NEEDED["campaign"]
    assert NEEDED["rule"] == {EvidenceKind.STATIC_CHECKS, EvidenceKind.SAMPLE_CASES, EvidenceKind.BACK_TEST}


def test_the_scopes_are_those_of_the_table_of_steps() -> None:
    routes = {
        Step.DRAFT: "create_change",
        Step.EDIT: "edit_change",
        Step.SUBMIT: "submit_change",
        Step.WITHDRAW: "withdraw_change",
        Step.APPROVE: "approve_change",
        Step.REJECT: "reject_change",
    }
    wanted = {Actor.MAKER: "changes:write", Actor.CHECKER: "changes:check"}
    assert {name: CHANGES.scopes[name] for name in routes.values()} == {
        name: wanted[ACTOR_OF[step]] for step, name in routes.items()
    }


@pytest.mark.parametrize("state", [State.REJECTED, State.WITHDRAWN, State.SUPERSEDED])
def test_nothing_follows_an_end(state: State) -> None:
    for step in Step:
        with pytest.raises(Exception, match="not possible"):
            state_after(state, step)
