"""Change requests over HTTP: what is refused, field by field, what is shown, undone and exported."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.approvals import exporting
from carbonpoints.approvals.requirements import EvidenceKind, Result
from carbonpoints.behaviours.profiles import shipped_profiles
from carbonpoints.core.roles import Role
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.shipped import load_shipped
from tests.approvals.world import NOTICED, SOON, ChangeWorld, better, later, problem, seen, wrong_fields


def factor(world: ChangeWorld, **changed: Any) -> dict[str, Any]:
    return {"kind": "factor", "code": "TRAM", "content": {**world.content("factors", "TRAM"), **changed}}


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"expiry_months": "24"}, [("content.expiry_months", "wrong_type")]),
        ({"caps": [{"code": "x"}]}, [("content.caps.0.window", "required")]),
        (
            {"credits": None, "nonsense": 1},
            [("content.nonsense", "unknown_field"), ("content.credits", "wrong_type")],
        ),
        ({"code": "other"}, [("content.code", "other_code")]),
        ({"valid_from": "0001-01-01T00:00:00+08:00"}, [("valid_from", "out_of_range")]),
    ],
)
def test_wrong_content_is_refused_by_field_and_nothing_is_stored(
    session: Session, world: ChangeWorld, changed: dict[str, Any], fields: list[tuple[str, str]]
) -> None:
    before = session.scalar(text("SELECT count(*) FROM change_request"))
    refused = world.draft(world.rule(**changed), world.rule())
    assert problem(refused) == (422, "invalid_request")
    assert wrong_fields(refused) == [(f"items.0.{field}", code) for field, code in fields]
    assert session.scalar(text("SELECT count(*) FROM change_request")) == before


@pytest.mark.parametrize(
    ("item", "fields"),
    [
        ({"kind": "proposal"}, [("items.0.kind", "not_a_choice")]),
        ({"valid_from": "2026-06-16"}, [("items.0.valid_from", "wrong_format")]),
        ({"unknown": 1}, [("items.0.unknown", "unknown_field")]),
        ({"valid_from": NOTICED, "valid_to": SOON}, [("items.0.content.valid_to", "invalid")]),
        ({"content": {"a": json.loads("[" * 40 + "]" * 40)}}, [("items.0.content", "invalid")]),
    ],
)
def test_a_wrong_item_is_refused_by_field(
    world: ChangeWorld, item: dict[str, Any], fields: list[tuple[str, str]]
) -> None:
    assert wrong_fields(world.draft(world.rule() | item)) == fields


def test_what_holds_at_the_same_time_and_what_never_changes_is_refused(world: ChangeWorld) -> None:
    twice = world.draft(better(world, valid_from=SOON), better(world, valid_from=NOTICED))
    assert problem(twice) == (409, "validity_overlap")
    settings = {**as_content(load_shipped().programme), "currency": "EUR"}
    other = world.draft({"kind": "programme", "code": "zhangye", "content": settings})
    assert problem(other) == (409, "identity_fixed")
    ended = {"kind": "programme", "code": "zhangye", "content": None, "valid_from": SOON}
    assert wrong_fields(world.draft(ended)) == [("items.0.content", "null")]


def test_a_factor_s_days_begin_at_midnight_of_the_programme(world: ChangeWorld) -> None:
    noon = factor(world, value="25") | {"valid_from": "2026-06-16T12:00:00+08:00"}
    assert wrong_fields(world.draft(noon)) == [("items.0.valid_from", "no_day")]
    day = seen(world.draft(factor(world, value="25") | {"valid_from": SOON}))
    assert day.body["items"][0]["content"]["valid_from"] == "2026-06-16"


def test_checks_name_the_place_in_the_change_and_stand_in_its_way(world: ChangeWorld) -> None:
    wrong = world.rule(baseline="distance_km * TRAM + distance_km") | {"valid_from": SOON}
    draft = seen(world.draft(wrong))
    (evidence,) = draft.body["evidence"]
    assert (evidence["kind"], evidence["result"]) == ("static_checks", "failed")
    (finding,) = evidence["details"]["findings"]
    assert finding["field"] == "items.0.content.baseline"
    assert finding["detail"].startswith("column 22: g and km")
    assert draft.body["missing"] == ["back_test", "sample_cases"]
    refused = world.step(draft, "submit", "lin")
    assert problem(refused) == (422, "evidence_failed")
    assert wrong_fields(refused) == [
        ("items.0.content.baseline", "unit_mismatch"),
        ("evidence.static_checks", "failed"),
    ]
    assert world.look(draft).body == draft.body


def test_what_rests_on_a_changed_factor_is_checked_with_it(world: ChangeWorld) -> None:
    draft = seen(world.draft(factor(world, value="25")))
    assert [(item["kind"], item["result"]) for item in draft.body["evidence"]] == [
        ("static_checks", "passed"),
        ("sample_cases", "failed"),
    ]
    assert draft.body["evidence"][1]["details"]["findings"][0]["field"] == "tram_trip_in_force.samples.0"
    ended = {"kind": "factor", "code": "TRAM", "content": None, "valid_from": NOTICED}
    (evidence,) = seen(world.draft(ended)).body["evidence"]
    assert evidence["details"]["findings"][0]["field"] == "tram_trip_in_force.factors.0"
    ended = {"kind": "behaviour", "code": "tram_trip", "content": None, "valid_from": NOTICED}
    (evidence,) = seen(world.draft(ended)).body["evidence"]
    assert evidence["details"]["findings"][0]["field"] == "tram_trip_in_force.behaviour"
    both = [ended, {"kind": "rule", "code": "tram_trip", "content": None, "valid_from": NOTICED}]
    evidence = seen(world.draft(*both)).body["evidence"]
    assert [item["result"] for item in evidence] == ["passed", "passed"]


def test_a_feed_profile_is_checked_and_needs_a_trial(world: ChangeWorld) -> None:
    profile = next(as_content(one) for one in shipped_profiles() if one.code == "sample_bank_day")
    item = {"kind": "feed_profile", "code": "sample_bank_day", "content": profile}
    assert wrong_fields(world.draft(item | {"content": profile | {"delimiter": "x"}})) == [
        ("items.0.content.delimiter", "not_a_choice")
    ]
    (evidence,) = seen(world.draft(item)).body["evidence"]
    assert [one["field"] for one in evidence["details"]["findings"]] == ["items.0.content.behaviour"]
    fitting = {
        **profile,
        "behaviour": "tram_trip",
        "data": {"distance_km": "1", "ticket": "reference"},
        "keyed": [],
        "columns": [{"name": "reference"}],
        "filter": None,
        "event_id": "reference",
        "subject": "reference",
        "occurred_at": "day",
    }
    fitting["columns"].append({"name": "day", "type": "date", "format": "yyyy-MM-dd"})
    draft = seen(world.draft(item | {"content": fitting}))
    assert [one["result"] for one in draft.body["evidence"]] == ["passed"]
    assert problem(world.step(draft, "submit", "lin")) == (409, "evidence_missing")
    tried = world.prove(draft, Result.PASSED, EvidenceKind.TRIAL_LOAD)
    submitted = seen(world.step(tried, "submit", "lin"))
    assert seen(world.step(submitted, "approve", "zhao")).state == "active"


def test_a_write_names_the_state_that_was_seen(world: ChangeWorld) -> None:
    draft = seen(world.draft(better(world, valid_from=SOON)))
    path = f"/change-requests/{draft.number}"
    body = {"title": "An edit", "reason": "Later.", "items": [better(world, valid_from=NOTICED)]}
    for tag, refusal in (
        (None, (428, "precondition_required")),
        ("*", (428, "precondition_required")),
        ('"1-1-1"', (412, "precondition_failed")),
        (f"W/{draft.tag}", (428, "precondition_required")),
    ):
        assert problem(world.call("PUT", path, json=body, tag=tag)) == refusal
        for step in ("submit", "withdraw"):
            answer = world.call("POST", f"{path}/{step}", json={"reason": "why"}, tag=tag)
            assert problem(answer) == refusal
    assert world.look(draft) == draft
    proven = world.prove(draft)
    assert proven.tag != draft.tag, "whoever has not seen the evidence has not seen the change"
    assert problem(world.step(draft, "submit", "lin")) == (412, "precondition_failed")


def test_changes_are_listed_and_found(world: ChangeWorld) -> None:
    first = seen(world.draft(better(world, valid_from=SOON), title="one"))
    second = seen(world.draft(factor(world, value="25"), title="two"))

    def titles(**query: Any) -> list[str]:
        answer = world.call("GET", "/change-requests", "zhao", **query)
        assert answer.json is not None, answer.text
        return [item["title"] for item in answer.json["items"]]

    shipped = ["Shipped definitions", "Shipped definitions"]
    assert titles() == ["two", "one", *shipped]
    assert titles(state="draft", kind="rule") == ["one"]
    assert titles(code="TRAM") == ["two", shipped[0]]
    assert titles(kind="programme") == shipped[:1]
    answer = world.call("GET", "/change-requests", "zhao", limit=1)
    assert answer.json is not None
    assert titles(cursor=answer.json["next_cursor"], limit=1) == ["one"]
    assert [item.number for item in (first, second)] == sorted((first.number, second.number))


def test_the_first_import_shows_what_it_put_in_force(world: ChangeWorld) -> None:
    answer = world.call("GET", "/change-requests", code="TRAM")
    assert answer.json is not None
    number = answer.json["items"][0]["change_request_id"]
    shown = seen(world.call("GET", f"/change-requests/{number}"))
    assert [(item["kind"], item["code"]) for item in shown.body["items"]] == [
        ("behaviour", "tram_trip"),
        ("factor", "TRAM"),
        ("rule", "tram_trip"),
    ]
    assert shown.steps == [("draft", "lin"), ("submit", "lin"), ("approve", "zhao"), ("activate", None)]
    assert problem(world.step(shown, "rollback", "lin", reason="No.")) == (409, "nothing_to_restore")


def test_a_change_of_another_programme_is_not_there(world: ChangeWorld) -> None:
    for number in (0, 2**31, 10**30, 999_999):
        assert problem(world.call("GET", f"/change-requests/{number}")) == (404, "not_found")


def test_rolling_back_is_a_change_that_restores_what_was_before(world: ChangeWorld) -> None:
    before = world.content("rules", "tram_trip")
    change = world.approved(better(world, valid_from="2026-06-15T00:00:00+08:00"))
    assert change.state == "active"
    back = seen(world.step(change, "rollback", "wang", reason="Too generous.", valid_from=NOTICED))
    assert back.body["change"]["rolls_back_id"] == change.number
    (item,) = back.body["items"]
    assert (item["valid_from"], item["content"]["credits"]["grant_millicredits"]) == (
        NOTICED,
        0,
    )
    assert item["worse"] == ["content.credits.grant_millicredits"]
    submitted = seen(world.step(world.prove(back), "submit", "wang"))
    assert problem(
        world.call(
            "POST",
            f"/change-requests/{back.number}/approve",
            "wang",
            role=Role.RULE_CHECKER,
            json={},
            tag=submitted.tag,
        )
    ) == (403, "four_eyes")
    assert seen(world.step(submitted, "approve", "zhao")).state == "scheduled"
    answer = world.call("GET", "/rules", at=NOTICED)
    assert answer.json is not None
    (held,) = answer.json["items"]
    assert held["content"] == {**before, "valid_from": NOTICED}


def test_rolling_back_what_was_new_ends_it(world: ChangeWorld) -> None:
    content = {**world.content("factors", "TRAM"), "code": "ZED"}
    new = world.approved({"kind": "factor", "code": "ZED", "content": content, "valid_from": SOON})
    back = seen(world.step(new, "rollback", "lin", reason="Unused."))
    (item,) = back.body["items"]
    assert (item["content"], item["valid_from"]) == (None, SOON)
    assert item["worse"] == ["content"]


def test_what_was_never_approved_is_not_rolled_back(world: ChangeWorld) -> None:
    draft = seen(world.draft(better(world, valid_from=SOON)))
    assert problem(world.step(draft, "rollback", "lin", reason="No.")) == (409, "step_not_allowed")


def test_the_audit_is_exported_for_a_purpose(
    session: Session, world: ChangeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE_STEPS", 2)
    change = world.submitted(world.rule(label="=cmd") | {"valid_from": SOON})
    seen(world.step(change, "reject", "zhao", reason="-1, really"))
    path = "/change-requests/audit"
    assert wrong_fields(world.call("GET", f"{path}.csv")) == [("purpose", "required")]
    query: dict[str, Any] = {"purpose": "yearly audit", "change_request_id": change.number}
    sheet = world.call("GET", f"{path}.csv", **query)
    assert sheet.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(sheet.get_data(as_text=True))))
    assert [(row["step"], row["person"], row["reason"], row["field"], row["after"]) for row in rows] == [
        ("draft", "lin", "It is time.", "rule.tram_trip.content.label", "'=cmd"),
        ("draft", "lin", "It is time.", "rule.tram_trip.content.valid_from", SOON),
        ("submit", "lin", "", "", ""),
        ("reject", "zhao", "'-1, really", "", ""),
    ]
    lines = world.call("GET", f"{path}.jsonl", **query).get_data(as_text=True).splitlines()
    steps = [json.loads(line) for line in lines]
    assert [(step["step_no"], step["to_state"]) for step in steps] == [
        (1, "draft"),
        (2, "submitted"),
        (3, "rejected"),
    ]
    assert steps[0]["fields"][0] == {"field": "rule.tram_trip.content.label", "before": "", "after": "=cmd"}
    everything = world.call("GET", f"{path}.jsonl", purpose="yearly audit").get_data(as_text=True)
    assert len(everything.splitlines()) == 4 + 4 + 3
    none = world.call("GET", f"{path}.jsonl", purpose="yearly audit", taken_from=later(1).isoformat())
    assert none.get_data(as_text=True) == ""
    read = session.execute(
        text("SELECT action, purpose, detail ->> 'format', actor_role FROM audit_record")
    ).all()
    assert {tuple(row) for row in read} == {
        ("changes.export", "yearly audit", "csv", "rule_maker"),
        ("changes.export", "yearly audit", "jsonl", "rule_maker"),
    }
    assert len(read) == 4


def test_makers_make_and_checkers_check(world: ChangeWorld) -> None:
    refused = world.call("POST", "/change-requests", "zhao", json={})
    assert problem(refused) == (403, "insufficient_scope")
    change = world.submitted(better(world, valid_from=SOON))
    assert problem(world.step(change, "approve", "wang")) == (403, "insufficient_scope")
    auditor = world.call("GET", f"/change-requests/{change.number}", "li", role=Role.AUDITOR)
    assert seen(auditor).body == change.body
