"""How long one evaluation of a typical rule's formula takes."""

from __future__ import annotations

from decimal import Decimal
from timeit import repeat

from bench.figures import Figure, figure
from carbonpoints.rules.language import Variable, compile_expression

RUNS = 7
EVALUATIONS = 100_000


def measure_expression() -> list[Figure]:
    """Return `expression_us`: microseconds per evaluation, in each run the mean of 100,000."""
    variables = {
        "distance_km": Variable("number", "km"),
        "BASE": Variable("number", "g/km"),
        "PROJECT": Variable("number", "g/km"),
    }
    formula = compile_expression(
        "max(0, distance_km * BASE - distance_km * PROJECT)", variables, expects="number"
    )
    values = {"distance_km": Decimal("5.3"), "BASE": Decimal("184.8"), "PROJECT": Decimal("26.9")}
    runs = repeat(lambda: formula.evaluate(values), number=EVALUATIONS, repeat=RUNS)
    return [figure("expression_us", (seconds / EVALUATIONS * 1_000_000 for seconds in runs))]
