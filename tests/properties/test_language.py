"""The expression language against an independent model, and against whatever anybody might type."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonpoints.rules.language import (
    EvaluationError,
    ExpressionError,
    LanguageError,
    ValueType,
    compile_expression,
)
from tests.properties.expression_model import (
    BOOKS,
    TABLES,
    VARIABLES,
    NoValueError,
    Tree,
    Values,
    inputs,
    model,
    printed,
    trees,
)

any_tree = trees(3)


def agree(tree: Tree, values: Values, type_: ValueType) -> None:
    try:
        expression = compile_expression(printed(tree), VARIABLES, expects=type_, tables=TABLES)
    except ExpressionError as error:
        if error.code not in {"too_long", "too_many_parts"}:
            raise
        return
    try:
        expected = model(tree, values)
    except NoValueError as absent:
        with pytest.raises(EvaluationError) as caught:
            expression.evaluate(values, BOOKS)
        assert caught.value.code == str(absent)  # noqa: PT017 - the model says which code is right
        return
    found = expression.evaluate(values, BOOKS)
    if expected is None:
        assert found is None
        assert expression.nullable
    elif type_ == "number":
        assert type(found) is Decimal
        assert Fraction(found) == expected
    else:
        assert found == expected
        assert type(found) is type(expected)


@given(any_tree["number"], inputs)
@settings(max_examples=200, deadline=None)
def test_numbers_are_what_exact_fractions_give(tree: Tree, values: Values) -> None:
    agree(tree, values, "number")


@given(any_tree["text"], inputs)
@settings(max_examples=100, deadline=None)
def test_texts_are_what_the_model_gives(tree: Tree, values: Values) -> None:
    agree(tree, values, "text")


@given(any_tree["flag"], inputs)
@settings(max_examples=200, deadline=None)
def test_conditions_are_what_the_model_gives(tree: Tree, values: Values) -> None:
    agree(tree, values, "flag")


@given(st.one_of(*any_tree.values()), inputs)
@settings(max_examples=100, deadline=None)
def test_each_step_printed_is_an_expression_with_the_same_value(tree: Tree, values: Values) -> None:
    source = printed(tree)
    try:
        expression = compile_expression(source, VARIABLES, tables=TABLES)
        value = expression.evaluate(values, BOOKS)
    except LanguageError:
        return
    steps = expression.steps(values, BOOKS)
    for step in steps:
        assert step.text == source[step.column - 1 : step.end_column - 1]
        assert compile_expression(step.text, VARIABLES, tables=TABLES).evaluate(values, BOOKS) == step.value
    if steps and steps[-1].text == source:
        assert steps[-1].value == value


@given(st.one_of(*any_tree.values()), inputs)
@settings(max_examples=50, deadline=None)
def test_the_code_for_the_engine_gives_the_same(tree: Tree, values: Values) -> None:
    try:
        expression = compile_expression(printed(tree), VARIABLES, tables=TABLES)
        value = expression.evaluate(values, BOOKS)
    except LanguageError:
        return
    source = expression.python_source(lambda name: f"row[{name!r}]", "books")
    assert eval(source, {**expression.namespace, "row": values, "books": BOOKS}) == value  # noqa: S307


TOKENS = (
    *(
        "distance",
        "refund",
        "payee",
        "standing",
        "made_on",
        "里程",
        "max",
        "coalesce",
        "lookup",
        "__import__",
    ),
    *(
        "and",
        "or",
        "not",
        "if",
        "else",
        "in",
        "is",
        "None",
        "True",
        "lambda",
        "for",
        "yield",
        "await",
        "print",
    ),
    *(
        "+",
        "-",
        "*",
        "/",
        "**",
        "//",
        "<",
        "==",
        "!=",
        "=",
        ":=",
        ":",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
    ),
    *(
        "1",
        "0.5",
        "007",
        "1e9",
        "0x1F",
        "1_0",
        "2j",
        "9" * 40,
        "'a'",
        '"',
        "f'{refund}'",
        "b''",
        "\\",
        "#",
        "\0",
    ),
    *("\n", "\t", "　", "\ufeff", "\ud800", "²", "ａ"),
)
KINDS: dict[ValueType, type] = {"number": Decimal, "text": str, "flag": bool, "date": date}
hostile = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(TOKENS), max_size=40).map(" ".join),
    st.lists(st.sampled_from(TOKENS), max_size=40).map("".join),
    st.tuples(st.sampled_from(TOKENS), st.integers(1, 400)).map(lambda pair: pair[0] * pair[1]),
    st.tuples(
        st.sampled_from(["(", "-", "not ", "max(1,", "1 if ", "(1 if "]),
        st.integers(1, 300),
        st.text(max_size=5),
    ).map(lambda parts: parts[0] * parts[1] + parts[2]),
)


def check_refused_or_evaluated(source: str, values: Values) -> None:
    """Check that nothing but the language's own errors comes out, with columns inside the source."""
    expression = value = error = None
    try:
        expression = compile_expression(source, VARIABLES, tables=TABLES)
        value = expression.evaluate(values, BOOKS)
    except LanguageError as caught:
        error = caught
    if error is not None:
        assert isinstance(error, ExpressionError if expression is None else EvaluationError)
        assert 1 <= error.column <= error.end_column <= len(source) + 1
    elif expression is not None:
        assert expression.nullable if value is None else isinstance(value, KINDS[expression.type])


@given(hostile, inputs)
@settings(max_examples=600, deadline=None)
def test_whatever_is_typed_is_refused_or_evaluated(source: str, values: Values) -> None:
    check_refused_or_evaluated(source, values)


@given(st.one_of(*any_tree.values()), inputs, st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_expression_is_refused_or_evaluated(
    tree: Tree, values: Values, data: st.DataObject
) -> None:
    source = printed(tree)
    place = data.draw(st.integers(0, len(source)))
    until = data.draw(st.integers(place, min(place + 6, len(source))))
    damage = data.draw(st.sampled_from(("", *TOKENS)))
    check_refused_or_evaluated(source[:place] + damage + source[until:], values)
