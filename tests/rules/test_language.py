"""The expression language: exact values, what it refuses and the sentence with which it does."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext

import pytest

from carbonpoints.rules.language import (
    EvaluationError,
    ExpressionError,
    Operation,
    Reference,
    Step,
    Value,
    ValueType,
    Variable,
    compile_expression,
)

VARIABLES = {
    "distance_km": Variable("number", "km"),
    "BASE": Variable("number", "g/km"),
    "count": Variable("number"),
    "refund": Variable("number", nullable=True),
    "account": Variable("text"),
    "payee": Variable("text"),
    "note": Variable("text", nullable=True),
    "standing_order": Variable("flag"),
    "verified": Variable("flag", nullable=True),
    "made_on": Variable("date"),
    "started_at": Variable("instant"),
    "ended_at": Variable("instant"),
    "里程": Variable("number", "km"),
}
VALUES: dict[str, object] = {
    "distance_km": Decimal("5.3"),
    "BASE": Decimal("26.9"),
    "count": 7,
    "refund": None,
    "account": "A-17",
    "payee": " 北京 Metro ",
    "note": None,
    "standing_order": False,
    "verified": None,
    "made_on": date(1993, 2, 28),
    "started_at": datetime(2026, 1, 1, 8, tzinfo=UTC),
    "ended_at": datetime(2026, 1, 1, 9, tzinfo=UTC),
    "里程": Decimal("2.5"),
}
TABLE_TYPES: dict[str, ValueType] = {"standing_orders": "text", "fees": "number"}
TABLES: dict[str, dict[str, object]] = {
    "standing_orders": {"A-17|K": "order 3"},
    "fees": {"A-17": Decimal("1.50")},
}


def value_of(source: str) -> Value:
    expression = compile_expression(source, VARIABLES, tables=TABLE_TYPES)
    return expression.evaluate(VALUES, TABLES)


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
    ("source", "code", "sentence", "end_column"),
    [
        ("", "empty", "column 1: the expression is empty", 1),
        (" \n", "empty", "column 1: the expression is empty", 3),
        ("1 + nobody", "unknown_name", "column 5: nobody is not known here", 11),
        (
            "distance * 2",
            "unknown_name",
            "column 1: distance is not known here; did you mean distance_km?",
            9,
        ),
        ("里程 + 公里", "unknown_name", "column 6: 公里 is not known here", 8),
        ("maxi(1, 2)", "unknown_function", "column 1: maxi is not known here; did you mean max?", 5),
        ("__import__('os')", "unknown_function", "column 1: __import__ is not known here", 11),
        ("max(1)", "arguments", "column 1: max takes at least 2 values", 7),
        ("abs(1, 2)", "arguments", "column 1: abs takes 1 value", 10),
        ("given()", "arguments", "column 1: given takes 1 value", 8),
        ("coalesce(1)", "arguments", "column 1: coalesce takes 2 values", 12),
        ("lookup('fees')", "arguments", "column 1: lookup takes 2 values", 15),
        (
            "lookup(account, 'x')",
            "arguments",
            'column 8: lookup takes the name of its table first, as in "owners"',
            15,
        ),
        (
            "lookup('fee', 'x')",
            "unknown_table",
            "column 8: fee is not known here; did you mean fees?",
            13,
        ),
        ("lookup('fees', 1)", "type_mismatch", "column 16: a text is needed here, this is a number", 17),
        ("count + account", "type_mismatch", "column 9: a number is needed here, this is a text", 16),
        ("count == account", "type_mismatch", "column 10: a number is needed here, this is a text", 17),
        (
            "made_on < started_at",
            "type_mismatch",
            "column 11: a date is needed here, this is an instant",
            21,
        ),
        ("account < 'B'", "type_mismatch", "column 1: a text is compared with == and != only", 14),
        (
            "1 if count else 2",
            "type_mismatch",
            "column 6: true or false is needed here, this is a number",
            11,
        ),
        (
            "1 if standing_order else 'a'",
            "type_mismatch",
            "column 26: a number is needed here, this is a text",
            29,
        ),
        ("count in (1, 'a')", "type_mismatch", "column 14: a number is needed here, this is a text", 17),
        ("coalesce(refund, 'a')", "type_mismatch", "column 18: a number is needed here, this is a text", 21),
        ("not count", "type_mismatch", "column 5: true or false is needed here, this is a number", 10),
        (
            "count in 7",
            "not_allowed",
            'column 10: in takes its choices in brackets, as in ("A", "B") or ("A",)',
            11,
        ),
        ("count is 7", "not_allowed", "column 10: is and is not only stand before None", 11),
        ("refund == None", "not_allowed", "column 11: None only stands after is or is not", 15),
        (
            "1 < count in (2,)",
            "not_allowed",
            "column 1: is and in are not chained: join comparisons with and",
            18,
        ),
        ("2 ** 9", "not_allowed", "column 1: numbers are combined with + - * and / only", 7),
        ("7 // 2", "not_allowed", "column 1: numbers are combined with + - * and / only", 7),
        ("+1", "not_allowed", "column 1: a number needs no + before it", 3),
        ("lambda", "not_allowed", "column 1: lambda cannot be used in an expression", 7),
        ("max(*count, 1)", "not_allowed", "column 5: this cannot be used in an expression", 11),
        ("1, 2", "not_allowed", "column 1: this cannot be used in an expression", 5),
        ("f'{count}'", "not_allowed", "column 1: this cannot be used in an expression", 11),
        (
            "'a'(1)",
            "not_allowed",
            "column 1: a function is called by its name, with values in brackets",
            7,
        ),
        ("u'a'", "literal", "column 1: write one text between two quotation marks", 5),
        ("b''", "literal", "column 1: write one text between two quotation marks", 4),
        ("r''", "literal", "column 1: write one text between two quotation marks", 4),
        ("'a' 'b'", "literal", "column 1: write one text between two quotation marks", 8),
        ('"""a"""', "literal", "column 1: write one text between two quotation marks", 8),
        ("0x10", "literal", "column 1: 0x10 is no number: write digits and one dot, as in 12.5", 5),
        ("1 + 1e5", "literal", "column 5: 1e5 is no number: write digits and one dot, as in 12.5", 8),
        ("1_000", "literal", "column 1: 1_000 is no number: write digits and one dot, as in 12.5", 6),
        ("2j", "literal", "column 1: 2j is no number: write digits and one dot, as in 12.5", 3),
        ("5.", "literal", "column 1: 5. is no number: write digits and one dot, as in 12.5", 3),
        ("1.2.3", "literal", "column 1: 1.2.3 is no number: write digits and one dot, as in 12.5", 6),
        ("7\u0663", "literal", "column 1: 7\u0663 is no number: write digits and one dot, as in 12.5", 3),
        ("1" * 35, "literal", "column 1: a number has at most 34 digits", 36),
        (".5", "character", "column 1: a dot only stands inside a number, as in 0.5", 2),
        ("account.upper", "character", "column 8: a dot only stands inside a number, as in 0.5", 9),
        ("count[0]", "character", "column 6: the character '[' cannot be used here", 7),
        ("count = 7", "character", "column 7: compare with ==, not with =", 8),
        ("(count := 7)", "character", "column 8: the character ':' cannot be used here", 9),
        ("'a\\n'", "character", "column 1: this text is not closed", 2),
        ("'a", "character", "column 1: this text is not closed", 2),
        ("max（1，2）", "character", "column 4: write ( with the plain bracket", 5),
        ("1 # one", "character", "column 3: the character '#' cannot be used here", 4),
        ("count²", "character", "column 1: 'count²' is no name", 7),
        ("(1 + (2)", "syntax", "column 1: this bracket is not closed", 2),
        ("(1)) + 2", "syntax", "column 4: this bracket closes nothing", 5),
        ("1 2", "syntax", "column 3: the expression cannot be understood from here on", 4),
        ("里程 + * 2", "syntax", "column 6: the expression cannot be understood from here on", 9),
        ("  007", "syntax", "column 3: the expression cannot be understood from here on", 6),
        ("'\ud800'", "syntax", "column 1: the expression cannot be read", 4),
        (
            "(" * 400 + "1" + ")" * 400,
            "syntax",
            "column 201: the expression cannot be understood from here on",
            802,
        ),
    ],
)
def test_a_wrong_expression_is_refused_with_a_sentence_and_its_place(
    source: str, code: str, sentence: str, end_column: int
) -> None:
    with pytest.raises(ExpressionError) as caught:
        value_of(source)
    assert (caught.value.code, str(caught.value)) == (code, sentence)
    assert caught.value.end_column == end_column


def test_an_expression_is_bounded_in_length_depth_and_parts() -> None:
    def refused(source: str) -> tuple[str, int]:
        with pytest.raises(ExpressionError) as caught:
            compile_expression(source, VARIABLES)
        return caught.value.code, caught.value.column

    assert compile_expression("1".ljust(1000), {}).evaluate({}) == 1
    assert refused("1".ljust(1001)) == ("too_long", 1001)
    assert compile_expression("-" * 31 + "1", {}).evaluate({}) == -1
    assert refused("-" * 32 + "1") == ("too_deep", 33)
    assert refused("-" * 999 + "1") == ("too_deep", 33)
    assert compile_expression(f"max({'1,' * 298}2)", {}).evaluate({}) == 2
    assert refused(f"max({'1,' * 299}2)") == ("too_many_parts", 603)


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


def test_the_expected_type_is_checked() -> None:
    assert compile_expression("1 < 2", {}, expects="flag").type == "flag"
    with pytest.raises(ExpressionError) as caught:
        compile_expression("'a'", {}, expects="flag")
    assert caught.value.code == "wrong_result"
    assert str(caught.value) == "column 1: this gives a text, but true or false is needed"


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


@pytest.mark.parametrize(
    ("source", "code", "sentence", "end_column"),
    [
        ("1 + refund", "missing_value", "column 5: refund has no value", 11),
        ("note == 'A'", "missing_value", "column 1: note has no value", 5),
        ("'A' != note", "missing_value", "column 8: note has no value", 12),
        ("note in ('A', 'B')", "missing_value", "column 1: note has no value", 5),
        ("not verified", "missing_value", "column 5: verified has no value", 13),
        ("True and verified", "missing_value", "column 10: verified has no value", 18),
        ("1 if verified else 2", "missing_value", "column 6: verified has no value", 14),
        (
            "lookup('fees', payee) + 1",
            "missing_value",
            "column 1: lookup('fees', payee) has no value",
            22,
        ),
        ("max(1, 2, refund)", "missing_value", "column 11: refund has no value", 17),
        ("1 + 2 / (count - 7)", "division_by_zero", "column 5: this divides by zero", 20),
        ("0 / 0", "division_by_zero", "column 1: this divides by zero", 6),
        (
            "substring(account, 0, 1)",
            "no_value",
            "column 1: substring takes a first position from 1 and a length from 0, both whole numbers",
            25,
        ),
        (
            "substring(account, 1, 0.5)",
            "no_value",
            "column 1: substring takes a first position from 1 and a length from 0, both whole numbers",
            27,
        ),
        ("number(account)", "no_value", "column 1: this text is no number", 16),
        ("number('1e5')", "no_value", "column 1: this text is no number", 14),
        ("number('NaN')", "no_value", "column 1: this text is no number", 14),
        ("number('٣')", "no_value", "column 1: this text is no number", 12),
        (
            "number('1234567890123456789012345678901234.5')",
            "no_value",
            "column 1: this text is a number of more than 34 digits",
            47,
        ),
        ("round_half_up(1, 13)", "no_value", "column 1: round_half_up takes 0 to 12 digits", 21),
        (f"round_half_up({'9' * 34}, 1)", "overflow", "column 1: this number is too large to be exact", 53),
    ],
)
def test_what_has_no_value_is_said_with_its_place(
    source: str, code: str, sentence: str, end_column: int
) -> None:
    with pytest.raises(EvaluationError) as caught:
        value_of(source)
    assert (caught.value.code, str(caught.value)) == (code, sentence)
    assert caught.value.end_column == end_column


def test_numbers_beyond_decimal128_overflow() -> None:
    expression = compile_expression("2 * (count * count)", VARIABLES)
    with pytest.raises(EvaluationError) as caught:
        expression.evaluate({"count": Decimal("1E+4000")})
    assert (caught.value.code, caught.value.column) == ("overflow", 6)


def test_what_the_caller_forgot_is_named() -> None:
    expression = compile_expression("distance_km * count", VARIABLES)
    with pytest.raises(EvaluationError) as caught:
        expression.evaluate({"distance_km": 1})
    assert str(caught.value) == "column 15: count was not handed in"
    with pytest.raises(EvaluationError) as caught:
        expression.evaluate({"distance_km": 1, "count": 0.5})
    assert str(caught.value) == "column 1: distance_km * count was handed a value of the wrong type"
    with pytest.raises(EvaluationError) as caught:
        compile_expression("lookup('fees', 'a')", {}, tables={"fees": "number"}).evaluate({})
    assert str(caught.value) == "column 1: the table was not handed in"


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


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(EvaluationError("overflow", "too large", 3, 9)))  # noqa: S301
    assert (error.code, error.message, error.column, error.end_column) == ("overflow", "too large", 3, 9)
    assert str(error) == "column 3: too large"
