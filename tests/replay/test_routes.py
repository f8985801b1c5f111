"""Back-tests as their callers see them."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.behaviours.replay.reexecution import reexecute_sample
from carbonpoints.core.config import Settings
from carbonpoints.core.roles import Role
from carbonpoints.rules.reading import as_content
from tests.behaviours.api import Api, body, refusal, wrong
from tests.behaviours.world import World, payment
from tests.replay.scenes import GRANT, granting, pay, work

JUNE = {"first_day": "2026-06-01", "last_day": "2026-06-30"}


@pytest.fixture
def maker(world: World, client: FlaskClient, settings: Settings) -> Api:
    return Api(client, settings, Role.RULE_MAKER)


def item(**changes: Any) -> dict[str, Any]:
    return {"kind": "rule", "content": {**as_content(granting(3 * GRANT)), **changes}}


def test_a_draft_is_asked_about_followed_and_reported(world: World, maker: Api) -> None:
    pay(world, 2)
    answer = maker.call("POST", "/backtests", json={"draft": [item()], **JUNE})
    assert answer.status_code == 202
    assert answer.json is not None
    asked = answer.json
    assert (asked["state"], asked["partitions_done"], asked["report"]) == ("running", 0, None)
    assert answer.headers["Location"] == f"/v1/backtests/{asked['run_id']}"
    work()
    done = body(maker.get(f"/backtests/{asked['run_id']}"))
    assert (done["state"], done["events"]) == ("done", 2)
    assert done["report"]["draft"]["amount_millicredits"] == 6 * GRANT
    assert done["report"]["baseline"]["amount_millicredits"] == 2 * GRANT


def test_a_back_test_is_cancelled_once(world: World, maker: Api) -> None:
    asked = maker.call("POST", "/backtests", json={"draft": [item()], **JUNE}).json
    assert asked is not None
    cancelled = body(maker.call("POST", f"/backtests/{asked['run_id']}/cancel"))
    assert cancelled["state"] == "cancelled"
    again = maker.call("POST", f"/backtests/{asked['run_id']}/cancel")
    assert refusal(again) == (409, "backtest_ended")


def test_wrong_fields_are_named_and_nothing_is_started(world: World, maker: Api, session: Session) -> None:
    def ask(**asked: Any) -> list[tuple[str, str]]:
        answer = maker.call("POST", "/backtests", json=asked)
        assert answer.status_code == 422, answer.text
        return wrong(answer)

    assert [field for field, _ in ask(**JUNE)] == ["draft"]
    assert [field for field, _ in ask(**JUNE, draft=[item()], change_request_id=1)] == ["draft"]
    backwards = {"first_day": "2026-06-02", "last_day": "2026-06-01"}
    assert [field for field, _ in ask(**backwards, draft=[item()])] == ["last_day"]
    assert [field for field, _ in ask(**JUNE, draft=[item(baseline="payments * NOBODY")])] == [
        "draft.0.content.baseline"
    ]
    assert [field for field, _ in ask(**JUNE, draft=[item(expiry_months="many")])] == [
        "draft.0.content.expiry_months"
    ]
    assert session.scalar(text("SELECT count(*) FROM backtest_run")) == 0


def test_an_unknown_change_request_is_not_found(world: World, maker: Api) -> None:
    answer = maker.call("POST", "/backtests", json={"change_request_id": 4711, **JUNE})
    assert refusal(answer)[0] == 404


@pytest.mark.parametrize(
    ("role", "status"),
    [
        (Role.RULE_CHECKER, 202),
        (Role.FINANCE, 202),
        (Role.AUDITOR, 202),
        (Role.OPERATIONS, 403),
        (Role.CUSTOMER, 403),
    ],
)
def test_who_may_ask(world: World, client: FlaskClient, settings: Settings, role: Role, status: int) -> None:
    answer = Api(client, settings, role).call("POST", "/backtests", json={"draft": [item()], **JUNE})
    assert answer.status_code == status


def test_operations_and_auditors_see_what_came_out_differently(
    world: World, client: FlaskClient, settings: Settings, session: Session
) -> None:
    receipt = world.one("non_cash_payment", payment("one"))
    auditor = Api(client, settings, Role.AUDITOR)
    reexecute_sample(world.programme_id)
    assert body(auditor.get("/reexecutions")) == {"findings": []}
    session.execute(text("ALTER TABLE decision DISABLE TRIGGER ALL"))
    session.execute(text("UPDATE decision SET amount_millicredits = 7 WHERE kind = 2"))
    session.execute(text("ALTER TABLE reexecution DISABLE TRIGGER ALL"))
    session.execute(text("DELETE FROM reexecution"))
    session.commit()
    reexecute_sample(world.programme_id)
    for role in (Role.AUDITOR, Role.OPERATIONS):
        (finding,) = body(Api(client, settings, role).get("/reexecutions", limit="5"))["findings"]
        assert finding["event_id"] == f"evt_{receipt.account_id}_{receipt.account_seq}"
        assert finding["outcomes"]["recorded"]["amount_millicredits"] == 7
        assert finding["outcomes"]["replayed"]["amount_millicredits"] == GRANT
