"""`flask feed`: take a bank's file in from the command line, and follow it."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import click
from flask.cli import AppGroup

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.requirements import Result
from carbonpoints.behaviours import feed_services
from carbonpoints.behaviours.dispositions import FILTERED, REFUSED
from carbonpoints.behaviours.feed_services import Feed, JobProgress
from carbonpoints.behaviours.profiles import ProfileDefinition, parse_profile, shipped_profiles
from carbonpoints.behaviours.trial_load import TrialLoad
from carbonpoints.behaviours.trial_services import load_without_trace
from carbonpoints.core.db import reading
from carbonpoints.core.shared_clock import fix_shared_clock
from carbonpoints.rules.commands import own_words
from carbonpoints.rules.services import find_programme

LOOK_S = 0.5
"""How often the job's row is looked at."""

feed_cli = AppGroup("feed", help="Files of behaviour from banks and other sources.")

bank_option = click.option("--bank", help="Code of the bank, where there are several.")
programme_option = click.option("--programme", help="Code of the programme, where there are several.")


@feed_cli.command("load")
@click.argument("profile")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--table", "tables", multiple=True, metavar="NAME=FILE", help="A lookup table of the profile.")
@click.option("--inline", is_flag=True, help="Do the work here instead of leaving it to the workers.")
@click.option(
    "--business-date",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Fix the clock of all processes at noon of this date meanwhile; not in production.",
)
@bank_option
@programme_option
def load_file(
    *,
    profile: str,
    file: Path,
    tables: tuple[str, ...],
    inline: bool,
    business_date: datetime | None,
    bank: str | None,
    programme: str | None,
) -> None:
    """Load FILE as the feed PROFILE says, and wait until all of it is credited.

    Stopping the command stops nothing else: the workers go on with the file.
    """
    with own_words(), ExitStack() as stack:
        programme_id = find_programme(bank=bank, programme=programme).programme_id
        if business_date is not None:
            stack.enter_context(_business_date(programme_id, business_date))
        feed = feed_services.find_feed(programme_id=programme_id, profile_code=profile)
        job_id = _receive(feed, file, _table_paths(tables))
        click.echo(f"job {job_id}")
        progress = _follow(job_id, inline=inline)
    _print_progress(progress)
    if progress.state != "done":
        sys.exit(1)


@feed_cli.command("status")
@click.argument("job_id", type=click.UUID)
def show_status(*, job_id: uuid.UUID) -> None:
    """Show how far a file has come and what became of its lines."""
    with own_words():
        _print_progress(feed_services.read_progress(job_id=job_id))


@feed_cli.command("refused")
@click.argument("job_id", type=click.UUID)
def show_refused(*, job_id: uuid.UUID) -> None:
    """List the refused lines of a file, by number in the file, each with its reason."""
    with own_words():
        feed_services.read_progress(job_id=job_id)
        after = 0
        while rows := feed_services.read_refused(job_id=job_id, after=after):
            for row in rows:
                click.echo("\t".join((str(row.line_no), row.field, row.code, row.detail)))
            after = rows[-1].line_no


