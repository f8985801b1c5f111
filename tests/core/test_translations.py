"""Every text that an answer may carry is there in Chinese, and what the app reads is what is kept."""

from __future__ import annotations

import gettext
import re
from decimal import Decimal
from inspect import signature
from pathlib import Path

import pytest
from flask import Flask

from carbonpoints.behaviours.cells import BadLineError
from carbonpoints.behaviours.date_patterns import DatePatternError, date_reader
from carbonpoints.behaviours.profiles import shipped_profiles, validate_mapping
from carbonpoints.behaviours.records import BrokenFileError
from carbonpoints.core import translations
from carbonpoints.core.errors import Message
from carbonpoints.core.problems import told
from carbonpoints.core.translations import MO_FILE, read_catalog, texts_in_code
from carbonpoints.rules.findings import Finding
from carbonpoints.rules.language import EvaluationError, Variable, compile_expression
from carbonpoints.rules.language.errors import LanguageError
from carbonpoints.rules.nodes import Problem

PLACE = re.compile(r"%\(\w+\)s")


def chinese() -> dict[str, str]:
    return {str(message.id): str(message.string or "") for message in read_catalog() if message.id}


def test_every_text_is_there_and_none_is_left_over() -> None:
    assert chinese().keys() == texts_in_code(), "run: flask translations update"


def test_every_text_is_translated() -> None:
    assert [text for text, translation in chinese().items() if not translation] == []


def test_a_translation_fills_the_same_places() -> None:
    wrong = [
        text for text, zh in chinese().items() if sorted(PLACE.findall(text)) != sorted(PLACE.findall(zh))
    ]
    assert wrong == []


def test_the_app_reads_what_is_kept() -> None:
    with MO_FILE.open("rb") as file:
        read = gettext.GNUTranslations(file)
    kept = chinese()
    assert {text: read.gettext(text) for text in kept} == kept, "run: flask translations compile"


@pytest.mark.parametrize(
    "text",
    [
        "Something went wrong on our side.",
        "The token has expired.",
        "Unknown field.",
        "This is no cursor of ours.",
        "The operation needs the scope %(scope)s.",
        "The least that is accepted is %(min)s.",
    ],
)
def test_titles_details_field_texts_and_marshmallow_s_are_all_found(text: str) -> None:
    assert text in texts_in_code()


@pytest.mark.parametrize(
    "raised",
    [
        'NotFound(f"No account {number}.")',
        'FieldError("a", "b", "At most {}.".format(3))',
        'RefusedValueError("b", "At most " + text)',
        'FieldError("a", "b", message)',
        "Message(other.detail)",
        "NotFound(text)",
    ],
)
def test_a_text_built_from_parts_or_given_through_a_variable_is_refused(
    raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "errors.py").write_text(f"class NotFound(CarbonpointsError): ...\nraise {raised}\n")
    monkeypatch.setattr(translations, "PACKAGE", tmp_path)
    with pytest.raises(TypeError, match="not a text that can be looked up"):
        texts_in_code()


@pytest.mark.parametrize(
    ("owner", "field"),
    [
        (Finding, "message"),
        (Problem, "message"),
        (LanguageError, "message"),
        (BadLineError, "detail"),
        (BrokenFileError, "detail"),
        (DatePatternError, "message"),
    ],
)
def test_what_carries_a_sentence_to_a_user_takes_a_message_alone(owner: type, field: str) -> None:
    """Then mypy refuses every text that could only be said in English."""
    assert signature(owner, eval_str=True).parameters[field].annotation is Message


def test_sentences_within_sentences_are_said_in_chinese(app: Flask) -> None:
    divide = compile_expression("1 / n", {"n": Variable("number")})
    with app.test_request_context(headers={"Accept-Language": "zh-CN"}):
        with pytest.raises(EvaluationError) as refused:
            divide.evaluate({"n": Decimal(0)})
        assert told(refused.value.sentence) == "第 1 列：此处除数为零"
        with pytest.raises(DatePatternError) as pattern:
            date_reader("yyyy-dd")
        assert told(pattern.value.message) == "缺少月"
        profile = shipped_profiles()[0]
        (misfit, *_) = validate_mapping(profile, {})
        assert told(misfit[1]) == f"{profile.behaviours[0].behaviour} 不是行为类型"
