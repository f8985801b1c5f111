"""The source becomes a checked tree: Python's parser for the grammar, a whitelist for everything else.

Nothing of Python's tree is kept or run. Numbers are taken from the source text, so that 0.1 is exactly 0.1.
"""

from __future__ import annotations

import ast
import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Never

from carbonpoints.core.errors import Message
from carbonpoints.rules.language.errors import ExpressionError
from carbonpoints.rules.language.functions import DIGITS, FUNCTIONS
from carbonpoints.rules.language.scanner import scan
from carbonpoints.rules.language.tree import Literal, Node, Operation, Reference, ValueType, Variable

LENGTH_MAX = 1000
DEPTH_MAX = 32
PARTS_MAX = 300

TYPE_WORDS: Mapping[ValueType, Message] = {
    "number": Message("a number"),
    "text": Message("a text"),
    "flag": Message("true or false"),
    "date": Message("a date"),
    "instant": Message("an instant"),
}
_ARITHMETIC: Mapping[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_UNARY: Mapping[type[ast.unaryop], tuple[str, ValueType]] = {
    ast.USub: ("negate", "number"),
    ast.Not: ("not", "flag"),
}
_EQUALITY: Mapping[type[ast.cmpop], str] = {ast.Eq: "==", ast.NotEq: "!="}
_ORDER: Mapping[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_ORDERED: Collection[ValueType] = ("number", "date", "instant")


def read(source: str, variables: Mapping[str, Variable], tables: Mapping[str, ValueType]) -> Node:
    """Return the checked tree of `source`; raises ExpressionError with the first thing that is wrong."""
    if len(source) > LENGTH_MAX:
        message = Message("an expression has at most %(most)s characters", most=LENGTH_MAX)
        raise ExpressionError("too_long", message, LENGTH_MAX + 1, len(source) + 1)
    if not source.strip():
        raise ExpressionError("empty", Message("the expression is empty"), 1, len(source) + 1)
    scan(source)
    return _Reader(source, variables, tables).tree()


class _Reader:
    """Reads one source; counts its parts and its depth on the way."""

    def __init__(
        self, source: str, variables: Mapping[str, Variable], tables: Mapping[str, ValueType]
    ) -> None:
        self._source = source
        # One line without indentation for the parser; every character keeps its place after the margin.
        flat = re.sub(r"[\t\r\n]", " ", source)
        self._line = flat.lstrip(" ")
        self._margin = len(flat) - len(self._line)
        self._bytes = self._line.encode(errors="replace")
        self._variables = variables
        self._tables = tables
        self._declared = {unicodedata.normalize("NFKC", name): name for name in variables}
        if len(self._declared) < len(variables):
            raise ValueError("two variables have the same name")
        self._parts = 0
        self._depth = 0

    def tree(self) -> Node:
        return self._node(self._parsed())

    def _parsed(self) -> ast.expr:
        try:
            return ast.parse(self._line, mode="eval").body
        except SyntaxError as error:
            column = self._margin + min(max(error.offset or 1, 1), len(self._line))
            message = Message("the expression cannot be understood from here on")
            raise ExpressionError("syntax", message, column, len(self._source) + 1) from None
        except (ValueError, RecursionError, MemoryError):
            message = Message("the expression cannot be read")
            raise ExpressionError("syntax", message, 1, len(self._source) + 1) from None

    def _column(self, byte: int | None) -> int:
        return self._margin + len(self._bytes[:byte].decode(errors="replace")) + 1

    def _place(self, node: ast.expr) -> tuple[int, int]:
        return self._column(node.col_offset), self._column(node.end_col_offset)

    def _refuse(self, node: ast.expr, code: str, message: Message) -> Never:
        raise ExpressionError(code, message, *self._place(node))

    def _node(self, node: ast.expr) -> Node:
        self._parts += 1
        self._depth += 1
        if self._parts > PARTS_MAX:
            self._refuse(
                node, "too_many_parts", Message("an expression has at most %(most)s parts", most=PARTS_MAX)
            )
        if self._depth > DEPTH_MAX:
            self._refuse(node, "too_deep", Message("parts are nested at most %(most)s deep", most=DEPTH_MAX))
        result = self._dispatched(node)
        self._depth -= 1
        return result

    def _dispatched(self, node: ast.expr) -> Node:
        result: Node
        match node:
            case ast.Constant():
                result = self._constant(node)
            case ast.Name():
                result = self._name(node)
            case ast.BinOp():
                result = self._binary(node)
            case ast.UnaryOp():
                result = self._unary(node)
            case ast.BoolOp():
                result = self._logical(node)
            case ast.IfExp():
                result = self._conditional(node)
            case ast.Compare():
                result = self._comparison(node)
            case ast.Call():
                result = self._call(node)
            case _:
                self._refuse(node, "not_allowed", Message("this cannot be used in an expression"))
        return result

    def _typed(self, node: ast.expr, type_: ValueType) -> Node:
        result = self._node(node)
        if result.type != type_:
            self._refuse(
                node,
                "type_mismatch",
                Message(
                    "%(wanted)s is needed here, this is %(found)s",
                    wanted=TYPE_WORDS[type_],
                    found=TYPE_WORDS[result.type],
                ),
            )
        return result

    def _operation(
        self,
        node: ast.expr,
        operation: str,
        operands: Sequence[Node],
        type_: ValueType,
        *,
        nullable: bool = False,
        signs: Sequence[str] = (),
    ) -> Operation:
        column, end_column = self._place(node)
        return Operation(
            operation=operation,
            operands=tuple(operands),
            signs=tuple(signs),
            type=type_,
            nullable=nullable,
            column=column,
            end_column=end_column,
        )

    def _constant(self, node: ast.Constant) -> Node:
        column, end_column = self._place(node)
        written = self._source[column - 1 : end_column - 1]
        if isinstance(node.value, bool):
            return Literal(value=node.value, type="flag", column=column, end_column=end_column)
        if isinstance(node.value, str | bytes):
            # Neighbouring texts, which Python joins, and prefixed ones are not what they look like.
            if node.value != written[1:-1]:
                self._refuse(node, "literal", Message("write one text between two quotation marks"))
            return Literal(value=written[1:-1], type="text", column=column, end_column=end_column)
        if node.value is None:
            self._refuse(node, "not_allowed", Message("None only stands after is or is not"))
        value = Decimal(written)
        if len(value.as_tuple().digits) > DIGITS:
            self._refuse(node, "literal", Message("a number has at most %(most)s digits", most=DIGITS))
        return Literal(value=value, type="number", column=column, end_column=end_column)

    def _name(self, node: ast.Name) -> Node:
        name = self._declared.get(node.id)
        if name is None:
            self._unknown(node, "unknown_name", node.id, self._declared)
        variable = self._variables[name]
        column, end_column = self._place(node)
        return Reference(
            name=name, type=variable.type, nullable=variable.nullable, column=column, end_column=end_column
        )

    def _unknown(self, node: ast.expr, code: str, name: str, known: Collection[str]) -> Never:
        close = difflib.get_close_matches(name, known, n=1)
        if close:
            message = Message(
                "%(name)s is not known here; did you mean %(close)s?", name=name, close=close[0]
            )
        else:
            message = Message("%(name)s is not known here", name=name)
        self._refuse(node, code, message)

    def _binary(self, node: ast.BinOp) -> Node:
        sign = _ARITHMETIC.get(type(node.op))
        if sign is None:
            self._refuse(node, "not_allowed", Message("numbers are combined with + - * and / only"))
        operands = [self._typed(side, "number") for side in (node.left, node.right)]
        return self._operation(node, sign, operands, "number")

    def _unary(self, node: ast.UnaryOp) -> Node:
        if not isinstance(node.op, ast.USub | ast.Not):
            self._refuse(node, "not_allowed", Message("a number needs no + before it"))
        operation, type_ = _UNARY[type(node.op)]
        return self._operation(node, operation, [self._typed(node.operand, type_)], type_)

    def _logical(self, node: ast.BoolOp) -> Node:
        word = "and" if isinstance(node.op, ast.And) else "or"
        return self._operation(node, word, [self._typed(part, "flag") for part in node.values], "flag")

    def _conditional(self, node: ast.IfExp) -> Node:
        condition = self._typed(node.test, "flag")
        then = self._node(node.body)
        otherwise = self._typed(node.orelse, then.type)
        nullable = then.nullable or otherwise.nullable
        return self._operation(node, "if", [condition, then, otherwise], then.type, nullable=nullable)

    def _comparison(self, node: ast.Compare) -> Node:
        if isinstance(node.ops[0], ast.Is | ast.IsNot | ast.In | ast.NotIn):
            if len(node.ops) > 1:
                self._refuse(
                    node, "not_allowed", Message("is and in are not chained: join comparisons with and")
                )
            return self._membership(node, node.ops[0], node.comparators[0])
        first = self._node(node.left)
        operands, signs = [first], []
        for operator, right in zip(node.ops, node.comparators, strict=True):
            sign = _EQUALITY.get(type(operator)) or _ORDER.get(type(operator))
            if sign is None:
                self._refuse(
                    node, "not_allowed", Message("is and in are not chained: join comparisons with and")
                )
            if type(operator) in _ORDER and first.type not in _ORDERED:
                self._refuse(
                    node,
                    "type_mismatch",
                    Message("%(found)s is compared with == and != only", found=TYPE_WORDS[first.type]),
                )
            operands.append(self._typed(right, first.type))
            signs.append(sign)
        return self._operation(node, "compare", operands, "flag", signs=signs)

    def _membership(self, node: ast.Compare, operator: ast.cmpop, right: ast.expr) -> Node:
        value = self._node(node.left)
        if isinstance(operator, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                self._refuse(right, "not_allowed", Message("is and is not only stand before None"))
            word = "missing" if isinstance(operator, ast.Is) else "given"
            return self._operation(node, word, [value], "flag")
        if not (isinstance(right, ast.Tuple) and right.elts):
            self._refuse(
                right, "not_allowed", Message('in takes its choices in brackets, as in ("A", "B") or ("A",)')
            )
        choices = [self._typed(choice, value.type) for choice in right.elts]
        word = "in" if isinstance(operator, ast.In) else "not in"
        return self._operation(node, word, [value, *choices], "flag")

    def _call(self, node: ast.Call) -> Node:
        if not isinstance(node.func, ast.Name) or node.keywords:
            self._refuse(
                node, "not_allowed", Message("a function is called by its name, with values in brackets")
            )
        name = node.func.id
        match name:
            case "given":
                return self._given(node)
            case "coalesce":
                return self._coalesce(node)
            case "lookup":
                return self._lookup(node)
        function = FUNCTIONS.get(name)
        if function is None:
            self._unknown(node.func, "unknown_function", name, (*FUNCTIONS, "given", "coalesce", "lookup"))
        self._count(node, name, len(function.parameters), repeats=function.repeats)
        further = len(node.args) - len(function.parameters)
        types = function.parameters + function.parameters[-1:] * further
        operands = [self._typed(argument, type_) for argument, type_ in zip(node.args, types, strict=True)]
        return self._operation(node, name, operands, function.result)

    def _count(self, node: ast.Call, name: str, count: int, *, repeats: bool = False) -> None:
        if len(node.args) < count or (len(node.args) > count and not repeats):
            if repeats:
                message = Message("%(name)s takes at least %(count)s values", name=name, count=count)
            elif count == 1:
                message = Message("%(name)s takes 1 value", name=name)
            else:
                message = Message("%(name)s takes %(count)s values", name=name, count=count)
            self._refuse(node, "arguments", message)

    def _given(self, node: ast.Call) -> Node:
        self._count(node, "given", 1)
        return self._operation(node, "given", [self._node(node.args[0])], "flag")

    def _coalesce(self, node: ast.Call) -> Node:
        self._count(node, "coalesce", 2)
        value = self._node(node.args[0])
        default = self._typed(node.args[1], value.type)
        return self._operation(node, "coalesce", [value, default], value.type, nullable=default.nullable)

    def _lookup(self, node: ast.Call) -> Node:
        self._count(node, "lookup", 2)
        table = node.args[0]
        if not (isinstance(table, ast.Constant) and isinstance(table.value, str)):
            self._refuse(
                table, "arguments", Message('lookup takes the name of its table first, as in "owners"')
            )
        type_ = self._tables.get(table.value)
        if type_ is None:
            self._unknown(table, "unknown_table", table.value, self._tables)
        operands = [self._node(table), self._typed(node.args[1], "text")]
        return self._operation(node, "lookup", operands, type_, nullable=True)
