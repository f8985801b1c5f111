"""What the expression language refuses, and the sentence and place with which it does."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest

from carbonpoints.core.errors import Message
from carbonpoints.rules.language import EvaluationError, ExpressionError, compile_expression
from tests.rules.expression_world import VARIABLES, value_of


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


def test_the_expected_type_is_checked() -> None:
    assert compile_expression("1 < 2", {}, expects="flag").type == "flag"
    with pytest.raises(ExpressionError) as caught:
        compile_expression("'a'", {}, expects="flag")
    assert caught.value.code == "wrong_result"
    assert str(caught.value) == "column 1: this gives a text, but true or false is needed"


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


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(EvaluationError("overflow", Message("too large"), 3, 9)))  # noqa: S301
    assert (error.code, error.message, error.column, error.end_column) == ("overflow", "too large", 3, 9)
    assert str(error) == "column 3: too large"
