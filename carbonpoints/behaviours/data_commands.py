"""`flask data`: what a holder may ask of the data about them."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from carbonpoints.behaviours import retention
from carbonpoints.core.errors import NotFound
from carbonpoints.core.ids import parse_account_id

data_cli = AppGroup("data", help="What a holder may ask of the data about them.")


@data_cli.command("erase-payloads")
@click.argument("account_id")
@click.option("--reason", required=True, help="Why, for the audit: name the request, never the person.")
def erase_payloads(account_id: str, reason: str) -> None:
    """Erase the inputs of all decisions of ACCOUNT_ID (acct_...); what was decided stays and still verifies."""
    try:
        erased = retention.erase_payloads(account_id=parse_account_id(account_id), reason=reason)
    except NotFound:
        raise click.ClickException(f"there is no account {account_id}") from None
    click.echo(f"{erased:,} payloads erased")
