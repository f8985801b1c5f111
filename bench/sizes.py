"""How much is measured: the full sizes, which the command line can lower for a trial."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Counts of one run; every figure is the median of `runs` of them."""

    events: int = 1_000_000
    """In one feed file."""
    accounts: int = 15_000
    runs: int = 3
    requests: int = 4_000
    """Single events at each number of clients, and requests to the route that does nothing."""
    batches: int = 200
    files: int = 10
    """Of the long feed."""
