"""What the demo shows: customers, a day of events, a token for each role, commands to paste."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Flask


@dataclass(frozen=True)
class Welcome:
    """What the newcomer is told."""

    tokens: Mapping[str, str]
    """A ready token by role."""
    curls: Mapping[str, str]
    """A command by what it does; `{base}` in it stands for the address of the API, `http://127.0.0.1:8000`."""


def seed_demo(app: Flask) -> Welcome:
    """Load the demo's data, or find that it is there; called at each start, before API and worker run."""
    with app.app_context():
        return Welcome(tokens={}, curls={})
