"""A restatement as makers, checkers and customers see it: what it would post, who must agree, what it came to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.core.config import Settings
from carbonpoints.core.ids import NumberedId
from carbonpoints.core.roles import Role
from carbonpoints.rules.definitions import RuleDefinition
from tests.approvals.world import ChangeWorld, Seen, problem, seen, wrong_fields
from tests.behaviours.api import ISSUER, Api, body, refusal
from tests.behaviours.world import NOW, World, shipped
from tests.replay.scenes import work
from tests.restating.scenes import (
    FIRST,
    LAST,
    Held,
    factor,
    held,
    post,
    posted,
    restatement,
    ride,
    rule,
)
from tests.rules.budget_files import budget
from tests.rules.catalogue_files import read, ship, write


@pytest.fixture
def changes(world: World, client: FlaskClient, settings: Settings) -> ChangeWorld:
    return ChangeWorld(client, settings, world.programme_id, issuer=ISSUER)


def item(proposed: ProposedVersion) -> dict[str, Any]:
    return {
        "kind": proposed.kind.value,
        "code": proposed.code,
        "content": proposed.content,
        "valid_from": proposed.valid_from.isoformat() if proposed.valid_from else None,
        "valid_to": proposed.valid_to.isoformat() if proposed.valid_to else None,
    }


def corrected(mg_per_km: int) -> list[dict[str, Any]]:
    """The figure, the rule with samples that go with it, and the restatement."""
    found: RuleDefinition = next(each for each in shipped().rules if each.code == "bus_trip")
    mg = [int(Decimal(str(sample.attributes["distance_km"])) * mg_per_km) for sample in found.samples]
    samples = tuple(
        replace(sample, reduction_mg=each, millicredits=each)
        for sample, each in zip(found.samples, mg, strict=True)
    )
    figure = str(Decimal(mg_per_km) / 1000)
    return [item(each) for each in (factor(figure), rule(samples=samples), restatement())]


def try_out(changes: ChangeWorld, number: int, **period: str) -> dict[str, Any]:
    asked = changes.call("POST", "/backtests", json={"change_request_id": number, **period})
    assert asked.status_code == 202, asked.text
    assert asked.json is not None
    work()
    run = changes.call("GET", f"/backtests/{asked.json['run_id']}", "zhao").json
    assert run is not None
    return dict(run)


def submitted(changes: ChangeWorld, *items: dict[str, Any]) -> Seen:
    """Draft a change with all its evidence and submit it."""
    change = seen(changes.draft(*items))
    try_out(changes, change.number)
    try_out(changes, change.number, first_day=FIRST, last_day=LAST)
    again = seen(changes.call("GET", f"/change-requests/{change.number}"))
    return seen(changes.step(again, "submit", "lin", reason="Ready."))


def test_it_is_shown_before_it_is_approved_and_posted_afterwards(
    world: World, session: Session, changes: ChangeWorld, client: FlaskClient, settings: Settings
) -> None:
    event_seq = ride(world, "5").account_seq
    ride(world, "40", customer="C2")
    ride(world, "40", customer="C2")
    draft = seen(changes.draft(*corrected(30_000)))
    assert draft.body["missing"] == ["back_test", "restatement"]
    run = try_out(changes, draft.number)
    report = run["report"]
    assert (run["first_day"], run["last_day"]) == (FIRST, LAST)
    assert report["baseline"]["amount_millicredits"] == 2_134_500
    assert report["draft"]["amount_millicredits"] == 150_000 + 1_200_000 + 924_000
    assert report["draft"]["reduction_mg"] == 150_000 + 2_000_000
    assert (report["accounts_with_more"], report["accounts_with_less"]) == (2, 0)
    assert (report["kept_millicredits"], report["more_millicredits"]) == (124_000, 139_500)
    try_out(changes, draft.number, first_day=FIRST, last_day=LAST)
    ready = seen(changes.call("GET", f"/change-requests/{draft.number}"))
    assert ready.body["missing"] == []
    assert [found["kind"] for found in ready.body["evidence"] if found["result"] != "passed"] == []
    waiting = seen(changes.step(ready, "submit", "lin", reason="Ready."))
    assert problem(changes.step(waiting, "approve", "lin", role=Role.RULE_CHECKER))[0] == 403
    assert held(session, world) == Held(134_500, 134_500)
    assert seen(changes.step(waiting, "approve", "zhao")).state == "active"
    maker = Api(client, settings, Role.RULE_MAKER)
    (listed,) = body(maker.get("/restatements"))["restatements"]
    assert (listed["code"], listed["partitions_done"], listed["posted"]) == ("bus-2026-06", 0, None)
    post()
    done = body(maker.get("/restatements/bus-2026-06"))
    assert done["change_request_id"] == draft.number
    assert done["posted"] == {
        "events": 3,
        "awards": 3,
        "accounts": 2,
        "millicredits": 139_500,
        "added_mg": 139_500,
        "taken_mg": 124_000,
        "kept_millicredits": 124_000,
        "withheld_millicredits": 0,
    }
    customer = Api(client, settings, Role.CUSTOMER, "C1")
    why = customer.why(str(NumberedId("evt", world.accounts["C1"], event_seq)))
    (told,) = why["restatements"]
    assert (why["amount_millicredits"], told["amount_millicredits"], told["paid_millicredits"]) == (
        134_500,
        150_000,
        15_500,
    )
    assert told["explanation_zh"] == "公交出行的减排数值有误。"
    assert refusal(maker.get("/restatements/none")) == (404, "restatement_not_found")


def test_two_checkers_agree_where_what_it_pays_is_more_than_a_budget_has(
    world: World, session: Session, changes: ChangeWorld, tmp_path: Path
) -> None:
    ride(world, "5")
    ship(world.programme_id, read(write(tmp_path, budgets=budget(millicredits=15_000))))
    waiting = submitted(changes, *corrected(30_000))
    results = {found["kind"]: found["result"] for found in waiting.body["evidence"]}
    assert results["restatement"] == "warning"
    agreed = seen(changes.step(waiting, "approve", "zhao"))
    assert agreed.state == "submitted"
    post()
    assert held(session, world) == Held(134_500, 134_500)
    assert seen(changes.step(agreed, "approve", "sun")).state == "active"
    post()
    assert held(session, world) == Held(150_000, 150_000), (
        "what was earned is paid, and no budget is drawn on"
    )
    assert session.scalar(text("SELECT count(*) FROM budget_period")) == 0


def test_what_was_too_much_in_the_past_needs_no_notice(
    world: World, session: Session, changes: ChangeWorld
) -> None:
    ride(world, "5")
    waiting = submitted(changes, *corrected(20_000))
    assert waiting.body["items"][0]["worse"] == ["content.value"]
    assert seen(changes.step(waiting, "approve", "zhao")).state == "active"
    post()
    assert held(session, world) == Held(134_500, 100_000)


def test_what_would_hold_on_needs_its_notice(world: World, changes: ChangeWorld) -> None:
    ride(world, "5")
    items = corrected(20_000)
    items[0]["valid_to"] = (NOW + timedelta(days=1)).replace(hour=16).isoformat()
    items[1]["valid_to"] = items[0]["valid_to"]
    change = seen(changes.draft(*items))
    try_out(changes, change.number)
    try_out(changes, change.number, first_day=FIRST, last_day=LAST)
    ready = seen(changes.call("GET", f"/change-requests/{change.number}"))
    refused = changes.step(ready, "submit", "lin", reason="Ready.")
    assert problem(refused) == (409, "notice_too_short")
    assert wrong_fields(refused) == [("items.0.content.value", "worse_for_customers")]


def test_without_history_it_says_so_and_an_edit_leaves_its_evidence_behind(
    world: World, changes: ChangeWorld
) -> None:
    change = seen(changes.draft(item(restatement())))
    assert change.body["missing"] == ["restatement"]
    assert try_out(changes, change.number)["report"]["result"] == "no_history_yet"
    found = seen(changes.call("GET", f"/change-requests/{change.number}"))
    assert found.body["evidence"][-1]["result"] == "no_history_yet"
    edited = seen(changes.edit(found, item(restatement(last_day="2026-06-10"))))
    assert edited.body["missing"] == ["restatement"]
    assert problem(changes.step(edited, "submit", "lin", reason="Ready."))[1] == "evidence_missing"


@pytest.mark.parametrize(
    ("changed", "field", "code"),
    [
        ({"last_day": "2026-05-31"}, "items.0.content.last_day", "invalid"),
        ({"behaviours": []}, "items.0.content.behaviours", "invalid"),
        ({"explanation_zh": "  "}, "items.0.content.explanation_zh", "invalid"),
        ({"first_day": "yesterday"}, "items.0.content.first_day", "wrong_type"),
        ({"why": "not"}, "items.0.content.why", "unknown_field"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_field(
    changes: ChangeWorld, session: Session, changed: dict[str, Any], field: str, code: str
) -> None:
    proposed = restatement()
    assert proposed.content is not None
    refused = changes.draft({**item(proposed), "content": {**proposed.content, **changed}})
    assert wrong_fields(refused) == [(field, code)]
    assert session.scalar(text("SELECT count(*) FROM change_request WHERE origin = 'admin'")) == 0


def test_dates_of_validity_and_an_end_are_refused(changes: ChangeWorld) -> None:
    given = {**item(restatement()), "valid_from": NOW.isoformat()}
    assert wrong_fields(changes.draft(given)) == [("items.0.valid_from", "not_dated")]
    ended = {**item(restatement()), "content": None}
    assert wrong_fields(changes.draft(ended)) == [("items.0.content", "null")]


def test_findings_name_what_does_not_fit(world: World, changes: ChangeWorld) -> None:
    ride(world, "5")
    waiting = submitted(changes, *corrected(30_000))
    assert seen(changes.step(waiting, "approve", "zhao")).state == "active"
    again = item(restatement(behaviours=("bus_trip", "tram_trip"), last_day="2026-06-15"))
    change = seen(changes.draft(again, item(restatement("other"))))
    found = change.body["evidence"][0]["details"]["findings"]
    assert [(each["field"], each["code"]) for each in found] == [
        ("items.0.code", "code_taken"),
        ("items.0.content.last_day", "not_over"),
        ("items.0.content.behaviours.1", "unknown_behaviour"),
        ("items.1.kind", "given_twice"),
    ]


def test_a_change_without_one_is_asked_for_its_period(world: World, changes: ChangeWorld) -> None:
    ride(world, "5")
    change = seen(changes.draft(*corrected(30_000)[:2]))
    asked = changes.call("POST", "/backtests", json={"change_request_id": change.number})
    assert problem(asked) == (422, "wrong_draft")
    half = changes.call(
        "POST", "/backtests", json={"change_request_id": change.number, "first_day": "2026-06-01"}
    )
    assert wrong_fields(half) == [("last_day", "required")]


def test_it_cannot_be_rolled_back(world: World, session: Session, changes: ChangeWorld) -> None:
    ride(world, "5")
    waiting = submitted(changes, *corrected(30_000))
    active = seen(changes.step(waiting, "approve", "zhao"))
    post()
    refused = changes.step(active, "rollback", "lin", reason="It was right.")
    assert refused.status_code == 422
    assert posted(session)["awards"] == 1
