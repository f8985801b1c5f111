"""The results of the last run: kept in `results.json`, shown in the terminal and in `docs/benchmarks.md`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figure, markdown_table, plain_table, table_rows

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN = "<!-- results: written by `python -m bench --write-docs` -->"
END = "<!-- end of results -->"


@dataclass(frozen=True)
class Results:
    """One run: when, on what, how much, and what came out."""

    measured_on: str
    machine: Mapping[str, str]
    sizes: Mapping[str, int]
    figures: Sequence[Figure]


def save(results: Results, path: Path) -> None:
    """Write the results."""
    path.write_text(json.dumps(asdict(results), indent=2, ensure_ascii=False) + "\n", "utf-8")


def read(path: Path) -> Results:
    """Return the results that were saved."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return Results(**{**content, "figures": [Figure(**each) for each in content["figures"]]})


def as_text(results: Results) -> str:
    """Return the results for a terminal."""
    return "\n".join((*_heading(results), "", plain_table(table_rows(results.figures))))


def write_page(results: Results, page: Path) -> None:
    """Put the results where the page keeps its place for them; ValueError when it has none."""
    before, begin, rest = page.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for results")
    rows = [
        tuple(f"`{cell}`" if cell and column == 0 else cell for column, cell in enumerate(row))
        for row in table_rows(results.figures)
    ]
    table = markdown_table([table_rows([])[0], *rows[1:]])
    heading = "\n".join(f"- {line}" for line in _heading(results))
    page.write_text(f"{before}{BEGIN}\n\n{heading}\n\n{table}\n\n{END}{after}", "utf-8")


def _heading(results: Results) -> list[str]:
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    sizes = ", ".join(f"{name} {count:,}" for name, count in results.sizes.items())
    return [f"measured on {results.measured_on}", f"machine: {machine}", f"sizes: {sizes}"]
