"""An independent model of the expression language: well-typed trees, a printer and an evaluator of its own.

The evaluator works on fractions rounded to 34 digits by hand: no Decimal arithmetic, no Python source. The
printer writes no more brackets than a tree needs, so that precedence is tested as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from carbonpoints.rules.language import ValueType, Variable

Tree = tuple[Any, ...]
Values = Mapping[str, Any]

VARIABLES = {
    "distance": Variable("number"),
    "里程": Variable("number"),
    "refund": Variable("number", nullable=True),
    "payee": Variable("text"),
    "note": Variable("text", nullable=True),
    "standing": Variable("flag"),
    "verified": Variable("flag", nullable=True),
    "made_on": Variable("date"),
    "due_on": Variable("date", nullable=True),
}
TABLES: dict[str, ValueType] = {"owners": "text", "fees": "number"}
BOOKS: dict[str, dict[str, object]] = {
    "owners": {"": "nobody", "a": "A", "7": "seven", "京": "Beijing"},
    "fees": {"a": Decimal("0.75"), "12": 3},
}


class NoValueError(Exception):
    """The model has no value; carries the code that the language must give."""


# --- the trees -------------------------------------------------------------------------------------------

words = st.text(alphabet="aAß京 7|.-", max_size=4)
number_leaves = st.one_of(
    st.from_regex(r"(0|[1-9][0-9]{0,5})(\.[0-9]{1,4})?", fullmatch=True).map(lambda text: ("literal", text)),
    st.sampled_from(["distance", "里程", "refund"]).map(lambda name: ("name", name)),
)
text_leaves = st.one_of(
    words.map(lambda text: ("quoted", text)),
    st.sampled_from(["payee", "note"]).map(lambda name: ("name", name)),
)
flag_leaves = st.one_of(
    st.booleans().map(lambda flag: ("constant", flag)),
    st.sampled_from(["standing", "verified"]).map(lambda name: ("name", name)),
)
dates = st.sampled_from(["made_on", "due_on"]).map(lambda name: ("name", name))


def operation(name: str, *operands: st.SearchStrategy[Any]) -> st.SearchStrategy[Tree]:
    return st.tuples(st.sampled_from(name.split("|")), *operands)


def several(
    name: str,
    part: st.SearchStrategy[Any],
    least: int,
    most: int,
    first: st.SearchStrategy[Tree] | None = None,
) -> st.SearchStrategy[Tree]:
    """Return an operation with `least` to `most` operands of a kind, after a first one of another."""
    parts = st.tuples(
        operation(name),
        st.tuples(*([] if first is None else [first])),
        st.lists(part, min_size=least, max_size=most),
    )
    return parts.map(lambda drawn: (*drawn[0], *drawn[1], *drawn[2]))


def trees(depth: int) -> dict[str, st.SearchStrategy[Tree]]:
    """Return strategies for well-typed trees of at most `depth` operations above each other, by type."""
    if depth == 0:
        return {"number": number_leaves, "text": text_leaves, "flag": flag_leaves}
    number, text, flag = trees(depth - 1).values()
    digits = st.integers(0, 4).map(lambda digits: ("literal", str(digits)))
    order = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    equality = st.sampled_from(["==", "!="])
    return {
        "number": st.one_of(
            number_leaves,
            operation("+|-|*|/", number, number),
            several("min|max", number, 2, 4),
            operation("negate|abs|floor|ceil", number),
            operation("round_half_up", number, digits),
            operation("length|number", text),
            operation("year|month|day", dates),
            operation("lookup", st.just(("quoted", "fees")), text),
            operation("if", flag, number, number),
            operation("coalesce", number, number),
        ),
        "text": st.one_of(
            text_leaves,
            operation("lower|upper|strip", text),
            operation("text", number),
            several("concat", text, 2, 3),
            operation("substring", text, number, number),
            operation("lookup", st.just(("quoted", "owners")), text),
            operation("if", flag, text, text),
            operation("coalesce", text, text),
        ),
        "flag": st.one_of(
            flag_leaves,
            operation("not", flag),
            several("and|or", flag, 2, 3),
            several("chain", st.tuples(order, number), 1, 3, first=number),
            several("chain", st.tuples(order, dates), 1, 2, first=dates),
            several("chain", st.tuples(equality, text), 1, 2, first=text),
            several("in|not in", number, 1, 3, first=number),
            several("in|not in", text, 1, 3, first=text),
            operation("given|is None|is not None", st.one_of(number, text, flag, dates)),
            operation("starts_with|contains", text, text),
            operation("if", flag, flag, flag),
            operation("coalesce", flag, flag),
        ),
    }


inputs = st.fixed_dictionaries(
    {
        "distance": st.integers(-(10**6), 10**6),
        "里程": st.decimals(-(10**6), 10**6, places=5),
        "refund": st.none() | st.decimals(-100, 100, places=1),
        "payee": words,
        "note": st.none() | words,
        "standing": st.booleans(),
        "verified": st.none() | st.booleans(),
        "made_on": st.dates(),
        "due_on": st.none() | st.dates(),
    }
)

# --- the printer -----------------------------------------------------------------------------------------

LEVELS = {
    "if": 0,
    "or": 1,
    "and": 2,
    "not": 3,
    "chain": 4,
    "in": 4,
    "not in": 4,
    "is None": 4,
    "is not None": 4,
}
LEVELS |= {"+": 5, "-": 5, "*": 6, "/": 6, "negate": 7}
ATOM = 8


def printed(tree: Tree, least: int = 0) -> str:
    """Write a tree, in brackets where it binds less than `least`."""
    name, *parts = tree
    text = WRITERS[name](*parts) if name in WRITERS else f"{name}({', '.join(map(printed, parts))})"
    return f"({text})" if LEVELS.get(name, ATOM) < least else text


def write_chain(first: Tree, *links: tuple[str, Tree]) -> str:
    return printed(first, 5) + "".join(f" {sign} {printed(part, 5)}" for sign, part in links)


def write_choice(condition: Tree, then: Tree, otherwise: Tree) -> str:
    return f"{printed(then, 1)} if {printed(condition, 1)} else {printed(otherwise)}"


WRITERS: dict[str, Callable[..., str]] = {
    "literal": str,
    "name": str,
    "constant": str,
    "quoted": '"{}"'.format,
    "+": lambda left, right: f"{printed(left, 5)} + {printed(right, 6)}",
    "-": lambda left, right: f"{printed(left, 5)} - {printed(right, 6)}",
    "*": lambda left, right: f"{printed(left, 6)} * {printed(right, 7)}",
    "/": lambda left, right: f"{printed(left, 6)} / {printed(right, 7)}",
    "negate": lambda value: f"-{printed(value, 7)}",
    "not": lambda value: f"not {printed(value, 3)}",
    "and": lambda *parts: " and ".join(printed(part, 3) for part in parts),
    "or": lambda *parts: " or ".join(printed(part, 2) for part in parts),
    "if": write_choice,
    "chain": write_chain,
    "in": lambda value, *choices: f"{printed(value, 5)} in ({', '.join(map(printed, choices))},)",
    "not in": lambda value, *choices: f"{printed(value, 5)} not in ({', '.join(map(printed, choices))},)",
    "is None": lambda value: f"{printed(value, 5)} is None",
    "is not None": lambda value: f"{printed(value, 5)} is not None",
}
"""How an operation is written; what is not listed is written as a function."""

# --- the model's evaluator -------------------------------------------------------------------------------


def model(tree: Tree, values: Values) -> Any:
    """Return the value of a tree or None; raises NoValueError."""
    name, *parts = tree
    if name in LAZY:
        return LAZY[name](values, *parts)
    return fraction(STRICT[name](*(needed(part, values) for part in parts)))


def needed(tree: Tree, values: Values) -> Any:
    value = model(tree, values)
    if value is None:
        raise NoValueError("missing_value")
    return value


def fraction(value: Any) -> Any:
    return Fraction(value) if isinstance(value, Decimal) or type(value) is int else value


def rounded(value: Fraction) -> Fraction:
    """Round to 34 significant digits, half to even."""
    if value == 0:
        return value
    exponent = 0
    while abs(value) >= Fraction(10) ** (exponent + 34):
        exponent += 1
    while abs(value) < Fraction(10) ** (exponent + 33):
        exponent -= 1
    return round(value / Fraction(10) ** exponent) * Fraction(10) ** exponent


def divided(left: Fraction, right: Fraction) -> Fraction:
    if right == 0:
        raise NoValueError("division_by_zero")
    return rounded(left / right)


def rounded_half_up(value: Fraction, digits: Fraction) -> Fraction:
    size = int(abs(value) * 10**digits + Fraction(1, 2))
    if size >= 10**34:
        raise NoValueError("overflow")
    return Fraction(size, 10 ** int(digits)) * (-1 if value < 0 else 1)


def parsed(text: str) -> Fraction:
    body = text.strip()
    digits = body.removeprefix("-").split(".")
    if len(digits) > 2 or any(not part or set(part) - set("0123456789") for part in digits):
        raise NoValueError("no_value")
    return Fraction(body)


def plainly(value: Fraction) -> str:
    """Write a fraction with a finite decimal form without trailing zeros."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    whole = digits[: len(digits) - places]
    return ("-" if value < 0 else "") + whole + ("." + digits[len(digits) - places :] if places else "")


