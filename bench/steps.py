"""What the parts of a feed that need no database cost, each by itself: microseconds of one process per event."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

from bench.figures import Figure, figure
from bench.generate_feed import write_feed
from bench.sizes import Sizes
from bench.stage import Stage
from bench.world import catalogue_of_bench
from carbonpoints.behaviours.cells import Columns
from carbonpoints.behaviours.mapping import LineMapper
from carbonpoints.behaviours.profiles import parse_profile
from carbonpoints.behaviours.segments import Segment, read_segment
from carbonpoints.behaviours.staged import decode_chunk
from carbonpoints.core.crypto import SUITE
from carbonpoints.rules.engine import CompiledRule
from carbonpoints.rules.usage import UsageBook

Result = TypeVar("Result")

RUNS = 5
EVENTS = 100_000
CODES = 3
"""Keyed codes of an event: of its identity, of its act, and over its inputs."""
KEY = bytes(48)
DAY = date(2026, 5, 1)


def measure_steps(stage: Stage, sizes: Sizes) -> list[Figure]:
    """Return the figures of reading, decoding, judging and coding the first events of a feed file."""
    profile = parse_profile((Path(__file__).parent / "payments.yaml").read_text("utf-8"), "payments.yaml")
    catalogue = catalogue_of_bench()
    behaviours = {each.code: each for each in catalogue.behaviours}
    rule = next(each for each in catalogue.rules if each.behaviour == profile.behaviour)
    factors = {each.code: each.value for each in catalogue.factors if each.code in rule.factors}
    compiled = CompiledRule(behaviour=behaviours[profile.behaviour], rule=rule, factors=factors)
    path = stage.directory / "steps.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        write_feed(file, events=sizes.events, accounts=sizes.accounts)
    costs: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, step: Callable[[], Result]) -> Result:
        started = time.process_time()
        result = step()
        costs[name].append((time.process_time() - started) / EVENTS * 1_000_000)
        return result

    def make_mapper(columns: Columns) -> LineMapper:
        return LineMapper(
            profile=profile, behaviours=behaviours, columns=columns, tables={}, identity_key=KEY
        )

    def read() -> Segment:
        with path.open("rb") as opened:
            return read_segment(
                opened, profile, make_mapper=make_mapper, file_bytes=path.stat().st_size, offset=0, line_count=0,
                records_max=EVENTS,
            )  # fmt: skip

    def measure() -> None:
        segment = timed("step_read_us", read)
        events = timed(
            "step_decode_us",
            lambda: [event for chunk in segment.chunks for event in decode_chunk(chunk.content)],
        )
        timed("step_codes_us", lambda: [SUITE.mac(KEY, event.content.encode()) for event in events * CODES])
        books: dict[str, UsageBook] = defaultdict(lambda: UsageBook(secret=KEY))
        timed(
            "step_judge_us",
            lambda: [
                compiled.settle(compiled.assess(compiled.values(event.data)), books[event.subject], DAY)
                for event in events
            ],
        )

    gc.disable()  # As the worker does for a chunk.
    for _ in range(RUNS):
        measure()
    gc.enable()
    path.unlink()
    return [figure(name, values) for name, values in costs.items()]
