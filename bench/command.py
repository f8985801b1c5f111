"""`python -m bench [PART ...]`: measure in one run, print the table, write `results.json`."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path

from bench import report
from bench.backtest import measure_backtest
from bench.balance import measure_balance
from bench.expression import measure_expression
from bench.feed import measure_feed
from bench.figures import Figure, at_least, figure
from bench.long_feed import measure_long_feed
from bench.posting import measure_batch_posts, measure_single_posts
from bench.sizes import Sizes
from bench.stage import Stage, say, set_stage
from bench.steps import measure_steps
from bench.world import make_templates

Part = Callable[[Stage, Sizes], list[Figure]]

PARTS: dict[str, Part] = {
    "expression": lambda _stage, _sizes: measure_expression(),
    "steps": measure_steps,
    "feed": measure_feed,
    "backtest": measure_backtest,
    "posts": measure_single_posts,
    "batches": measure_batch_posts,
    "balance": measure_balance,
}
BATCH_SHARE = at_least(0.4)
LONG_PARTS: dict[str, Part] = {"long_feed": measure_long_feed}
"""Only asked for by name or with LONG=1: they take half an hour."""


def main() -> None:
    """Do what the command line asks for."""
    arguments = _parse()
    if arguments.write_docs:
        report.write_page(report.read(arguments.results), report.PAGE)
        return
    sizes = Sizes(**{field.name: getattr(arguments, field.name) for field in fields(Sizes)})
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parts = {**PARTS, **LONG_PARTS}
    chosen = arguments.parts or [*PARTS, *(LONG_PARTS if os.environ.get("LONG") == "1" else ())]
    figures: list[Figure] = []
    with set_stage() as stage:
        machine = stage.describe_machine()
        make_templates(stage, sizes.accounts)
        for name in chosen:
            say(f"Measuring: {name} ...")
            figures += parts[name](stage, sizes)
    figures += _shares(figures)
    results = report.Results(f"{datetime.now(UTC):%Y-%m-%d}", machine, asdict(sizes), figures)
    report.save(results, arguments.results)
    print(report.as_text(results))


def _shares(figures: Sequence[Figure]) -> list[Figure]:
    """Return what one part's figure is of another's, where both were measured."""
    values = {each.name: each.value for each in figures}
    if not {"batch_post_events_per_s", "feed_events_per_s"} <= values.keys():
        return []
    share = values["batch_post_events_per_s"] / values["feed_events_per_s"]
    return [figure("batch_share_of_feed", [share], BATCH_SHARE)]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join((*PARTS, *LONG_PARTS))}; default: all"
    )
    for size in fields(Sizes):
        parser.add_argument(
            f"--{size.name}", type=int, default=size.default, help=f"default: {size.default:,}"
        )
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="where the results go")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the last results into the docs, no more"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - {*PARTS, *LONG_PARTS}
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return arguments
