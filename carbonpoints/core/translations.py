"""Texts of the answers in Chinese: which there are, and whether each is translated.

English texts are the keys. They are found where errors are declared and raised, so that those places know no
language: the title of an error class, the detail of a raised error, the text of a field's error, and
marshmallow's own messages.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import click
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from flask.cli import AppGroup

from carbonpoints.core.problems import FIELD_MESSAGES

PACKAGE = Path(__file__).resolve().parent.parent
PO_FILE = PACKAGE / "translations" / "zh" / "LC_MESSAGES" / "messages.po"
MO_FILE = PO_FILE.with_suffix(".mo")
HEADING = b"""\
msgid ""
msgstr ""
"Language: zh\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
BASE = "CarbonpointsError"
TEXT_ARGUMENT = {"FieldError": 2, "RefusedValueError": 1, "ValidationError": 0, "Message": 0}
"""Where the text stands among the arguments, beside the first one of every error of ours."""


def texts_in_code() -> set[str]:
    """Return every text that an answer may carry.

    TypeError where one is no literal: it could never be looked up. What is built from parts takes `params`; what was
    made elsewhere is a `Message`, which `saying` hands on.
    """
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in sorted(PACKAGE.rglob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    errors = _error_classes(classes)
    texts = {template for template, _ in FIELD_MESSAGES}
    texts.update(_titles(node for node in classes if node.name in errors))
    # Whatever an error with a constructor of its own is given is no text; it hands its text to the base's.
    places = (
        dict.fromkeys(errors - {one.name for one in classes if _has_own_constructor(one)}, 0) | TEXT_ARGUMENT
    )
    texts.update(_details((node for node in nodes if isinstance(node, ast.Call)), places))
    own = [node for one in classes if one.name in errors - {BASE} for node in ast.walk(one)]
    texts.update(_details((node for node in own if isinstance(node, ast.Call)), {"__init__": 0}))
    return texts - {""}


def _has_own_constructor(one: ast.ClassDef) -> bool:
    return one.name != BASE and any(getattr(part, "name", "") == "__init__" for part in one.body)


def _error_classes(classes: list[ast.ClassDef]) -> set[str]:
    """Return the names of the base and of all that descend from it."""
    found = {BASE}
    size = 0
    while size != len(found):
        size = len(found)
        found.update(node.name for node in classes if any(_name(base) in found for base in node.bases))
    return found


def _titles(classes: Iterable[ast.ClassDef]) -> Iterator[str]:
    for node in classes:
        for statement in node.body:
            if isinstance(statement, ast.Assign) and _name(statement.targets[0]) == "title":
                yield _literal(statement.value)


def _details(calls: Iterable[ast.Call], places: dict[str, int]) -> Iterator[str]:
    for node in calls:
        place = places.get(_name(node.func))
        is_other = _name(node.func) == "Message" and len(node.args) > 1  # One of the outbox.
        if place is not None and len(node.args) > place and not is_other:
            yield _literal(node.args[place])


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _literal(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise TypeError(f"not a text that can be looked up: {ast.unparse(node)}")


def read_catalog() -> Catalog:
    """Return the Chinese texts as they are kept."""
    with PO_FILE.open("rb") as file:
        return read_po(file, locale="zh")


def write_catalog(catalog: Catalog) -> None:
    """Write the Chinese texts, sorted, under a heading without dates and names."""
    buffer = BytesIO()
    write_po(buffer, catalog, sort_output=True, width=110, omit_header=True)
    PO_FILE.write_bytes(HEADING + buffer.getvalue())


translations_cli = AppGroup("translations", help="The answers' texts in Chinese.")


@translations_cli.command("update")
def update_texts() -> None:
    """Add new texts, untranslated, to the Chinese ones, and drop those that are gone."""
    catalog = read_catalog()
    texts = texts_in_code()
    for text in sorted(texts):
        catalog.add(text)
    for message in list(catalog):
        if message.id and message.id not in texts:
            catalog.delete(message.id)
    write_catalog(catalog)
    missing = [message.id for message in catalog if message.id and not message.string]
    click.echo(f"{len(texts)} texts, {len(missing)} of them without a translation")


@translations_cli.command("compile")
def compile_texts() -> None:
    """Write the form that the app reads."""
    with MO_FILE.open("wb") as file:
        write_mo(file, read_catalog())