@feed_cli.command("trial")
@click.argument(
    "profile_file", metavar="PROFILE.yaml", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--table", "tables", multiple=True, metavar="NAME=FILE", help="A lookup table of the profile.")
@bank_option
@programme_option
def try_file(
    *, profile_file: Path, file: Path, tables: tuple[str, ...], bank: str | None, programme: str | None
) -> None:
    """Say what PROFILE.yaml makes of FILE, or of its beginning; nothing is credited, and nothing kept."""
    with own_words(), ExitStack() as stack:
        profile = _read_profile(profile_file)
        trial = load_without_trace(
            programme_id=find_programme(bank=bank, programme=programme).programme_id,
            profile=profile,
            file=stack.enter_context(file.open("rb")),
            tables=_opened(stack, _table_paths(tables)),
        )
    click.echo(f"{profile.code} {file.name}: {trial.result}")
    _print_trial(trial)
    if trial.result is Result.FAILED:
        sys.exit(1)


@feed_cli.command("import-profiles")
@click.argument("codes", nargs=-1, required=True)
@click.option("--maker", "maker_person", required=True, help="The person who proposes them.")
@click.option("--checker", "checker_person", required=True, help="The person who confirms a first import.")
@bank_option
@programme_option
def import_profiles(
    *, codes: tuple[str, ...], maker_person: str, checker_person: str, bank: str | None, programme: str | None
) -> None:
    """Take over the profiles CODES that come with the product."""
    shipped = {profile.code: profile for profile in shipped_profiles()}
    unknown = [code for code in codes if code not in shipped]
    if unknown:
        raise click.UsageError(f"no such profile: {', '.join(unknown)}; there are {', '.join(shipped)}")
    with own_words():
        outcome = feed_services.import_profiles(
            programme_id=find_programme(bank=bank, programme=programme).programme_id,
            profiles=[shipped[code] for code in codes],
            maker_person=maker_person,
            checker_person=checker_person,
        )
    click.echo(f"in force now: {len(outcome.activated)}; unchanged: {outcome.unchanged}")
    if outcome.draft_id is not None:
        click.echo(f"draft {outcome.draft_id} waits for another person")


def _read_profile(path: Path) -> ProfileDefinition:
    try:
        text = path.read_text("UTF-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from None
    return parse_profile(text, path.name)


@contextmanager
def _business_date(programme_id: int, day: datetime) -> Iterator[None]:
    with reading() as session:
        calendar = programme_settings(session, programme_id).calendar
    try:
        fix_shared_clock(calendar.noon(day.date()))
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    try:
        yield
    finally:
        fix_shared_clock(None)


def _table_paths(tables: tuple[str, ...]) -> dict[str, Path]:
    paths = {}
    for table in tables:
        name, equals, path = table.partition("=")
        if not equals or not Path(path).is_file():
            raise click.BadParameter(f"{table!r} is no NAME=FILE of a file that exists", param_hint="--table")
        paths[name] = Path(path)
    return paths


def _receive(feed: Feed, file: Path, tables: Mapping[str, Path]) -> uuid.UUID:
    with ExitStack() as stack:
        return feed_services.receive_file(
            feed=feed,
            file_name=file.name,
            file=stack.enter_context(file.open("rb")),
            tables=_opened(stack, tables),
        )


def _opened(stack: ExitStack, tables: Mapping[str, Path]) -> dict[str, BinaryIO]:
    return {name: stack.enter_context(path.open("rb")) for name, path in tables.items()}


def _follow(job_id: uuid.UUID, *, inline: bool) -> JobProgress:
    """Show a bar until the job is finished: bytes while it is staged, then events while they are credited."""
    progress = feed_services.read_progress(job_id=job_id)
    for label, state in (("staging", "received"), ("crediting", "staged")):
        length = progress.file_bytes if state == "received" else progress.event_count
        with click.progressbar(length=length, label=f"{label:9}", width=40) as bar:
            while progress.state == state:
                if not (inline and feed_services.continue_next_job()):
                    time.sleep(LOOK_S)
                progress = feed_services.read_progress(job_id=job_id)
                done = progress.staged_bytes if state == "received" else progress.decided_count
                bar.update(done - bar.pos)
    return progress


def _print_trial(trial: TrialLoad) -> None:
    _print_error(asdict(trial.error) if trial.error else None)
    if trial.record_count and not trial.is_whole:
        click.echo(f"only the first {trial.record_count:,} records were tried")
    _print_counts({"events": trial.event_count, FILTERED: trial.filtered_count, REFUSED: trial.refused_count})
    for by in trial.refused_by:
        click.echo(f"{by.count:>12,}  {REFUSED}:{by.field and ' '}{by.field} {by.code}")
    for line in trial.refused:
        click.echo("\t".join((str(line.line_no), line.field, line.code, line.detail)))
    for event in trial.events:
        click.echo(json.dumps(event, ensure_ascii=False))


def _print_progress(progress: JobProgress) -> None:
    click.echo(f"{progress.profile} {progress.file_name}: {progress.state}")
    _print_error(progress.error)
    _print_counts(progress.dispositions)


def _print_error(error: Mapping[str, Any] | None) -> None:
    if error is not None:
        place = f"line {error['line_no']}: " if error["line_no"] else ""
        click.echo(f"{error['code']}: {place}{error['detail']}")


def _print_counts(dispositions: Mapping[str, int]) -> None:
    for disposition, count in sorted(dispositions.items(), key=lambda item: (-item[1], item[0])):
        click.echo(f"{count:>12,}  {disposition}")
    click.echo(f"{sum(dispositions.values()):>12,}  in all")
