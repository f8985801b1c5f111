"""The composition root: one app from its settings."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import flask_migrate
from flask import Flask

from carbonpoints.accounts.routes import ACCOUNTS
from carbonpoints.approvals.kinds import init_kinds
from carbonpoints.approvals.routes import CHANGES
from carbonpoints.behaviours.appeal_routes import APPEALS
from carbonpoints.behaviours.exchange.agreements import AGREEMENT_KINDS
from carbonpoints.behaviours.exchange.routes import EXCHANGE
from carbonpoints.behaviours.feed_changes import FEED_KINDS
from carbonpoints.behaviours.feed_routes import FEEDS
from carbonpoints.behaviours.replay.routes import REPLAYS
from carbonpoints.behaviours.restating.changes import RESTATEMENT_KINDS
from carbonpoints.behaviours.restating.routes import RESTATEMENTS
from carbonpoints.behaviours.review_routes import REVIEWS
from carbonpoints.behaviours.routes import EVENTS
from carbonpoints.behaviours.simulation_routes import SIMULATION
from carbonpoints.behaviours.trial_routes import TRIALS
from carbonpoints.cli import register_commands
from carbonpoints.core.auth import init_auth
from carbonpoints.core.broker import init_broker
from carbonpoints.core.config import Settings, load_settings
from carbonpoints.core.db import db, init_database
from carbonpoints.core.http import Registration, init_authorisation, init_http, register
from carbonpoints.core.limits import init_limits
from carbonpoints.core.logging import init_logging
from carbonpoints.core.openapi import configure_openapi
from carbonpoints.core.problems import init_problems
from carbonpoints.core.routes import DESCRIPTION, HEALTH, TEST_CLOCK
from carbonpoints.core.shared_clock import init_shared_clock
from carbonpoints.rules.budget_routes import BUDGETS
from carbonpoints.rules.changes import CATALOGUE_KINDS
from carbonpoints.rules.routes import CATALOGUE
from carbonpoints.rules.workbook_routes import WORKBOOKS

VERSION = "0.1.0"
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


COLLECT_AFTER = 50_000
"""So many more objects made than gone start a look for cycles. A batch makes about as many and leaves few cycles; with
Python's own 700 it was interrupted seventy times, for a third of its time."""


def registrations(settings: Settings) -> Iterator[Registration]:
    """Every blueprint of the app, with the scope that each of its functions needs."""
    yield ACCOUNTS
    yield CATALOGUE
    yield CHANGES
    yield WORKBOOKS
    yield BUDGETS
    yield FEEDS
    yield TRIALS
    yield EVENTS
    yield SIMULATION
    yield APPEALS
    yield REVIEWS
    yield REPLAYS
    yield RESTATEMENTS
    yield EXCHANGE
    yield HEALTH
    yield DESCRIPTION
    if not settings.is_production:
        yield TEST_CLOCK


def create_app(settings: Settings | None = None) -> Flask:
    """Return the app; `settings` default to the environment's. ConfigError when they do not hold."""
    settings = settings or load_settings()
    app = Flask("carbonpoints")
    app.config["CARBONPOINTS"] = settings
    init_logging(app)
    init_problems(app)
    init_database(app, settings)
    init_broker(app, settings)
    init_kinds(app, [CATALOGUE_KINDS, FEED_KINDS, AGREEMENT_KINDS, RESTATEMENT_KINDS])
    flask_migrate.Migrate(app, db, directory=str(MIGRATIONS), render_as_batch=False)
    configure_openapi(app, VERSION)
    api = init_http(app, settings)
    app.extensions["carbonpoints_api"] = api
    init_auth(app, settings)
    init_limits(app, settings, unlimited=frozenset({"static", "health.live", "health.ready"}))
    init_authorisation(app)
    if not settings.is_production:
        init_shared_clock(app)
    for registration in registrations(settings):
        register(app, api, registration)
    register_commands(app)
    return app


def create_served_app() -> Flask:
    """Return the app for a process that serves it, and tell the process's collector of cycles to step back."""
    app = create_app()
    gc.collect()
    gc.freeze()  # What is there for good need not be looked at again.
    gc.set_threshold(COLLECT_AFTER, 20, 20)
    return app
