from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from carbonpoints.core import turns
from carbonpoints.core.models import Bank, Programme
from carbonpoints.core.turns import nudge_each_programme, take_turn
from tests.core.nudged import nudged


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
    assert nudged(app) == [("tests.nobody", [each.programme_id]) for each in programmes]
