"""What the analysis of an expression says of all inputs, held against what the evaluator gives for one of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from carbonpoints.rules.language import (
    Analysis,
    EvaluationError,
    Expression,
    ExpressionError,
    Facts,
    Possible,
    anything,
    chosen,
    compile_expression,
    numbers,
)
from tests.properties.expression_model import BOOKS, TABLES, VARIABLES, Tree, Values, inputs, printed, trees

any_tree = trees(3)
near = st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(3), Decimal(1000)])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Mapping[str, Possible], Values]:
    """Draw what the inputs may be, and inputs that are so: small numbers, so that guards and zeros meet."""
    values = dict(draw(inputs))
    small = st.integers(-3, 3).map(Decimal) | st.sampled_from(["0.1", "-0.5", "1.5"]).map(Decimal)
    values |= {"distance": draw(small), "里程": draw(small)}
    said = {}
    for name, variable in VARIABLES.items():
        value = values[name]
        none = value is None or (variable.nullable and draw(st.booleans()))
        if value is None or isinstance(value, date) or draw(st.booleans()):
            said[name] = anything(variable.type, none=none)
        elif isinstance(value, Decimal):
            said[name] = numbers([(value - draw(near), value + draw(near))], none=none)
        elif isinstance(value, str | bool):
            others: st.SearchStrategy[str | bool] = (
                st.booleans() if isinstance(value, bool) else st.sampled_from(["a", "7", "京"])
            )
            said[name] = chosen(variable.type, [value, *draw(st.lists(others, max_size=2))], none=none)
    return said, values


def compiled(tree: Tree) -> Expression | None:
    try:
        return compile_expression(printed(tree), VARIABLES, tables=TABLES)
    except ExpressionError as error:
        if error.code not in {"too_long", "too_many_parts"}:
            raise
        return None


def evaluated(expression: Expression, values: Values) -> Any:
    """What comes out: a value, None, or the error."""
    try:
        return expression.evaluate(values, BOOKS)
    except EvaluationError as error:
        return error


def is_inside(value: Any, found: Possible) -> bool:
    if value is None:
        return found.none
    if isinstance(value, Decimal):
        return any(low <= value <= high for low, high in found.ranges)
    return found.choices is None or value in found.choices


def check(expression: Expression, facts: Facts, values: Values) -> Analysis:
    """Hold what is said of an expression under `facts` against what it gives for `values`."""
    analysis = Analysis(expression.tree)
    found = analysis.value(facts)
    came_out = evaluated(expression, values)
    if not isinstance(came_out, EvaluationError):
        assert is_inside(came_out, found)
    elif came_out.code == "division_by_zero":
        assert (came_out.column, came_out.end_column) in analysis.divisions
    return analysis


@given(st.one_of(*any_tree.values()), worlds())
@settings(max_examples=600, deadline=None)
def test_every_value_lies_inside_what_is_said_and_no_division_fails_in_silence(
    tree: Tree, world: tuple[Mapping[str, Possible], Values]
) -> None:
    said, values = world
    expression = compiled(tree)
    if expression is not None:
        check(expression, Facts.about(said), values)


@given(any_tree["flag"], st.one_of(*any_tree.values()), worlds())
@settings(max_examples=600, deadline=None)
def test_what_a_condition_leaves_is_true_wherever_the_condition_comes_out_so(
    condition: Tree, then: Tree, world: tuple[Mapping[str, Possible], Values]
) -> None:
    said, values = world
    guard, expression = compiled(condition), compiled(then)
    if guard is None or expression is None:
        return
    came_out = evaluated(guard, values)
    if isinstance(came_out, bool):
        facts = Analysis(guard.tree).assume(Facts.about(said), holds=came_out)
        assert facts is not None
        check(expression, facts, values)


ENOUGH = ("> 0", "< 0", "!= 0", ">= 1", "in (1, 2)", "not in (0,)", "== 1.5")
guards = st.tuples(
    st.sampled_from(
        ["distance", "里程", "distance - 里程", "distance * 里程", "abs(distance)", "floor(里程)"]
    ),
    st.sampled_from([*ENOUGH, "> -1", "== 0", "<= 0"]),
    st.sampled_from(["1 / {0} if {0} {1} else 0", "0 if not {0} {1} else 1 / {0}"]),
)


@given(guards, worlds())
@settings(max_examples=300, deadline=None)
def test_a_guard_that_is_not_enough_is_found_out_and_one_that_is_enough_is_believed(
    parts: tuple[str, str, str], world: tuple[Mapping[str, Possible], Values]
) -> None:
    part, test, shape = parts
    said, values = world
    expression = compile_expression(shape.format(f"({part})", test), VARIABLES)
    analysis = check(expression, Facts.about(said), values)
    if test in ENOUGH:
        assert analysis.divisions == {}
