"""The expression language: exact values, whatever the form, and their explanation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal, localcontext

import pytest

from carbonpoints.rules.language import (
    EvaluationError,
    Operation,
    Reference,
    Step,
    Variable,
    compile_expression,
)
from tests.rules.expression_world import TABLES, VALUES, VARIABLES, value_of


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("0.1 + 0.2", "0.3"),
        ("distance_km * BASE", "142.57"),
        ("distance_km * BASE - 0", "142.57"),
        ("7 - 2 - 1", "4"),
        ("12 / 4 / 2", "1.5"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("-distance_km + 1", "-4.3"),
        ("--count", "7"),
        ("2 / 3", "0.6666666666666666666666666666666667"),
        ("2 / 3 * 3", "2.000000000000000000000000000000000"),
        ("1 / 8", "0.125"),
        ("count", "7"),
        ("count if standing_order else count", "7"),
        ("里程 * 2", "5.0"),
        ("max(0, 3 - count)", "0"),
        ("min(count, 3)", "3"),
        ("max(1, 9, count, 3)", "9"),
        ("min(4, 9, count, 3)", "3"),
        ("abs(2 - count)", "5"),
        ("floor(2.7)", "2"),
        ("floor(-2.1)", "-3"),
        ("ceil(2.1)", "3"),
        ("ceil(-2.9)", "-2"),
        ("floor(count)", "7"),
        ("round_half_up(2.345, 2)", "2.35"),
        ("round_half_up(-2.345, 2)", "-2.35"),
        ("round_half_up(2.5, 0)", "3"),
        ("round_half_up(count, 1)", "7.0"),
        ("number(' -12.50 ')", "-12.50"),
        ("length(payee)", "10"),
        ("year(made_on) * 10000 + month(made_on) * 100 + day(made_on)", "19930228"),
        ("coalesce(refund, count)", "7"),
        ("coalesce(count, 1)", "7"),
        ("coalesce(refund, coalesce(refund, 2)) + 1", "3"),
        ("3 if given(refund) else 4", "4"),
        ("lookup('fees', account) + 1", "2.50"),
        ("1.50", "1.50"),
        ("  1\n +\t2\r\n", "3"),
    ],
)
def test_a_number_is_an_exact_decimal(source: str, value: str) -> None:
    result = value_of(source)
    assert type(result) is Decimal
    assert str(result) == value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("lower('AbÉ')", "abé"),
        ("upper('AbÉ')", "ABÉ"),
        ("strip(payee)", "北京 Metro"),
        ("concat(account, '|', 'K')", "A-17|K"),
        ('"it\'s"', "it's"),
        ("substring(account, 3, 2)", "17"),
        ("substring(account, 1, 0)", ""),
        ("substring(account, 4, 9)", "7"),
        ("substring(account, 9, 1)", ""),
        ("text(1.50)", "1.5"),
        ("text(count * 100)", "700"),
        ("text(-0.0 * 1)", "0"),
        ("text(1 / 1000000000)", "0.000000001"),
        ("lookup('standing_orders', concat(account, '|', 'K'))", "order 3"),
        ("coalesce(lookup('standing_orders', payee), 'none')", "none"),
        ("'yes' if standing_order else 'no'", "no"),
    ],
)
def test_text(source: str, value: str) -> None:
    assert value_of(source) == value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("0.1 + 0.2 == 0.3", True),
        ("1.0 == 1", True),
        ("count != 7", False),
        ("1 < 2 <= 2 < 3", True),
        ("1 < 3 < 2", False),
        ("account == 'A-17'", True),
        ("account in ('A-16', 'A-17')", True),
        ("account not in ('A-16', 'A-17')", False),
        ("count in (7,)", True),
        ("count in (6 + 1, 9)", True),
        ("not standing_order", True),
        ("standing_order or count > 3 and count < 5", False),
        ("(standing_order or count > 3) and count < 5", False),
        ("True and not False", True),
        ("starts_with(account, 'A')", True),
        ("contains(payee, '京')", True),
        ("contains('京', payee)", False),
        ("refund is None", True),
        ("count is not None", True),
        ("'A' is None", False),
        ("given(refund)", False),
        ("given(refund) and refund > 3", False),
        ("started_at < ended_at", True),
        ("made_on == made_on", True),
        ("standing_order == False", True),
        ("given(lookup('fees', 'nobody'))", False),
    ],
)
def test_flag(source: str, value: object) -> None:
    assert value_of(source) is value


def test_dates_and_missing_values_pass_through() -> None:
    assert value_of("made_on") == date(1993, 2, 28)
    assert value_of("refund") is None
    assert value_of("lookup('fees', 'nobody')") is None
    assert value_of("refund if not standing_order else 1") is None


def test_arithmetic_does_not_depend_on_the_threads_decimal_context() -> None:
    expression = compile_expression("text(2 / 3)", {})
    with localcontext() as context:
        context.prec = 3
        assert expression.evaluate({}) == "0.6666666666666666666666666666666667"


def test_one_expression_serves_many_threads() -> None:
    expression = compile_expression("max(0, coalesce(refund, 1) / count - 1 / 3)", VARIABLES)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: expression.evaluate({"refund": n, "count": 3}), range(400)))
    assert [round(value * 3) for value in found if isinstance(value, Decimal)] == [
        max(0, n - 1) for n in range(400)
    ]


@pytest.mark.parametrize(
    "nested",
    [
        "coalesce(" * 31 + "refund" + ", 1)" * 31,
        "coalesce(refund, " * 31 + "1" + ")" * 31,
        "(" * 31 + "1" + " if True else 2)" * 31,
        "max(1, 0, " * 31 + "1" + ")" * 31,
    ],
)
def test_the_deepest_expressions_compile_evaluate_and_explain(nested: str) -> None:
    expression = compile_expression(nested, VARIABLES)
    assert expression.evaluate(VALUES) == 1
    assert expression.steps(VALUES)[-1].value == 1


def test_names_are_compared_as_they_look() -> None:
    expression = compile_expression("ｃｏｕｎｔ + ｍａｘ(1, 2)", VARIABLES)
    assert expression.names == {"count"}
    assert expression.evaluate({"count": 1}) == 3
    wide = compile_expression("count", {"ｃｏｕｎｔ": Variable("number")})
    assert wide.names == {"ｃｏｕｎｔ"}
    assert wide.evaluate({"ｃｏｕｎｔ": 4}) == 4
    with pytest.raises(ValueError, match="two variables have the same name"):
        compile_expression("count", {"count": Variable("number"), "ｃｏｕｎｔ": Variable("number")})


def test_a_variable_may_be_called_like_a_function() -> None:
    assert compile_expression("max(day, 2)", {"day": Variable("number")}).evaluate({"day": 5}) == 5


@pytest.mark.parametrize(
    ("source", "nullable"),
    [
        ("refund", True),
        ("count", False),
        ("refund + 1", False),
        ("refund is None", False),
        ("coalesce(refund, 1)", False),
        ("coalesce(refund, refund)", True),
        ("1 if standing_order else refund", True),
        ("lookup('fees', account)", True),
        ("lookup('fees', account) * 2", False),
    ],
)
def test_an_expression_knows_whether_it_may_have_no_value(source: str, nullable: object) -> None:
    assert compile_expression(source, VARIABLES, tables={"fees": "number"}).nullable is nullable


def test_what_is_not_reached_does_not_fail() -> None:
    assert value_of("1 if True else 1 / 0") == 1
    assert value_of("False and 1 / 0 == 1") is False
    assert value_of("True or refund > 1") is True
    assert value_of("2 < 1 < 1 / 0") is False
    assert value_of("coalesce(count, 1 / 0)") == 7


def test_steps_explain_every_operation_that_was_worked_out() -> None:
    expression = compile_expression("max(0, (distance_km + 1) * BASE) if count > 5 else 1 / 0", VARIABLES)
    assert expression.steps(VALUES) == (
        Step("count > 5", 37, 46, value=True),
        Step("distance_km + 1", 9, 24, Decimal("6.3")),
        Step("(distance_km + 1) * BASE", 8, 32, Decimal("169.47")),
        Step("max(0, (distance_km + 1) * BASE)", 1, 33, Decimal("169.47")),
        Step("max(0, (distance_km + 1) * BASE) if count > 5 else 1 / 0", 1, 57, Decimal("169.47")),
    )


def test_steps_show_whole_numbers_as_decimals_and_chinese_text_at_its_place() -> None:
    expression = compile_expression("'里程' == '里程' and\n 里程 > coalesce(refund, count)", VARIABLES)
    steps = expression.steps({"里程": 3, "refund": None, "count": 4})
    assert [(step.text, step.column) for step in steps] == [
        ("'里程' == '里程'", 1),
        ("coalesce(refund, count)", 24),
        ("里程 > coalesce(refund, count)", 19),
        ("'里程' == '里程' and\n 里程 > coalesce(refund, count)", 1),
    ]
    assert type(steps[1].value) is Decimal
    assert steps[1].value == 4


def test_steps_fail_like_the_evaluation() -> None:
    with pytest.raises(EvaluationError, match="column 1: this divides by zero"):
        compile_expression("1 / 0 + 2", {}).steps({})


def test_the_code_of_several_expressions_fuses_into_one() -> None:
    first = compile_expression("coalesce(refund, 1.5) * count", VARIABLES)
    second = compile_expression(
        "lookup('fees', account) if count > 1.5 else 1", VARIABLES, tables={"fees": "number"}
    )
    parts = ", ".join(part.python_source(lambda name: f"row[{name!r}]", "books") for part in (first, second))
    fused = eval(f"lambda row, books: ({parts})", {**first.namespace, **second.namespace})  # noqa: S307
    assert fused(VALUES, TABLES) == (Decimal("10.5"), Decimal("1.50"))


def test_a_text_cannot_leave_its_quotation_marks_in_the_generated_code() -> None:
    hostile = "') + __import__('os').getcwd() + ('"
    expression = compile_expression(f'concat("{hostile}", account)', VARIABLES)
    assert expression.evaluate(VALUES) == f"{hostile}A-17"


def test_an_expression_tells_what_it_uses() -> None:
    expression = compile_expression(
        "count * BASE + lookup('fees', account)", VARIABLES, tables={"fees": "number"}
    )
    assert expression.names == {"count", "BASE", "account"}
    assert expression.tables == {"fees"}
    assert isinstance(expression.tree, Operation)
    product = expression.tree.operands[0]
    assert isinstance(product, Operation)
    assert product.operation == "*"
    assert product.operands[1] == Reference(name="BASE", type="number", column=9, end_column=13)
