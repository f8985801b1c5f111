"""A compiled expression: evaluate it, explain it, or hand its code to the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, Overflow
from types import MappingProxyType
from typing import Any

from carbonpoints.core.errors import Message
from carbonpoints.rules.language.errors import EvaluationError, ExpressionError
from carbonpoints.rules.language.functions import FAILURES, Missing, Refused
from carbonpoints.rules.language.generator import Generator, namespace, walk
from carbonpoints.rules.language.reader import TYPE_WORDS, read
from carbonpoints.rules.language.tree import Literal, Node, Operation, Reference, ValueType, Variable

Value = Decimal | bool | str | date | None
"""What an expression evaluates to, by its type; an instant is a datetime, which is a date."""

Tables = Mapping[str, Mapping[str, object]]
"""Lookup tables by name, each from a text key to a value of the table's declared type."""

NO_TABLES: Tables = MappingProxyType({})


@dataclass(frozen=True)
class Step:
    """A part of an expression that was worked out: its text, its columns (1-based, end excluded), its value."""

    text: str
    column: int
    end_column: int
    value: Value


@dataclass(frozen=True)
class Expression:
    """A checked expression. `names` are the variables and `tables` the lookup tables that it uses.

    `nullable` says whether the value may be None. `values` given to its methods hold every name of `names` in
    its declared type: numbers as int or finite Decimal of at most 34 digits, never float; None only for a
    nullable variable.
    """

    source: str
    type: ValueType
    nullable: bool
    names: frozenset[str]
    tables: frozenset[str]
    tree: Node
    _function: Callable[[Mapping[str, object], Tables], Value] = field(repr=False, compare=False)

    def evaluate(self, values: Mapping[str, object], tables: Tables = NO_TABLES) -> Value:
        """Return the value; a number is always a Decimal.

        `tables` holds every table of `self.tables`; a key that is not in its table gives None. Raises
        EvaluationError, with the column, when there is no value for these inputs.
        """
        try:
            return self._function(values, tables)
        except FAILURES:
            self.steps(values, tables)
            raise

    def steps(self, values: Mapping[str, object], tables: Tables = NO_TABLES) -> tuple[Step, ...]:
        """Return every operation that was worked out with its value, in the order of evaluation.

        Literals, bare variables and branches not taken are left out. Raises EvaluationError like `evaluate`.
        """
        watched: list[Node] = []
        body = Generator(_from_values, watched=watched).body(self.tree)
        function = _python_function(f"lambda values, tables, enter, leave: {body}", self.tree)
        running: list[int] = []
        steps: list[Step] = []

        def leave(_entered: None, value: Any) -> Any:
            node = watched[running.pop()]
            if isinstance(node, Operation):
                steps.append(self._step(node, value))
            return value

        try:
            function(values, tables, running.append, leave)
        except FAILURES as error:
            raise self._explained(error, watched[running[-1]]) from error
        return tuple(steps)

    def python_source(self, names: Callable[[str], str], tables: str = "tables") -> str:
        """Return one Python expression that gives the same value, to be fused with others.

        `names` gives the Python expression for a variable, `tables` the one for the lookup tables. The code
        needs the names of `namespace`, assigns the local `x_value` and raises one of `FAILURES` where
        `evaluate` raises EvaluationError: call `evaluate` then, to learn the column.
        """
        return Generator(names, tables).body(self.tree)

    @property
    def namespace(self) -> dict[str, object]:
        """The names that `python_source` uses; those of several expressions may be merged."""
        return namespace(self.tree)

    def _step(self, node: Node, value: Any) -> Step:
        exact = Decimal(value) if node.type == "number" and isinstance(value, int) else value
        return Step(self._text(node), node.column, node.end_column, exact)

    def _text(self, node: Node) -> str:
        return self.source[node.column - 1 : node.end_column - 1]

    def _explained(self, error: Exception, node: Node) -> EvaluationError:
        operation = node.operation if isinstance(node, Operation) else ""
        if isinstance(error, Missing):
            code, message = "missing_value", Message("%(part)s has no value", part=self._text(node))
        elif isinstance(error, Refused):
            code, message = "no_value", error.message
        elif isinstance(error, ArithmeticError) and operation == "/" and not isinstance(error, Overflow):
            code, message = "division_by_zero", Message("this divides by zero")
        elif isinstance(error, ArithmeticError):
            code, message = "overflow", Message("this number is too large to be exact")
        elif isinstance(error, LookupError):
            what = Message("the table") if operation == "lookup" else self._text(node)
            code, message = "missing_value", Message("%(part)s was not handed in", part=what)
        else:
            code = "wrong_value"
            message = Message("%(part)s was handed a value of the wrong type", part=self._text(node))
        return EvaluationError(code, message, node.column, node.end_column)


def compile_expression(
    source: str,
    variables: Mapping[str, Variable],
    *,
    expects: ValueType | None = None,
    tables: Mapping[str, ValueType] = MappingProxyType({}),
) -> Expression:
    """Read and check `source` against `variables` and the value types of the lookup `tables`.

    `expects` is the type that the whole must have. Raises ExpressionError for whatever is wrong with the
    source, and ValueError when two variables' names are the same to a reader (NFKC).
    """
    tree = read(source, variables, tables)
    if expects is not None and tree.type != expects:
        message = Message(
            "this gives %(one)s, but %(other)s is needed",
            one=TYPE_WORDS[tree.type],
            other=TYPE_WORDS[expects],
        )
        raise ExpressionError("wrong_result", message, tree.column, tree.end_column)
    parts = tuple(walk(tree))
    lookups = (part for part in parts if isinstance(part, Operation) and part.operation == "lookup")
    return Expression(
        source=source,
        type=tree.type,
        nullable=tree.nullable,
        names=frozenset(part.name for part in parts if isinstance(part, Reference)),
        tables=frozenset(_table(lookup) for lookup in lookups),
        tree=tree,
        _function=_python_function(f"lambda values, tables: {Generator(_from_values).body(tree)}", tree),
    )


def _table(lookup: Operation) -> str:
    name = lookup.operands[0]
    return str(name.value) if isinstance(name, Literal) else ""


def _from_values(name: str) -> str:
    return f"values[{name!r}]"


def _python_function(code: str, tree: Node) -> Callable[..., Any]:
    # The code is written by Generator from a checked tree: calls of RUNTIME, declared names, quoted texts.
    function: Callable[..., Any] = eval(code, {"__builtins__": {}, **namespace(tree)})  # noqa: S307
    return function
