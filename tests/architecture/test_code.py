"""The house's rules about code, held by a machine and without a list of exceptions."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUNCTION_LINES = 70
MODULE_LINES = 400
SOURCES = sorted(
    file for folder in ("carbonpoints", "tests", "bench", "scripts") for file in (ROOT / folder).rglob("*.py")
)
PRODUCT = [file for file in SOURCES if file.is_relative_to(ROOT / "carbonpoints")]
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "base"}


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Every function of a file and its length in lines, without its decorators."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_there_is_something_to_look_at() -> None:
    assert len(PRODUCT) > 50
    assert ROOT / "carbonpoints" / "app.py" in PRODUCT


def test_functions_are_short() -> None:
    lengths = {f"{name(file)}:{function}": lines for file in SOURCES for function, lines in functions(file)}
    assert {place: lines for place, lines in lengths.items() if lines > FUNCTION_LINES} == {}
    assert statistics.median(lengths.values()) <= FUNCTION_LINES / 4


def test_modules_are_short() -> None:
    lengths = {name(file): len(file.read_text(encoding="utf-8").splitlines()) for file in SOURCES}
    assert {place: lines for place, lines in lengths.items() if lines > MODULE_LINES} == {}
    assert statistics.median(lengths.values()) <= MODULE_LINES / 2


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name(file) for file in SOURCES if {file.stem, file.parent.name} & SAYS_NOTHING] == []


def commits(file: Path) -> bool:
    """Whether a file calls a method named commit."""
    calls = (
        node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    )
    return any(isinstance(call.func, ast.Attribute) and call.func.attr == "commit" for call in calls)


def test_only_core_db_commits() -> None:
    assert [name(file) for file in PRODUCT if commits(file)] == ["carbonpoints/core/db.py"]


def test_every_python_file_says_what_it_is_for() -> None:
    silent = [
        name(file)
        for file in PRODUCT
        if file.name != "__init__.py" and not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert silent == []


@pytest.mark.parametrize("package", ["accounts", "approvals", "behaviours", "core", "ledger", "rules"])
def test_every_domain_has_its_readme(package: str) -> None:
    assert (ROOT / "carbonpoints" / package / "README.md").is_file()


def test_imports_point_down() -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_head_file_names_the_last_migration() -> None:
    revisions, parents = set(), set()
    for file in (ROOT / "migrations" / "versions").glob("*.py"):
        values = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in ast.parse(file.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in {"revision", "down_revision"}
        }
        revisions.add(values["revision"])
        parents.add(values["down_revision"])
    heads = revisions - parents
    assert heads == {(ROOT / "migrations" / "head.txt").read_text(encoding="ascii").strip()}
    assert None in parents
