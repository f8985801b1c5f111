"""`flask ledger`: prove the books, seal the journal, verify the seal."""

from __future__ import annotations

import re
from datetime import UTC

import click
from flask.cli import AppGroup
from sqlalchemy import text
from sqlalchemy.orm import Session

from carbonpoints.core.db import db, transaction
from carbonpoints.ledger import reconcile
from carbonpoints.ledger import seal as sealing

ledger_cli = AppGroup("ledger", help="Prove, seal and verify the ledger.")
UNLIMITED = text("SET LOCAL statement_timeout = 0")


def _consistent_session() -> Session:
    """One view of everything, however long it takes to read."""
    connection = db.engine.connect().execution_options(isolation_level="REPEATABLE READ")
    session = Session(bind=connection)
    session.execute(UNLIMITED)
    return session


@ledger_cli.command()
def check() -> None:
    """Prove that the books are consistent; exit with 1 on any difference. Repairs nothing."""
    with _consistent_session() as session:
        findings = reconcile.check(session)
        session.connection().close()
    width = max(len(finding.statement) for finding in findings)
    click.echo(f"{'proof':<15} {'what it says':<{width}} {'rows':>12} {'differences':>12}")
    for finding in findings:
        click.echo(
            f"{finding.code:<15} {finding.statement:<{width}} "
            f"{finding.rows_examined:>12,} {finding.differences:>12,}"
        )
        for sample in finding.samples:
            click.echo(f"    {sample}")
    if any(finding.differences for finding in findings):
        raise SystemExit(1)


@ledger_cli.command()
def seal() -> None:
    """Seal every decision and entry that is not sealed yet and print the root, to be kept elsewhere."""
    with transaction() as session:
        session.execute(UNLIMITED)
        sealed = sealing.seal(session)
    if sealed is None:
        click.echo("Nothing to seal.")
        return
    click.echo(
        f"Sealed batch {sealed.seal_batch_id}: {sealed.row_count:,} rows in {sealed.range_count:,} ranges.\n"
        f"Root {sealed.root.hex()}"
    )


def _roots(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[bytes, ...]:
    """Read roots as `seal` prints them; one that lost a character is a mistake and no finding."""
    if any(re.fullmatch("[0-9a-fA-F]{64}", value) is None for value in values):
        raise click.BadParameter("a root has 64 hexadecimal digits")
    return tuple(bytes.fromhex(value) for value in values)


@ledger_cli.command("verify-seal")
@click.option(
    "roots",
    "--root",
    multiple=True,
    metavar="HEX",
    callback=_roots,
    help="A root that was filed elsewhere: a batch must have it. Give all of them, the newest above all.",
)
def verify_seal(roots: tuple[bytes, ...]) -> None:
    """Compare the journal with its seals, and the seals with filed roots; exit with 1 on any difference."""
    with _consistent_session() as session:
        verification = sealing.verify(session, roots)
        session.connection().close()
    found = verification.roots
    click.echo(f"{len(found):,} batches, {verification.rows_examined:,} rows examined.")
    if verification.not_sealed_since is not None:
        since = verification.not_sealed_since.astimezone(UTC).isoformat()
        click.echo(f"{verification.rows_not_sealed:,} rows are not sealed, the first booked at {since}.")
    for root in roots:
        if root in found:
            after = len(found) - 1 - found.index(root)
            click.echo(f"The root {root.hex()} was filed; batches after it: {after:,}.")
    for difference in verification.differences:
        click.echo(f"    {difference}")
    if verification.differences:
        raise SystemExit(1)
    click.echo(f"Intact. Root {found[-1].hex()}" if found else "Nothing is sealed.")
