"""Every text that an answer may carry is there in Chinese, and what the app reads is what is kept."""

from __future__ import annotations

import gettext
import re
from pathlib import Path

import pytest

from carbonpoints.core import translations
from carbonpoints.core.translations import MO_FILE, read_catalog, texts_in_code

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
    ],
)
def test_a_text_built_from_parts_is_refused(
    raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "errors.py").write_text(f"class NotFound(CarbonpointsError): ...\nraise {raised}\n")
    monkeypatch.setattr(translations, "PACKAGE", tmp_path)
    with pytest.raises(TypeError, match="not a text that can be looked up"):
        texts_in_code()
