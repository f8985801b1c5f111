"""`flask catalogue`: take definitions over from YAML files and workbooks, and show what a programme holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from carbonpoints.approvals.changes import Change
from carbonpoints.approvals.services import ImportOutcome
from carbonpoints.approvals.versions import StoredVersion, VersionKind
from carbonpoints.core.db import reading
from carbonpoints.core.errors import CarbonpointsError
from carbonpoints.rules import services
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.submissions import read_files, read_shipped_files
from carbonpoints.rules.workbook_services import draft_workbook, write_factors, write_samples
from carbonpoints.rules.workbooks import CellFinding

Row = tuple[StoredVersion, datetime | None, datetime | None]
"""A version, and from when until when it holds, in the programme's zone."""

KINDS = [kind.value for kind in VersionKind if kind is not VersionKind.PROPOSAL]

catalogue_cli = AppGroup("catalogue", help="Factors, behaviour types and rules of a programme.")

bank_option = click.option("--bank", help="Code of the bank, where there are several.")
programme_option = click.option("--programme", help="Code of the programme, where there are several.")


@catalogue_cli.command("import")
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--shipped", is_flag=True, help="Take what comes with the product instead of PATH.")
@click.option("--maker", "maker_person", required=True, help="The person who proposes it.")
@click.option("--checker", "checker_person", help="The person who confirms a first import (--shipped).")
@click.option("--reason", default="Imported from files.", show_default=True)
@bank_option
@programme_option
def import_definitions(
    *,
    path: Path | None,
    shipped: bool,
    maker_person: str,
    checker_person: str | None,
    reason: str,
    bank: str | None,
    programme: str | None,
) -> None:
    """Check YAML files and take them over: a draft of whatever differs, with its differences.

    With --shipped, what the programme never had is in force at once, answered for by maker and checker.
    """
    if shipped == (path is not None):
        raise click.UsageError("Give either PATH or --shipped.")
    if shipped != (checker_person is not None):
        raise click.UsageError(
            "--checker goes with --shipped: a draft is confirmed later, by another person."
        )
    with own_words("nothing was stored\n"):
        programme_id = services.find_programme(bank=bank, programme=programme).programme_id
        if path is None:
            outcome = services.import_shipped(
                programme_id=programme_id,
                submission=read_shipped_files(),
                maker_person=maker_person,
                checker_person=checker_person or "",
            )
        else:
            outcome = services.draft_definitions(
                programme_id=programme_id,
                submission=read_files([path]),
                maker_person=maker_person,
                reason=reason,
            )
    _print_outcome(outcome)


@catalogue_cli.command("write-factors")
@click.argument("file", metavar="FILE.xlsx", type=click.Path(dir_okay=False, path_type=Path))
@bank_option
@programme_option
def write_factor_workbook(*, file: Path, bank: str | None, programme: str | None) -> None:
    """Write a workbook of the factors, a row for each current version."""
    _write(file, write_factors, bank, programme)


@catalogue_cli.command("write-samples")
@click.argument("code")
@click.argument("file", metavar="FILE.xlsx", type=click.Path(dir_okay=False, path_type=Path))
@bank_option
@programme_option
def write_sample_workbook(*, code: str, file: Path, bank: str | None, programme: str | None) -> None:
    """Write a workbook of the sample cases of the rule CODE."""
    _write(file, lambda session, programme_id: write_samples(session, programme_id, code), bank, programme)


