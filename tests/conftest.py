"""Fixtures on real servers.

Each process of the test run has a PostgreSQL and a Valkey of its own, or shares those that DATABASE_URL and
REDIS_URL name. The migrations run once, into a template; a database for tests is a copy of it.

- `session` and `client` see one database in which nothing ever lasts: all is rolled back after each test.
- `committed` and `committed_client` have a database for themselves, with real commits, for whatever needs
  several connections: concurrency, the command line, workers, a served API.
"""

from __future__ import annotations

import contextvars
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import flask_migrate
import psycopg
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from psycopg import sql
from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from carbonpoints.app import create_app
from carbonpoints.core.config import Settings, load_settings
from carbonpoints.core.db import db
from carbonpoints.embedded import running_servers

# What a test commits is the release of a savepoint inside the fixture's transaction.
db.session.session_factory.configure(join_transaction_mode="create_savepoint")


EXCHANGE_KEYS = {
    "shenzhen-1": "secret of the tests and Shenzhen, 32 bytes or more",
    "lanzhou-1": "secret of the tests and Lanzhou, 32 bytes or more",
}


@dataclass(frozen=True)
class Addresses:
    """Where the servers of this test process are."""

    database_url: str
    redis_url: str

    def administer(self, statement: str, **names: str) -> None:
        """Run a statement outside any transaction; `names` fill its identifiers."""
        url = make_url(self.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        identifiers = {key: sql.Identifier(name) for key, name in names.items()}
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(**identifiers))

    def database(self, name: str) -> str:
        """Address of the server's database `name`."""
        return make_url(self.database_url).set(database=name).render_as_string(hide_password=False)


def test_environment(addresses: Addresses, database: str, spool_dir: Path) -> dict[str, str]:
    """Environment of an app under test; a process started by a test takes the same."""
    return {
        "CARBONPOINTS_ENV": "testing",
        "DATABASE_URL": addresses.database(database),
        "REDIS_URL": addresses.redis_url,
        "CARBONPOINTS_IDENTITY_KEY": "identity key of the tests, 32 bytes or more",
        "CARBONPOINTS_JWT_HS256_SECRET": "token secret of the tests, 32 bytes or more",
        "CARBONPOINTS_SPOOL_DIR": str(spool_dir),
        "CARBONPOINTS_EXCHANGE_KEYS": json.dumps(EXCHANGE_KEYS),
    }


test_environment.__test__ = False  # type: ignore[attr-defined]


def _redis_database(url: str, worker: str) -> str:
    """Give each xdist worker (`gw0`, `gw1`, ...) a database of its own on a shared server."""
    number = int(worker.removeprefix("gw")) + 1 if worker.startswith("gw") else 1
    return make_url(url).set(database=str(number)).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def worker() -> str:
    """Name of this process among those of pytest-xdist."""
    return os.environ.get("PYTEST_XDIST_WORKER", "alone")


@pytest.fixture(scope="session")
def servers(worker: str) -> Iterator[Addresses]:
    """PostgreSQL and Valkey."""
    if "DATABASE_URL" in os.environ and "REDIS_URL" in os.environ:
        yield Addresses(os.environ["DATABASE_URL"], _redis_database(os.environ["REDIS_URL"], worker))
        return
    with (
        tempfile.TemporaryDirectory(prefix="carbonpoints-tests-") as directory,
        running_servers(Path(directory), durable=False) as running,
    ):
        yield Addresses(running.database_url, running.redis_url)


@pytest.fixture(scope="session")
def template(servers: Addresses, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a database in which all migrations have run."""
    name = f"template_{worker}_{uuid.uuid4().hex[:8]}"
    servers.administer("CREATE DATABASE {name}", name=name)
    migrated = create_app(load_settings(test_environment(servers, name, tmp_path_factory.mktemp("spool"))))
    with migrated.app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    yield name
    servers.administer("DROP DATABASE {name} WITH (FORCE)", name=name)


NewDatabase = Callable[[], AbstractContextManager[dict[str, str]]]


@pytest.fixture(scope="session")
def new_database(servers: Addresses, template: str, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Make a context that gives the environment of an app on a fresh, migrated database."""

    @contextmanager
    def database() -> Iterator[dict[str, str]]:
        name = f"test_{uuid.uuid4().hex}"
        servers.administer("CREATE DATABASE {name} TEMPLATE {template}", name=name, template=template)
        try:
            yield test_environment(servers, name, tmp_path_factory.mktemp("spool"))
        finally:
            servers.administer("DROP DATABASE {name} WITH (FORCE)", name=name)

    return database


@pytest.fixture(scope="session")
def settings(new_database: NewDatabase) -> Iterator[Settings]:
    """Settings of the app whose database forgets each test."""
    with new_database() as environment:
        yield load_settings(environment)


class OutsideClient(FlaskClient):
    """A caller that shares no app context with the test, as no caller does: neither `g` nor the session."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        return contextvars.Context().run(super().open, *args, **kwargs)


def _make_app(settings: Settings) -> Flask:
    made = create_app(settings)
    made.test_client_class = OutsideClient
    return made


@pytest.fixture(scope="session")
def app(settings: Settings) -> Iterator[Flask]:
    """The app on the database that forgets; use `session` or `client` beside it."""
    made = _make_app(settings)
    yield made
    with made.app_context():
        db.engine.dispose()


@pytest.fixture
def forgetting(app: Flask) -> Iterator[None]:
    """Put every session of the app on one connection, inside one transaction that is rolled back."""
    # A test that made an app of its own left its Celery as the one whose tasks are called.
    app.extensions["celery"].set_current()
    with app.app_context():
        engines = cast("dict[str | None, Engine | Connection]", db.engines)
        engine = db.engine
        with engine.connect() as connection:
            outer = connection.begin()
            engines[None] = connection
            try:
                yield
            finally:
                db.session.remove()
                engines[None] = engine
                outer.rollback()


@pytest.fixture
def session(forgetting: None) -> Session:
    """The session that services use, within an app context."""
    current: Session = db.session()
    return current


@pytest.fixture
def empty_redis(servers: Addresses) -> None:
    """Forget what other tests left in Valkey: counters of rate limits, queues."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushdb()


@pytest.fixture
def client(app: Flask, forgetting: None, empty_redis: None) -> FlaskClient:
    """An HTTP caller of the app on the database that forgets."""
    return app.test_client()


@pytest.fixture
def environment(new_database: NewDatabase) -> Iterator[dict[str, str]]:
    """Environment of processes on a database of this test's own."""
    with new_database() as values:
        yield values


@pytest.fixture
def committed(environment: dict[str, str], empty_redis: None) -> Iterator[Flask]:
    """The app on a database of this test's own, where commits are real; no app context is pushed."""
    made = _make_app(load_settings(environment))
    with ExitStack() as stack:
        stack.callback(_dispose, made)
        yield made


@pytest.fixture
def committed_client(committed: Flask) -> FlaskClient:
    """An HTTP caller of the app on the database of this test's own."""
    return committed.test_client()


def _dispose(app: Flask) -> None:
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
