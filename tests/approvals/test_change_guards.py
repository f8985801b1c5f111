"""The database holds what the code holds about changes: plain SQL finds no way around it."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.approvals.world import SOON, ChangeWorld, better, seen

STEP = """
INSERT INTO change_step (change_request_id, step_no, step, from_state, to_state, person, reason, fields, taken_at)
VALUES (:change, :no, :step, :before, :after, :person, 'because', '[]', now())
"""
Given = tuple[int, str, str, str, str | None]


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ((3, "approve", "submitted", "approved", "lin"), "four eyes"),
        ((3, "approve", "submitted", "approved", "wang"), "four eyes"),
        ((3, "reject", "submitted", "rejected", "wang"), "four eyes"),
        ((3, "agree", "submitted", "submitted", "lin"), "four eyes"),
        ((3, "approve", "draft", "approved", "zhao"), "begins where the last one led"),
        ((4, "approve", "submitted", "approved", "zhao"), "begins where the last one led"),
        ((3, "activate", "submitted", "active", None), "allowed_step"),
        ((3, "approve", "submitted", "active", "zhao"), "allowed_step"),
        ((3, "approve", "submitted", "approved", None), "taken_by_somebody"),
    ],
)
def test_a_step_that_the_table_does_not_have_is_refused(
    session: Session, world: ChangeWorld, given: Given, refusal: str
) -> None:
    draft = world.prove(seen(world.draft(better(world, valid_from=SOON))))
    change = seen(world.step(draft, "submit", "wang"))
    names = ("no", "step", "before", "after", "person")
    values = {"change": change.number, **dict(zip(names, given, strict=True))}
    with pytest.raises(DBAPIError, match=refusal):
        session.execute(text(STEP), values)


def test_a_checker_agrees_once(session: Session, world: ChangeWorld) -> None:
    change = world.submitted(better(world, valid_from=SOON))
    values = {"change": change.number, "before": "submitted", "person": "zhao"}
    agree = {"no": 3, "step": "agree", "after": "submitted"}
    session.execute(text(STEP), {**values, **agree})
    for more in ({**agree, "no": 4}, {"no": 4, "step": "approve", "after": "approved"}):
        with pytest.raises(DBAPIError, match="has agreed already"), session.begin_nested():
            session.execute(text(STEP), {**values, **more})


A_DECIDED_REQUEST = """
INSERT INTO change_request (programme_id, origin, title, reason, state, maker_person, checker_person, created_at)
SELECT programme_id, origin, title, reason, 'active', 'lin', 'zhao', now() FROM change_request
"""
A_VERSION_OF_A_DRAFT = """
INSERT INTO version (programme_id, kind, code, version_no, content, content_hash, valid, known, change_request_id)
SELECT programme_id, 'rule', 'x', 9, content, content_hash, valid, known, change_request_id FROM version
WHERE kind = 'proposal'
"""


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE change_request SET state = 'active', checker_person = 'zhao'", "follow from its steps"),
        ("UPDATE change_step SET person = 'zhao'", "append-only"),
        ("DELETE FROM change_step", "append-only"),
        ("UPDATE change_evidence SET result = 'passed'", "append-only"),
        ("TRUNCATE change_evidence", "append-only"),
        (A_DECIDED_REQUEST, "begins as a draft"),
        (A_VERSION_OF_A_DRAFT, "was approved"),
    ],
)
def test_only_steps_are_believed(session: Session, world: ChangeWorld, statement: str, refusal: str) -> None:
    world.submitted(better(world, valid_from=SOON))
    with pytest.raises(DBAPIError, match=refusal):
        session.execute(text(statement))
