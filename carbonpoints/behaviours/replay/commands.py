"""`flask rules backtest` and `flask award replay`: the past, asked from the command line."""

from __future__ import annotations

import json
import sys
import time
import uuid
from datetime import datetime
from pathlib import Path

import click
from flask.cli import AppGroup

from carbonpoints.behaviours.delivering import EVENT_PREFIX
from carbonpoints.behaviours.replay import reexecution, runs, services
from carbonpoints.behaviours.replay.history import Period
from carbonpoints.behaviours.replay.reexecution import Result
from carbonpoints.behaviours.replay.services import BacktestProgress
from carbonpoints.core.ids import parse_numbered_id
from carbonpoints.rules.commands import own_words
from carbonpoints.rules.services import find_programme
from carbonpoints.rules.submissions import read_files

LOOK_S = 0.5
"""How often the run's row is looked at."""
DAY = click.DateTime(["%Y-%m-%d"])

rules_cli = AppGroup("rules", help="What rules would do.")
award_cli = AppGroup("award", help="What was decided, and whether it still comes out the same.")


@rules_cli.command("backtest")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--from", "first_day", type=DAY, required=True, help="First local date.")
@click.option("--to", "last_day", type=DAY, required=True, help="Last local date.")
@click.option("--inline", is_flag=True, help="Do the work here instead of leaving it to the workers.")
@click.option("--bank", help="Code of the bank, where there are several.")
@click.option("--programme", help="Code of the programme, where there are several.")
def backtest(
    *,
    file: Path,
    first_day: datetime,
    last_day: datetime,
    inline: bool,
    bank: str | None,
    programme: str | None,
) -> None:
    """Replay a past period through the definitions in FILE, as if they had been in force, and print the report.

    It changes nothing. Stopping the command stops nothing else: the workers go on.
    """
    if last_day < first_day:
        raise click.BadParameter("lies before --from", param_hint="--to")
    with own_words():
        run_id = services.request_backtest(
            programme_id=find_programme(bank=bank, programme=programme).programme_id,
            submission=read_files([file]),
            period=Period(first_day.date(), last_day.date()),
        )
        click.echo(f"back-test {run_id}", err=True)
        progress = _follow(run_id, inline=inline)
    if progress.report is None:
        click.echo(progress.state)
        sys.exit(1)
    click.echo(json.dumps(progress.report, ensure_ascii=False, indent=2))


def _follow(run_id: uuid.UUID, *, inline: bool) -> BacktestProgress:
    """Show a bar of partitions until the run is finished."""
    progress = services.read_backtest(run_id=run_id)
    with click.progressbar(length=progress.partitions, label="replaying", width=40, file=sys.stderr) as bar:
        while not progress.is_finished:
            if not (inline and runs.continue_next_run()):
                time.sleep(LOOK_S)
            progress = services.read_backtest(run_id=run_id)
            bar.update(progress.partitions_done - bar.pos)
    return progress


@award_cli.command("replay")
@click.argument("event_id")
def replay(*, event_id: str) -> None:
    """Run the decision on EVENT_ID (evt_...) again and compare to the last digit; ends with 1 where it differs."""
    with own_words():
        number = parse_numbered_id(event_id, EVENT_PREFIX)
        found = reexecution.reexecute(account_id=number.account_id, account_seq=number.account_seq)
    click.echo(found.result.value)
    click.echo(f"recorded {json.dumps(found.recorded, ensure_ascii=False, sort_keys=True)}")
    if found.replayed is not None:
        click.echo(f"replayed {json.dumps(found.replayed, ensure_ascii=False, sort_keys=True)}")
    if found.result is Result.DIFFERS:
        sys.exit(1)
