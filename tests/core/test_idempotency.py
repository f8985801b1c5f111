"""One answer per key: given again, refused for another body, waited for while it is made (M18)."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from carbonpoints.core.auth import Caller
from carbonpoints.core.clock import clock_at, now
from carbonpoints.core.db import transaction
from carbonpoints.core.idempotency import (
    RETENTION,
    IdempotencyHeaders,
    KeyReused,
    Replay,
    StillRunning,
    forget_old_keys,
    replay_or_claim,
    replayed,
    store_answer,
)
from carbonpoints.core.models import IdempotencyKey
from carbonpoints.core.roles import Role

ACCOUNT = 100_001
KEY = "order-0001"
BODY: dict[str, Any] = {"amount_millicredits": 5000, "reference": "中"}
ANSWER: dict[str, Any] = {"hold_id": "hold_1", "available_millicredits": 1}


def caller(subject: str = "somebody") -> Caller:
    return Caller(1, "https://a.test", subject, Role.CUSTOMER, frozenset(), subject, "green", ())


def call(
    session: Session, *, who: Caller | None = None, account_id: int = ACCOUNT, key: str = KEY, **body: Any
) -> Replay | None:
    return replay_or_claim(session, who or caller(), account_id, key, {**BODY, **body})


def test_the_second_call_gets_the_first_answer(session: Session) -> None:
    assert call(session) is None
    store_answer(session, caller(), ACCOUNT, KEY, status=201, answer=ANSWER)
    assert call(session) == Replay(201, ANSWER)
    assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 1


def test_the_answer_says_that_it_is_a_replay(app: Flask) -> None:
    with app.test_request_context():
        response = replayed(Replay(201, ANSWER))
    assert (response.status_code, response.json, response.headers["Idempotent-Replayed"]) == (
        201,
        ANSWER,
        "true",
    )


def test_another_body_is_refused(session: Session) -> None:
    call(session)
    store_answer(session, caller(), ACCOUNT, KEY, status=201, answer=ANSWER)
    with pytest.raises(KeyReused) as refused:
        call(session, amount_millicredits=5001)
    assert (refused.value.status, refused.value.code) == (422, "idempotency_key_reused")


def test_keys_belong_to_a_caller_and_an_account(session: Session) -> None:
    assert call(session) is None
    assert call(session, who=caller("another")) is None
    assert call(session, account_id=ACCOUNT + 1) is None
    assert call(session, key="order-0002") is None


def test_a_key_without_an_answer_is_our_mistake(session: Session) -> None:
    call(session)
    with pytest.raises(RuntimeError):
        call(session)


def test_a_rolled_back_call_leaves_its_key_free(committed: Flask) -> None:
    with committed.app_context():
        with suppress(KeyboardInterrupt), transaction() as session:
            call(session)
            raise KeyboardInterrupt
        with transaction() as session:
            assert call(session) is None
            store_answer(session, caller(), ACCOUNT, KEY, status=200, answer=ANSWER)


def in_transaction(app: Flask, claimed: threading.Event, release: threading.Event) -> None:
    """Claim the key and hold it until told to go on."""
    with app.app_context(), transaction() as session:
        call(session)
        claimed.set()
        assert release.wait(timeout=30)
        store_answer(session, caller(), ACCOUNT, KEY, status=200, answer=ANSWER)


@pytest.fixture
def first_call(committed: Flask) -> Any:
    """A call that has claimed the key and goes on when told to."""
    claimed, release = threading.Event(), threading.Event()
    thread = threading.Thread(target=in_transaction, args=(committed, claimed, release))
    thread.start()
    assert claimed.wait(timeout=30)
    yield release, thread
    release.set()
    thread.join()


def test_a_call_that_still_runs_makes_the_second_come_back_later(committed: Flask, first_call: Any) -> None:
    with committed.app_context(), transaction() as session:
        session.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(StillRunning) as refused:
            call(session)
    assert (refused.value.status, refused.value.retry_after_s) == (409, 1)


def test_a_call_that_ends_in_time_answers_the_second(committed: Flask, first_call: Any) -> None:
    release, _ = first_call
    threading.Timer(0.1, release.set).start()
    with committed.app_context(), transaction() as session:
        assert call(session) == Replay(200, ANSWER)


def test_old_keys_are_forgotten(session: Session) -> None:
    with clock_at(now() - RETENTION):
        call(session, key="order-old1")
    call(session, key="order-new1")
    assert forget_old_keys(session) == 1
    assert session.scalars(select(IdempotencyKey.key)).all() == ["order-new1"]


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        ("order-0001", True),
        ("a" * 128, True),
        ("short", False),
        ("a" * 129, False),
        ("with space", False),
        ("order-中文中文", False),
    ],
)
def test_a_key_is_visible_ascii_of_some_length(key: str, *, accepted: bool) -> None:
    assert (not IdempotencyHeaders().validate({"Idempotency-Key": key})) is accepted
