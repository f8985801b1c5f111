"""`flask catalogue`: take definitions over from YAML files, and show what a programme holds."""

from __future__ import annotations

import json
from datetime import datetime, tzinfo
from pathlib import Path

import click
from flask.cli import AppGroup

from carbonpoints.approvals.changes import Change
from carbonpoints.approvals.services import ImportOutcome
from carbonpoints.approvals.versions import StoredVersion, VersionKind
from carbonpoints.core.errors import CarbonpointsError
from carbonpoints.rules import services
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.submissions import read_files, read_shipped_files

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
    try:
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
    except DefinitionError as error:
        raise click.ClickException(f"nothing was stored\n{error}") from None
    except CarbonpointsError as error:
        raise _refused(error) from None
    _print_outcome(outcome)


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
    try:
        named = services.find_programme(bank=bank, programme=programme)
    except CarbonpointsError as error:
        raise _refused(error) from None
    found = services.list_current(programme_id=named.programme_id, kind=kind)
    return [
        (version, _local(version.valid_from, named.zone), _local(version.valid_to, named.zone))
        for version in found
    ]


def _local(instant: datetime | None, zone: tzinfo) -> datetime | None:
    return instant.astimezone(zone) if instant else None


def _refused(error: CarbonpointsError) -> click.ClickException:
    detail = error.detail % error.params if error.detail else ""
    return click.ClickException(" ".join(filter(None, (error.title, detail))))


def _print_outcome(outcome: ImportOutcome) -> None:
    click.echo(f"{outcome.unchanged} unchanged, {len(outcome.activated)} new and in force")
    if outcome.draft_id is None:
        return
    click.echo(f"{len(outcome.changes)} changed: draft {outcome.draft_id} waits for another person")
    for change in outcome.changes:
        _print_change(change)


def _print_change(change: Change) -> None:
    click.echo(f"  {change.proposed.kind} {change.proposed.code}")
    for item in change.fields:
        before, after = (json.dumps(side, ensure_ascii=False) for side in (item.before, item.after))
        click.echo(f"    {item.field}: {before} -> {after}")