@catalogue_cli.command("read-workbook")
@click.argument("file", metavar="FILE.xlsx", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--maker", "maker_person", required=True, help="The person who proposes it.")
@click.option("--reason", default="Read from a workbook.", show_default=True)
@bank_option
@programme_option
def import_workbook(
    *, file: Path, maker_person: str, reason: str, bank: str | None, programme: str | None
) -> None:
    """Check a workbook that was written here and changed, and make a draft of whatever differs.

    What is to be said of it is printed with sheet and cell; an error ends with 1, and nothing is stored.
    """
    with own_words():
        draft = draft_workbook(
            programme_id=services.find_programme(bank=bank, programme=programme).programme_id,
            content=file.read_bytes(),
            maker_person=maker_person,
            reason=reason,
        )
    _print_findings(draft.findings)
    if draft.outcome is None:
        click.echo("nothing was stored")
        sys.exit(1)
    _print_draft(draft.outcome)


@catalogue_cli.command("list")
@click.argument("kind", type=click.Choice(KINDS))
@bank_option
@programme_option
def list_versions(kind: str, bank: str | None, programme: str | None) -> None:
    """List what is in force, ahead and behind: code, version, from, to."""
    for version, *bounds in _versions(VersionKind(kind), bank, programme):
        start, end = (str(bound.date()) if bound else "" for bound in bounds)
        click.echo(f"{version.code:<32} {version.version_no:>4}  {start:<10}  {end:<10}".rstrip())


@catalogue_cli.command("show")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("code")
@bank_option
@programme_option
def show_versions(kind: str, code: str, bank: str | None, programme: str | None) -> None:
    """Show the current versions of one code with their content."""
    found = [row for row in _versions(VersionKind(kind), bank, programme) if row[0].code == code]
    if not found:
        raise click.ClickException(f"there is no {kind} {code}")
    for version, *bounds in found:
        start, end = (bound.isoformat() if bound else "no bound" for bound in bounds)
        click.echo(f"{kind} {code}, version {version.version_no}: valid from {start} to {end}")
        click.echo(json.dumps(version.content, ensure_ascii=False, indent=2))


def _versions(kind: VersionKind, bank: str | None, programme: str | None) -> list[Row]:
    with own_words():
        named = services.find_programme(bank=bank, programme=programme)
    found = services.list_current(programme_id=named.programme_id, kind=kind)
    return [
        (version, _local(version.valid_from, named.zone), _local(version.valid_to, named.zone))
        for version in found
    ]


def _local(instant: datetime | None, zone: tzinfo) -> datetime | None:
    return instant.astimezone(zone) if instant else None


@contextmanager
def own_words(heading: str = "") -> Iterator[None]:
    """End a command with the error's own sentences where the caller is at fault; wrong files under a heading."""
    try:
        yield
    except DefinitionError as error:
        raise click.ClickException(f"{heading}{error}") from None
    except CarbonpointsError as error:
        lines = [str(error) % error.params if error.params else str(error)]
        lines += [str(field) for field in error.fields]
        raise click.ClickException("\n".join(lines)) from None


def _write(
    file: Path, written: Callable[[Session, int], bytes], bank: str | None, programme: str | None
) -> None:
    with own_words():
        programme_id = services.find_programme(bank=bank, programme=programme).programme_id
        with reading() as session:
            content = written(session, programme_id)
    file.write_bytes(content)


def _print_findings(findings: Sequence[CellFinding]) -> None:
    for each in findings:
        place, finding = "!".join(filter(None, (each.sheet, each.cell))), each.finding
        words = (place, f"{finding.severity} {finding.code}", finding.field, finding.sentence)
        click.echo(": ".join(filter(None, words)))


def _print_outcome(outcome: ImportOutcome) -> None:
    click.echo(f"{outcome.unchanged} unchanged, {len(outcome.activated)} new and in force")
    if outcome.draft_id is not None:
        _print_draft(outcome)


def _print_draft(outcome: ImportOutcome) -> None:
    if outcome.draft_id is None:
        click.echo("nothing differs from what is in force")
        return
    click.echo(f"{len(outcome.changes)} changed: draft {outcome.draft_id} waits for another person")
    for change in outcome.changes:
        _print_change(change)


def _print_change(change: Change) -> None:
    click.echo(f"  {change.proposed.kind} {change.proposed.code}")
    for item in change.fields:
        before, after = (json.dumps(side, ensure_ascii=False) for side in (item.before, item.after))
        click.echo(f"    {item.field}: {before} -> {after}")