def cut(text: str, start: Fraction, length: Fraction) -> str:
    whole = start.denominator == 1 and length.denominator == 1
    if not (whole and 1 <= start <= 1_000_000 and 0 <= length <= 1_000_000):
        raise NoValueError("no_value")
    return "".join(sign for place, sign in enumerate(text, 1) if start <= place < start + length)


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: not left > right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: not left < right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
}


def chained(values: Values, first: Tree, *links: tuple[str, Tree]) -> bool:
    left = needed(first, values)
    for sign, part in links:
        right = needed(part, values)
        if not COMPARE[sign](left, right):
            return False
        left = right
    return True


def chosen(values: Values, condition: Tree, then: Tree, otherwise: Tree) -> Any:
    return model(then if needed(condition, values) else otherwise, values)


def coalesced(values: Values, value: Tree, default: Tree) -> Any:
    found = model(value, values)
    return model(default, values) if found is None else found


LAZY: dict[str, Callable[..., Any]] = {
    "literal": lambda _values, text: Fraction(text),
    "quoted": lambda _values, text: text,
    "constant": lambda _values, flag: flag,
    "name": lambda values, name: fraction(values[name]),
    "if": chosen,
    "coalesce": coalesced,
    "chain": chained,
    "and": lambda values, *parts: all(needed(part, values) for part in parts),
    "or": lambda values, *parts: any(needed(part, values) for part in parts),
    "given": lambda values, value: model(value, values) is not None,
    "is not None": lambda values, value: model(value, values) is not None,
    "is None": lambda values, value: model(value, values) is None,
}
"""What decides by itself which operands it works out."""

STRICT: dict[str, Callable[..., Any]] = {
    "+": lambda left, right: rounded(left + right),
    "-": lambda left, right: rounded(left - right),
    "*": lambda left, right: rounded(left * right),
    "/": divided,
    "negate": lambda value: -value,
    "abs": abs,
    "min": min,
    "max": max,
    "floor": lambda value: value.numerator // value.denominator,
    "ceil": lambda value: -(-value.numerator // value.denominator),
    "round_half_up": rounded_half_up,
    "not": lambda flag: not flag,
    "in": lambda value, *choices: any(value == choice for choice in choices),
    "not in": lambda value, *choices: all(value != choice for choice in choices),
    "year": lambda day: day.year,
    "month": lambda day: day.month,
    "day": lambda day: day.day,
    "number": parsed,
    "length": len,
    "text": plainly,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "strip": lambda text: text.strip(),
    "concat": lambda *texts: "".join(texts),
    "substring": cut,
    "starts_with": lambda text, part: text[: len(part)] == part,
    "contains": lambda text, part: any(text[place:].startswith(part) for place in range(len(text) + 1)),
    "lookup": lambda table, key: BOOKS[table].get(key),
}
"""What needs the values of all its operands."""
