"""The `flask` commands: each domain's group, registered in one place."""

from __future__ import annotations

from click import Group
from flask import Flask

from carbonpoints.behaviours.data_commands import data_cli
from carbonpoints.behaviours.feed_commands import feed_cli
from carbonpoints.behaviours.replay.commands import award_cli, rules_cli
from carbonpoints.core.openapi import openapi_cli
from carbonpoints.core.translations import translations_cli
from carbonpoints.ledger.commands import ledger_cli
from carbonpoints.rules.commands import catalogue_cli
from carbonpoints.samples.commands import sample_cli

GROUPS: tuple[Group, ...] = (
    openapi_cli,
    translations_cli,
    catalogue_cli,
    rules_cli,
    feed_cli,
    award_cli,
    data_cli,
    ledger_cli,
    sample_cli,
)


def register_commands(app: Flask) -> None:
    """Add every group to the app's command line."""
    for group in GROUPS:
        app.cli.add_command(group)
