"""What trial loads are evidence of: for the draft that was tried, for all of its profiles, while it is a draft."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from carbonpoints.approvals.errors import StepNotAllowed
from carbonpoints.approvals.requirements import Result
from carbonpoints.approvals.services import create_bank_and_programme
from carbonpoints.behaviours.feed_services import continue_next_job, read_progress, receive_file
from carbonpoints.behaviours.trial_services import find_drafted_profile, load_on_trial
from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import db, transaction
from carbonpoints.core.models import Programme
from carbonpoints.core.roles import Role
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.shipped import load_shipped
from carbonpoints.samples.bank_statements import SHIPPED_FILE
from tests.approvals.world import problem, seen, wrong_fields
from tests.feeds.conftest import NOW, FedProgramme
from tests.feeds.makers import GOOD, Makers, camt, item, new, rows
from tests.feeds.shipped import ISSUER

ABROAD = "https://abroad.example"


def test_a_tried_profile_is_submitted_approved_and_loads(
    makers: Makers, programme: FedProgramme, session: Session
) -> None:
    draft = makers.proposed(new())
    assert problem(makers.step(draft, "submit", "lin")) == (409, "evidence_missing")
    tried = makers.tried(draft, GOOD)
    assert (tried["result"], tried["event_count"], tried["refused"]) == ("passed", 2, [])
    assert problem(makers.step(draft, "submit", "lin")) == (412, "precondition_failed")
    submitted = seen(makers.step(makers.look(draft), "submit", "lin"))
    assert problem(makers.step(submitted, "approve", "lin"))[0] == 403
    assert seen(makers.step(submitted, "approve", "zhao")).state == "active"
    job_id = receive_file(feed=programme.feed("new"), file_name="a", file=io.BytesIO(GOOD), tables={})
    while continue_next_job():
        pass
    assert read_progress(job_id=job_id).dispositions == {"credited": 2}


def test_a_better_file_takes_the_place_of_a_worse_one(makers: Makers) -> None:
    draft = makers.proposed(new())
    makers.tried(draft, b"")
    makers.tried(draft, GOOD)
    assert [(one["result"], one["counts"]) for one in makers.trials(draft)] == [
        ("failed", False),
        ("passed", True),
    ]
    assert seen(makers.step(makers.look(draft), "submit", "lin")).state == "submitted"


def test_a_profile_fits_what_is_proposed_with_it(makers: Makers) -> None:
    behaviour = makers.content("behaviours", "non_cash_payment") | {"code": "cheque"}
    together = seen(
        makers.draft(
            {"kind": "behaviour", "code": "cheque", "content": behaviour}, item(new(behaviour="cheque"))
        )
    )
    assert wrong_fields(makers.try_file(together, GOOD)) == [("item", "no_feed_profile")]
    tried = makers.tried(together, GOOD, query="?item=1")
    assert [event["type"] for event in tried["events"]] == ["cheque", "cheque"]
    assert makers.trials(together)[0]["details"].keys() == {"items.1"}


def test_one_evidence_speaks_for_all_profiles_of_a_draft(makers: Makers) -> None:
    draft = makers.proposed(new(), camt())
    makers.tried(draft, GOOD)
    (first,) = makers.trials(draft)
    assert (first["result"], first["details"]["items.1"]) == (
        "failed",
        {"result": "failed", "error": {"code": "not_tried", "line_no": None}},
    )
    makers.tried(draft, SHIPPED_FILE.read_bytes(), query="?item=1")
    second = makers.trials(draft)[1]
    assert second["result"] == "warning"
    assert [trial["result"] for trial in second["details"].values()] == ["passed", "warning"]
    assert seen(makers.step(makers.look(draft), "submit", "lin")).state == "submitted"


@pytest.mark.parametrize("query", ["?item=1", "?item=-1", "?item=x", "?number=0"])
def test_an_item_that_is_not_there(makers: Makers, session: Session, query: str) -> None:
    draft = makers.proposed(new())
    before = rows(session)
    refused = makers.try_file(draft, GOOD, query=query)
    assert problem(refused) == (422, "invalid_request")
    assert [field for field, _ in wrong_fields(refused)] == [query[1:].partition("=")[0]]
    assert rows(session) == before


def test_a_feed_that_ends_has_nothing_to_be_tried(makers: Makers) -> None:
    end = {
        "kind": "feed_profile",
        "code": "plain",
        "content": None,
        "valid_from": "2024-05-03T00:00:00+08:00",
    }
    draft = seen(makers.draft(end))
    assert (draft.body["missing"], makers.trials(draft)[0]["result"]) == ([], "passed")
    assert wrong_fields(makers.try_file(draft, GOOD)) == [("item", "no_feed_profile")]
    submitted = seen(makers.step(draft, "submit", "lin"))
    assert seen(makers.step(submitted, "approve", "zhao")).state == "scheduled"
    assert makers.trials(makers.proposed(new())) == []


def test_what_is_no_draft_any_more_is_not_tried(makers: Makers, session: Session) -> None:
    changes = [makers.proposed(new()) for _ in range(2)]
    for change in changes:
        makers.tried(change, GOOD)
    submitted = seen(makers.step(makers.look(changes[0]), "submit", "lin"))
    withdrawn = seen(makers.step(makers.look(changes[1]), "withdraw", "lin", reason="No more."))
    before = rows(session)
    for change in (submitted, withdrawn):
        assert problem(makers.try_file(change, GOOD)) == (409, "step_not_allowed")
    assert rows(session) == before
    approved = seen(makers.step(submitted, "approve", "zhao"))
    assert problem(makers.try_file(approved, GOOD)) == (409, "step_not_allowed")


def test_another_bank_s_change_is_not_there(makers: Makers, session: Session) -> None:
    draft = makers.proposed(new())
    with transaction() as opened:
        create_bank_and_programme(
            opened,
            bank_code="abroad",
            issuer=ABROAD,
            bank_name_en="Abroad",
            bank_name_zh="乙",
            settings=as_content(load_shipped().programme),
            maker_person="maker",
            checker_person="checker",
        )
    before = rows(session)
    assert problem(makers.try_file(draft, GOOD, issuer=ABROAD)) == (404, "not_found")
    assert rows(session) == before


def test_evidence_counts_for_what_was_tried(makers: Makers, session: Session) -> None:
    draft = makers.proposed(new())
    makers.tried(draft, GOOD)
    owner = session.get_one(Programme, makers.programme_id)
    caller = Caller(owner.bank_id, ISSUER, "lin", Role.RULE_MAKER, frozenset(), "lin", owner.code, ())
    late = find_drafted_profile(caller=caller, change_request_id=draft.number, item=0)
    edited = seen(makers.edit(makers.look(draft), item(new(name_en="Newer"))))
    assert edited.body["missing"] == ["trial_load"]
    trial = load_on_trial(caller=caller, drafted=late, file=io.BytesIO(GOOD), tables={})
    assert trial.result is Result.PASSED
    after = makers.look(draft)
    assert after.body["missing"] == ["trial_load"]
    assert [one["counts"] for one in makers.trials(draft)] == [False, False]
    makers.tried(draft, GOOD)
    assert makers.look(draft).body["missing"] == []
    seen(makers.step(makers.look(draft), "withdraw", "lin", reason="No more."))
    before = rows(session)
    with pytest.raises(StepNotAllowed):
        load_on_trial(caller=caller, drafted=late, file=io.BytesIO(GOOD), tables={})
    assert rows(session) == before


@pytest.fixture
def committed_makers(
    committed: Flask, committed_client: Any, feed_programme: Callable[[], FedProgramme]
) -> Iterator[Makers]:
    """The programme on a database of this test's own, where commits are real."""
    with clock_at(NOW), committed.app_context():
        programme_id = feed_programme().programme_id
        db.session.rollback()
        yield Makers(committed_client, committed.config["CARBONPOINTS"], programme_id, ISSUER)


def test_profiles_that_are_tried_at_once_all_count(committed: Flask, committed_makers: Makers) -> None:
    draft = committed_makers.proposed(*[new(code=f"new_{number}") for number in range(4)])
    barrier = threading.Barrier(4)

    def try_one(number: int) -> None:
        own = Makers(
            committed.test_client(), committed_makers.settings, committed_makers.programme_id, ISSUER
        )
        barrier.wait()
        own.tried(draft, GOOD, query=f"?item={number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(try_one, range(4)))
    evidence = committed_makers.trials(draft)
    assert sorted(len(one["details"]) for one in evidence) == [4, 4, 4, 4]
    assert [one["result"] for one in evidence] == ["failed", "failed", "failed", "passed"]
    assert committed_makers.look(draft).body["missing"] == []
