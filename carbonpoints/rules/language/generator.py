"""A checked tree becomes Python source: calls on the one Decimal context, nothing that loops.

The source only calls names of `RUNTIME`, the number literals of `literal_name` and what the caller's `names`
returns; texts are written with `repr`. It assigns one local name, `x_value`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from carbonpoints.rules.language.functions import OPERATORS, RUNTIME
from carbonpoints.rules.language.tree import Literal, Node, Operation, Reference

_PASSES_NULL = {"given", "missing", "if", "coalesce"}
_MAY_BE_INTEGER = {"if", "coalesce", "lookup"}
"""Operations that hand a number through as it came in; all others answer with a Decimal."""


def literal_name(value: Decimal) -> str:
    """Return the name under which generated code finds a number literal: the same for the same text."""
    return "n_" + f"{value:f}".replace(".", "_")


def walk(node: Node) -> Iterator[Node]:
    """Yield every part of a tree, operands before the operation they belong to."""
    if isinstance(node, Operation):
        for operand in node.operands:
            yield from walk(operand)
    yield node


def namespace(tree: Node) -> dict[str, object]:
    """Return every name that the code of `tree` uses besides its variables and tables."""
    numbers = (part.value for part in walk(tree) if isinstance(part, Literal))
    literals = {literal_name(value): value for value in numbers if isinstance(value, Decimal)}
    return {**RUNTIME, **literals}


@dataclass(frozen=True)
class Generator:
    """Writes the Python source of a tree.

    `names` gives the Python expression for a variable, `tables` is the one for the lookup tables. With
    `watched` every part but the literals is wrapped as `enter`/`leave`, numbered by its place in that list.
    """

    names: Callable[[str], str]
    tables: str = "tables"
    watched: list[Node] | None = None

    def body(self, tree: Node) -> str:
        """Return the source of the whole expression; a number always comes out as a Decimal."""
        code = self._part(tree)
        integer = isinstance(tree, Reference) or (
            isinstance(tree, Operation) and tree.operation in _MAY_BE_INTEGER
        )
        return f"x_decimal({code})" if tree.type == "number" and integer else code

    def _part(self, node: Node, *, needed: bool = False) -> str:
        code = self._bare(node)
        if needed and node.nullable:
            code = f"x_need({code})"
        if self.watched is not None and not isinstance(node, Literal):
            self.watched.append(node)
            code = f"leave(enter({len(self.watched) - 1}), {code})"
        return code

    def _bare(self, node: Node) -> str:
        if isinstance(node, Reference):
            return self.names(node.name)
        if isinstance(node, Literal):
            return literal_name(node.value) if isinstance(node.value, Decimal) else repr(node.value)
        if not isinstance(node, Operation):
            raise TypeError(node)
        needed = node.operation not in _PASSES_NULL
        condition = node.operation == "if"
        parts = [
            self._part(operand, needed=needed or (condition and place == 0))
            for place, operand in enumerate(node.operands)
        ]
        return self._applied(node, parts)

    def _applied(self, node: Operation, parts: list[str]) -> str:
        match node.operation:
            case "if":
                code = f"({parts[1]} if {parts[0]} else {parts[2]})"
            case "coalesce":
                code = f"({parts[1]} if (x_value := {parts[0]}) is None else x_value)"
            case "given":
                code = f"((x_value := {parts[0]}) is not None)"
            case "missing":
                code = f"((x_value := {parts[0]}) is None)"
            case "lookup":
                code = f"{self.tables}[{parts[0]}].get({parts[1]})"
            case "concat":
                code = f"({' + '.join(parts)})"
            case "compare" | "in" | "not in" | "and" | "or" | "not":
                code = f"({_condition(node, parts)})"
            case "min" | "max" if len(parts) > 2:  # noqa: PLR2004 - the context compares two at a time
                code = f"x_reduce(x_{node.operation}, ({', '.join(parts)}))"
            case operation:
                name = OPERATORS[operation][0] if operation in OPERATORS else f"x_{operation}"
                code = f"{name}({', '.join(parts)})"
        return code


def _condition(node: Operation, parts: list[str]) -> str:
    match node.operation:
        case "compare":
            signed = (f" {sign} {part}" for sign, part in zip(node.signs, parts[1:], strict=True))
            return parts[0] + "".join(signed)
        case "in" | "not in":
            return f"{parts[0]} {node.operation} ({', '.join(parts[1:])},)"
        case "not":
            return f"not {parts[0]}"
        case word:
            return f" {word} ".join(parts)
