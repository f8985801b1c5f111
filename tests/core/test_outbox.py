"""The outbox: in the order of each account, one stuck account parks itself only, at least once (M18)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from carbonpoints.core import outbox
from carbonpoints.core.db import db, transaction
from carbonpoints.core.ids import bucket_of
from carbonpoints.core.models import OutboxLease, OutboxMessage
from carbonpoints.core.outbox import (
    Message,
    PermanentFailure,
    deliver_bucket,
    enqueue,
    forget_delivered,
    handles,
    waiting_buckets,
)

TOPIC = "tests.probe"
FIRST = 100_001
BUCKET = bucket_of(FIRST)
NEIGHBOUR = next(n for n in range(FIRST + 1, FIRST + 10_000) if bucket_of(n) == BUCKET)

Fails = Callable[[Message], Exception | None]


class Receiver:
    """What arrived, and which messages fail."""

    def __init__(self) -> None:
        self.arrived: list[tuple[int, int, int]] = []
        self.failure: Fails = lambda _message: None

    def __call__(self, message: Message) -> None:
        error = self.failure(message)
        if error is not None:
            raise error
        self.arrived.append((message.account_id, message.account_seq, message.message_no))


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setattr(outbox, "_handlers", {})
    received = Receiver()
    handles(TOPIC)(received)
    return received


def put(session: Session, account_id: int, seq: int, number: int = 1, topic: str = TOPIC) -> None:
    enqueue(session, account_id=account_id, account_seq=seq, message_no=number, topic=topic, body={"n": seq})


@pytest.fixture
def filled(session: Session) -> Session:
    """Two accounts of one bucket with three messages each, written in no order."""
    for account_id, seq, number in [
        (NEIGHBOUR, 9, 1),
        (FIRST, 2, 1),
        (FIRST, 1, 2),
        (NEIGHBOUR, 4, 1),
        (FIRST, 1, 1),
        (NEIGHBOUR, 10, 1),
    ]:
        put(session, account_id, seq, number)
    session.commit()
    return session


def of(receiver: Receiver, account_id: int) -> list[tuple[int, int]]:
    return [(seq, number) for account, seq, number in receiver.arrived if account == account_id]


def test_each_account_s_messages_leave_in_its_order(filled: Session, receiver: Receiver) -> None:
    assert waiting_buckets() == [BUCKET]
    assert deliver_bucket(BUCKET, owner="w") == 6
    assert of(receiver, FIRST) == [(1, 1), (1, 2), (2, 1)]
    assert of(receiver, NEIGHBOUR) == [(4, 1), (9, 1), (10, 1)]
    assert waiting_buckets() == []
    assert deliver_bucket(BUCKET, owner="w") == 0
    assert len(receiver.arrived) == 6


def state(session: Session, account_id: int, seq: int) -> tuple[int, str | None, float]:
    """Attempts, last error and how many seconds the next attempt is away."""
    wait = func.extract("epoch", OutboxMessage.next_attempt_at - func.now())
    row = session.execute(
        select(OutboxMessage.attempts, OutboxMessage.last_error, wait).where(
            OutboxMessage.account_id == account_id, OutboxMessage.account_seq == seq
        )
    ).one()
    return row[0], row[1], round(float(row[2]))


def let_time_pass(session: Session, seconds: int) -> None:
    session.execute(
        update(OutboxMessage).values(
            next_attempt_at=OutboxMessage.next_attempt_at - timedelta(seconds=seconds)
        )
    )
    session.commit()


def test_a_stuck_account_parks_only_itself_and_goes_on_where_it_stopped(
    filled: Session, receiver: Receiver
) -> None:
    receiver.failure = lambda m: OSError("away") if (m.account_id, m.account_seq) == (NEIGHBOUR, 4) else None
    assert deliver_bucket(BUCKET, owner="w") == 3
    assert of(receiver, NEIGHBOUR) == []
    assert of(receiver, FIRST) == [(1, 1), (1, 2), (2, 1)]
    assert state(filled, NEIGHBOUR, 4) == (1, "OSError", 2)
    let_time_pass(filled, 2)
    assert deliver_bucket(BUCKET, owner="w") == 0
    assert state(filled, NEIGHBOUR, 4) == (2, "OSError", 4)
    receiver.failure = lambda _message: None
    let_time_pass(filled, 4)
    assert deliver_bucket(BUCKET, owner="w") == 3
    assert of(receiver, NEIGHBOUR) == [(4, 1), (9, 1), (10, 1)]


def test_waiting_grows_to_an_hour_and_no_further(filled: Session, receiver: Receiver) -> None:
    receiver.failure = lambda _message: OSError("away")
    filled.execute(update(OutboxMessage).values(attempts=32_000))
    filled.commit()
    deliver_bucket(BUCKET, owner="w")
    assert state(filled, NEIGHBOUR, 4) == (32_000, "OSError", 3600)


@pytest.mark.parametrize("failure", [PermanentFailure("never")])
def test_what_looks_permanent_waits_an_hour_at_once(
    filled: Session, receiver: Receiver, failure: Exception
) -> None:
    receiver.failure = lambda _message: failure
    assert deliver_bucket(BUCKET, owner="w") == 0
    assert state(filled, NEIGHBOUR, 4) == (1, "PermanentFailure", 3600)


def test_a_topic_that_nobody_handles_waits_for_its_handler(session: Session, receiver: Receiver) -> None:
    put(session, FIRST, 1, topic="tests.unknown")
    session.commit()
    assert deliver_bucket(BUCKET, owner="w") == 0
    assert state(session, FIRST, 1) == (1, "PermanentFailure", 3600)


def test_two_handlers_for_one_topic_are_refused(receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="two handlers"):
        handles(TOPIC)(receiver)


def lease(session: Session, owner: str, seconds: int) -> None:
    until = func.now() + timedelta(seconds=seconds)
    session.execute(update(OutboxLease).filter_by(bucket=BUCKET).values(owner=owner, leased_until=until))
    session.commit()


def test_a_leased_bucket_is_left_alone_until_the_lease_ends(filled: Session, receiver: Receiver) -> None:
    lease(filled, "another", 60)
    assert deliver_bucket(BUCKET, owner="w") == 0
    assert filled.scalar(select(OutboxLease.owner).filter_by(bucket=BUCKET)) == "another"
    lease(filled, "another", -1)
    assert deliver_bucket(BUCKET, owner="w") == 6
    assert filled.scalar(select(OutboxLease.owner).filter_by(bucket=BUCKET)) is None


def test_who_loses_the_lease_stops(filled: Session, receiver: Receiver) -> None:
    def steal(message: Message) -> None:
        if len(receiver.arrived) == 1:
            lease(filled, "another", 60)

    receiver.failure = steal
    assert deliver_bucket(BUCKET, owner="w") == 2
    assert len(receiver.arrived) == 2


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was asked of the broker; the broker itself is tried in test_worker."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(outbox, "nudge", lambda *call: asked.append(call))
    return asked


def test_a_commit_nudges_once_and_a_rollback_never(committed: Flask, nudges: list[tuple[Any, ...]]) -> None:
    with committed.app_context():
        with pytest.raises(ZeroDivisionError), transaction() as session:
            put(session, FIRST, 1 // 0)
        with transaction() as session:
            put(session, FIRST, 1)
            put(session, NEIGHBOUR, 1)
            assert nudges == []
        assert nudges == [("core.deliver_outbox", BUCKET)]
        with transaction() as session:
            put(session, FIRST, 2)
            session.rollback()
        assert nudges == [("core.deliver_outbox", BUCKET)]
        db.session.remove()


def test_delivered_messages_are_forgotten_after_their_retention(filled: Session, receiver: Receiver) -> None:
    deliver_bucket(BUCKET, owner="w")
    old = OutboxMessage.account_id == FIRST
    filled.execute(
        update(OutboxMessage)
        .where(old)
        .values(delivered_at=func.now() - outbox.RETENTION - timedelta(days=1))
    )
    put(filled, FIRST, 3)
    filled.commit()
    assert forget_delivered(filled) == 3
    left = filled.execute(
        select(OutboxMessage.account_id, OutboxMessage.account_seq).order_by(
            OutboxMessage.account_id, OutboxMessage.account_seq
        )
    )
    assert [tuple(row) for row in left] == [(FIRST, 3), (NEIGHBOUR, 4), (NEIGHBOUR, 9), (NEIGHBOUR, 10)]
