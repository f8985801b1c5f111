"""The answer to a delivery is written out by hand: it must be what its schema says."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Flask, jsonify
from hypothesis import given
from hypothesis import strategies as st

from carbonpoints.behaviours.delivering import Delivered, DeliveredItem
from carbonpoints.behaviours.schemas import DeliveredSchema
from carbonpoints.behaviours.views import delivered_json
from carbonpoints.core.errors import FieldError
from carbonpoints.ledger.queries import Balances

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.integers(0, 2**63 - 1)
ERRORS = st.builds(
    FieldError, TEXTS, TEXTS, TEXTS | st.just("Length must be between 1 and 200."), st.just({})
) | st.builds(
    FieldError,
    TEXTS,
    TEXTS,
    st.just("The least that is accepted is %(min)s."),
    st.fixed_dictionaries({"min": TEXTS}),
)
ITEMS = st.builds(
    DeliveredItem,
    TEXTS,
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
    st.none() | TEXTS,
    NUMBERS,
    NUMBERS,
    st.none() | TEXTS,
    st.lists(ERRORS, max_size=2).map(tuple),
)
INSTANTS = st.datetimes(timezones=st.just(UTC)) | st.just(datetime(2026, 1, 1, tzinfo=UTC))
BALANCES = st.builds(Balances, *[NUMBERS] * 6, INSTANTS)
DELIVERED = st.builds(Delivered, st.lists(ITEMS, max_size=3), st.dictionaries(TEXTS, BALANCES, max_size=3))


@given(delivered=DELIVERED, language=st.sampled_from(["en", "zh"]))
def test_the_answer_is_the_dump_of_its_schema_to_the_byte(
    app: Flask, delivered: Delivered, language: str
) -> None:
    with app.test_request_context(headers={"Accept-Language": language}):
        dumped = DeliveredSchema().dump({"items": delivered.items, "balances": delivered.balances})
        assert delivered_json(delivered, shows_balances=True).encode() == jsonify(dumped).data
        hidden = delivered_json(delivered, shows_balances=False)
        assert hidden.encode() == jsonify({**dumped, "balances": {}}).data
