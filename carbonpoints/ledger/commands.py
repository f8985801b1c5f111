"""`flask ledger`: prove the books, seal the journal, verify the seal."""

from __future__ import annotations

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


@ledger_cli.command("verify-seal")
@click.option("--root", metavar="HEX", help="A root that was kept elsewhere: it must be the last batch's.")
def verify_seal(root: str | None) -> None:
    """Compare the journal with its seals; exit with 1 on any difference."""
    with _consistent_session() as session:
        verification = sealing.verify(session)
        session.connection().close()
    differences = list(verification.differences)
    if root is not None and root.lower() != verification.root.hex():
        differences.append(f"the last root is {verification.root.hex()}, not the one given")
    click.echo(f"{verification.batches:,} batches, {verification.rows_examined:,} rows examined.")
    for difference in differences:
        click.echo(f"    {difference}")
    if differences:
        raise SystemExit(1)
    click.echo(f"Intact. Root {verification.root.hex()}")
