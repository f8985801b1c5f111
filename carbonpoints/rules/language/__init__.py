"""The typed expression language of rules and feed profiles: conditions, formulas and field mappings.

An expression is one line of arithmetic, comparison and text functions over declared variables. It is read
once, checked against the variables' types, turned into Python code and then evaluated in about a
microsecond. It cannot loop, call anything but the functions in `FUNCTIONS`, or reach an object's insides.

Numbers are exact decimals of 34 digits (`CONTEXT`); half-even where a product or quotient needs more. A
variable or lookup may have no value (None): `given(x)`, `x is None`, `coalesce(x, default)` and the branches
of `a if c else b` accept that, everything else answers with an EvaluationError that names the column.
"""

from carbonpoints.rules.language.analysis import Analysis, Facts
from carbonpoints.rules.language.errors import EvaluationError, ExpressionError, LanguageError
from carbonpoints.rules.language.expression import Expression, Step, Tables, Value, compile_expression
from carbonpoints.rules.language.functions import CONTEXT, FAILURES, FUNCTIONS, Function
from carbonpoints.rules.language.possible import (
    LARGEST,
    SMALLEST,
    Possible,
    anything,
    chosen,
    either,
    numbers,
)
from carbonpoints.rules.language.tree import (
    VALUE_TYPES,
    Literal,
    Node,
    Operation,
    Reference,
    ValueType,
    Variable,
)

__all__ = [
    "CONTEXT",
    "FAILURES",
    "FUNCTIONS",
    "LARGEST",
    "SMALLEST",
    "VALUE_TYPES",
    "Analysis",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "Facts",
    "Function",
    "LanguageError",
    "Literal",
    "Node",
    "Operation",
    "Possible",
    "Reference",
    "Step",
    "Tables",
    "Value",
    "ValueType",
    "Variable",
    "anything",
    "chosen",
    "compile_expression",
    "either",
    "numbers",
]
