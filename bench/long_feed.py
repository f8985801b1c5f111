"""Ten million events in ten files, month after month: what the tenth million costs, in terms of the first.

Cost is CPU time, of everything that runs: this process, the workers, and PostgreSQL with its background
processes. A shared machine gives a second of CPU a different worth from one minute to the next; so beside each
of the two files the same rows, those of the first, are copied into a fresh database, and a file's cost is
divided by the cost of that.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

from bench import copy_limit
from bench.feed import copy_rows, load_file, prove_books
from bench.figures import Figure, at_most, figure
from bench.generate_feed import write_feed
from bench.machine import cpu_seconds
from bench.sizes import Sizes
from bench.stage import Database, Stage, say
from bench.world import POPULATED
from carbonpoints.embedded import Child

FIRST_MONTH = date(2025, 1, 1)
COST_RATIO = at_most(1.10)
PROBES = 3


def measure_long_feed(stage: Stage, sizes: Sizes) -> list[Figure]:
    """Return `feed_cost_tenth_to_first_ratio`, and how fast the first and the last file were."""
    folder = stage.directory / "rows"
    costs_us: list[float] = []
    relative: list[float] = []
    with stage.database("long", template=POPULATED) as database, stage.workers(database) as worker:
        for number in range(sizes.files):
            cost_us = _load(stage, database, worker, sizes, number)
            costs_us.append(cost_us)
            if number == 0:
                copy_limit.take_out(database.url, folder)
            if number in {0, sizes.files - 1}:
                relative.append(cost_us / _probe(stage, folder, sizes.events))
        prove_books(database)
    return [
        figure("feed_cost_tenth_to_first_ratio", [relative[-1] / relative[0]], COST_RATIO),
        figure("feed_cpu_us_per_event", costs_us),
    ]


def _load(stage: Stage, database: Database, worker: Child, sizes: Sizes, number: int) -> float:
    """Load the payments of one month and return their cost: CPU microseconds per event."""
    path = stage.directory / f"month-{number}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        write_feed(
            file,
            events=sizes.events,
            accounts=sizes.accounts,
            first=number * sizes.events,
            seed=number,
            month=FIRST_MONTH.replace(month=number % 12 + 1, year=FIRST_MONTH.year + number // 12),
        )
    stage.checkpoint()
    before_s = cpu_seconds(os.getpid())
    load = load_file(database, path, worker)
    cost_us = (cpu_seconds(os.getpid()) - before_s) / sizes.events * 1_000_000
    path.unlink()
    say(f"  file {number + 1}: {load.events_per_s:,.0f} events/s, {cost_us:.1f} us of CPU per event")
    return cost_us


def _probe(stage: Stage, folder: Path, events: int) -> float:
    """Return the CPU microseconds that COPY takes per event, the median of several probes."""
    copies = [copy_rows(stage, folder, connections=2) for _ in range(PROBES)]
    probes = [copied.cpu_s / events * 1_000_000 for copied in copies]
    probe = figure("copy_cpu_us_per_event", probes)
    say(f"  COPY beside it: {probe.value:.1f} us ({probe.low:.1f} to {probe.high:.1f})")
    return probe.value
