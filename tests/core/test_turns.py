from __future__ import annotations

from queue import Empty

import pytest
from celery import Celery
from flask import Flask
from sqlalchemy.orm import Session

from carbonpoints.core import turns
from carbonpoints.core.broker import QUEUE
from carbonpoints.core.models import Bank, Programme
from carbonpoints.core.turns import nudge_each_programme, take_turn


@pytest.mark.parametrize(
    ("turn_s", "done", "left"), [(60, [0, 1, 2], []), (-1, [0], [1])], ids=["in time", "over at once"]
)
def test_a_turn_goes_from_page_to_page_and_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch, turn_s: int, done: list[int], left: list[int]
) -> None:
    monkeypatch.setattr(turns, "TURN_S", turn_s)
    pages: list[int] = []
    places: list[int] = []

    def do_page(place: int) -> int | None:
        pages.append(place)
        return place + 1 if place < 2 else None

    take_turn(do_page, 0, leave_to_next=places.append)
    assert (pages, places) == (done, left)


def test_every_programme_is_asked_for_by_itself(app: Flask, session: Session, empty_redis: None) -> None:
    bank = Bank(code="turns", issuer="https://turns.test", name_en="Turns", name_zh="轮")
    session.add(bank)
    session.flush()
    programmes = [
        Programme(
            bank_id=bank.bank_id, code=code, name_en=code, name_zh=code, time_zone="UTC", currency="CNY"
        )
        for code in ("one", "two")
    ]
    session.add_all(programmes)
    session.commit()
    nudge_each_programme("tests.nobody")
    celery: Celery = app.extensions["celery"]
    with celery.connection_for_read() as connection:
        queue = connection.SimpleQueue(QUEUE)
        messages = [queue.get(timeout=5) for _ in programmes]
        for message in messages:
            message.ack()
        with pytest.raises(Empty):
            queue.get(block=False)
        queue.close()
    assert [message.headers["task"] for message in messages] == ["tests.nobody"] * 2
    assert [message.payload[0] for message in messages] == [[p.programme_id] for p in programmes]
