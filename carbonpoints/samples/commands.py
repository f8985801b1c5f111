"""`flask sample`: made-up files, and the load of a real bank's open data."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click
from flask.cli import AppGroup

from carbonpoints.core.clock import clock_at
from carbonpoints.core.db import settings
from carbonpoints.samples.bank_1993 import RUNS, Loaded, load_1993, missing_files
from carbonpoints.samples.bank_day import write_day
from carbonpoints.samples.bank_statements import write_statements

BOOKED_AT = datetime.fromisoformat("2026-06-30T12:00:00+02:00")
"""The instant at which the load of 1993 is booked, unless another is given: the same tables every time."""

COUNT = r"""tr -d '\r"' < trans.csv | awk -F';' '
  NR > 1 { lines++
    if ($4 == "VYDAJ" && $5 == "PREVOD NA UCET") { transfers++; accounts[$2]; if ($8 == "UVER") loans++ }
    else filtered++ }
  END { print lines, filtered, transfers, loans, length(accounts) }'"""
MATCH = r"""{ tr -d '\r"' < order.csv; echo TRANS; tr -d '\r"' < trans.csv; } | awk -F';' '
  /^TRANS$/ { in_trans = 1; next }
  !in_trans { orders[$2, $3, $4, $5]; next }
  $4 == "VYDAJ" && $5 == "PREVOD NA UCET" && ($2, $9, $10, $6) in orders { matching++
    if ($8 != "UVER") other_than_loans++ }
  END { print matching, other_than_loans }'"""

sample_cli = AppGroup("sample", help="Made-up files, and a real bank's open data.")


@sample_cli.command("day")
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def write_sample_day(*, day: datetime, file: Path) -> None:
    """Write the sample bank's FILE for one DAY, which the profile sample_bank_day reads."""
    write_day(file, date(day.year, day.month, day.day))


@sample_cli.command("statements")
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def write_sample_statements(*, day: datetime, file: Path) -> None:
    """Write the sample bank's statements of one DAY to FILE, which the profile camt053_statements reads."""
    write_statements(file, date(day.year, day.month, day.day))


@sample_cli.command("bank-1993")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def load_bank_1993(*, folder: Path) -> None:
    """Load the transactions of 1993 in FOLDER under both rules, and print what became of every line.

    FOLDER holds trans.csv, order.csv and disp.csv of the PKDD'99 Discovery Challenge. Not in production.
    """
    missing = missing_files(folder)
    if missing:
        raise click.ClickException(f"{folder} lacks {', '.join(missing)}")
    if settings().is_production:
        raise click.ClickException("this is a demonstration and has no place in production")
    with clock_at(BOOKED_AT):
        for run in RUNS:
            click.echo(report(load_1993(folder, run)))
    click.echo("Count the same without this product, in the folder of the files:\n")
    click.echo(f"{COUNT}\n\n{MATCH}")


def report(loaded: Loaded) -> str:
    """Return the table of one load, as Markdown: every line of the file in exactly one row."""
    progress = loaded.progress
    rows = sorted(progress.dispositions.items(), key=lambda item: (-item[1], item[0]))
    lines = [
        f"## {loaded.run.title}",
        "",
        f"{loaded.holders:,} holders of {loaded.bank_accounts:,} bank accounts; the job is {progress.state}.",
        "",
        "| what became of it | lines |",
        "|---|---:|",
        *(f"| {disposition.replace(':', ': ')} | {count:,} |" for disposition, count in rows),
        f"| **in all** | **{sum(progress.dispositions.values()):,}** |",
        "",
    ]
    return "\n".join(lines)
