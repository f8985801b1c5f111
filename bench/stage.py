"""What everything is measured on: servers of our own, databases that are copies of one another, children.

Servers, API and workers are started by the very commands of `make demo`, below a directory that is gone
afterwards.
"""

from __future__ import annotations

import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import redis
from flask import Flask
from psycopg import sql

from bench.machine import describe_machine
from carbonpoints.app import create_app
from carbonpoints.core.config import Settings, load_settings
from carbonpoints.core.db import db
from carbonpoints.demo import READY_S, is_ready, make_children
from carbonpoints.embedded import Child, Servers, running_servers

POLL_S = 0.05
RATE_LIMIT_PER_MINUTE = 10_000_000
"""One caller sends all the load: the limiter counts, and never refuses."""


def say(line: str) -> None:
    """Tell whoever waits what is going on."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Database:
    """One database, and the app that works on it in this process."""

    url: str
    """libpq address."""
    environment: Mapping[str, str]
    app: Flask

    @property
    def settings(self) -> Settings:
        """The app's settings."""
        settings: Settings = self.app.config["CARBONPOINTS"]
        return settings


@dataclass(frozen=True)
class Stage:
    """The running servers and the directory that holds everything."""

    directory: Path
    servers: Servers
    environment: Mapping[str, str]

    def describe_machine(self) -> dict[str, str]:
        """Return the machine and the versions of everything that takes part."""
        with psycopg.connect(self._url("postgres")) as connection:
            version = connection.info.parameter_status("server_version") or ""
        with redis.Redis.from_url(self.servers.redis_url) as client:
            valkey = client.info("server")["valkey_version"]
        return describe_machine(postgresql=version, valkey=valkey)

    @contextmanager
    def database(self, name: str, *, template: str) -> Iterator[Database]:
        """Make a database as a copy of `template`, work in it, and remove it.

        Everything that was written before is on the disk when the block begins.
        """
        self.create_database(name, template=template)
        self.checkpoint()
        try:
            with self.opened(name) as database:
                yield database
        finally:
            self.administer("DROP DATABASE {name} WITH (FORCE)", name=name)

    @contextmanager
    def opened(self, name: str) -> Iterator[Database]:
        """Work in a database that is there and stays."""
        environment = {**self.environment, "DATABASE_URL": self.servers.postgresql.url(name)}
        app = create_app(load_settings(environment))
        try:
            yield Database(self._url(name), environment, app)
        finally:
            with app.app_context():
                db.session.remove()
                db.engine.dispose()

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Make a database as a copy of `template`, by default an empty one."""
        self.administer("CREATE DATABASE {name} TEMPLATE {template}", name=name, template=template)

    def checkpoint(self) -> None:
        """Have PostgreSQL write what waits in memory, so that nobody else's work is measured."""
        self.administer("CHECKPOINT")

    def administer(self, statement: str, **names: str) -> None:
        """Run a statement outside any transaction; `names` fill its identifiers."""
        identifiers = {key: sql.Identifier(name) for key, name in names.items()}
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(**identifiers))

    def _url(self, name: str) -> str:
        return self.servers.postgresql.url(name).replace("postgresql+psycopg://", "postgresql://")

    def _children(self, database: Database, port: int) -> tuple[Child, Child]:
        """Return API and worker, not yet started; the beat only repeats what nudges have said."""
        api, worker, _ = (
            Child(
                replace(child.program, log=self.directory / "log" / child.program.log.name),
                self.directory / "run",
            )
            for child in make_children(database.environment, port)
        )
        return api, worker

    @contextmanager
    def workers(self, database: Database) -> Iterator[Child]:
        """Run the Celery worker with its two processes; it takes tasks when the block begins."""
        with redis.Redis.from_url(self.servers.redis_url) as client:
            client.flushall()  # What was asked of earlier workers.
        _, worker = self._children(database, 0)
        worker.start()
        try:
            deadline = time.monotonic() + READY_S
            while not database.app.extensions["celery"].control.ping(timeout=0.5):
                if time.monotonic() > deadline or not worker.is_running():
                    raise worker.failure()
            yield worker
        finally:
            worker.stop()

    @contextmanager
    def api(self, database: Database) -> Iterator[int]:
        """Run the API and yield its port; it is ready when the block begins."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        api, _ = self._children(database, port)
        api.start()
        try:
            deadline = time.monotonic() + READY_S
            while not is_ready(port):
                if time.monotonic() > deadline or not api.is_running():
                    raise api.failure()
                time.sleep(POLL_S)
            yield port
        finally:
            api.stop()


@contextmanager
def set_stage() -> Iterator[Stage]:
    """Start the servers, with every write as safe as in production, and remove everything at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="carbonpoints-bench-") as name,
        running_servers(Path(name), durable=True) as servers,
    ):
        directory = Path(name)
        environment = {
            "CARBONPOINTS_ENV": "demo",
            "CARBONPOINTS_IDENTITY_KEY": secrets.token_urlsafe(48),
            "CARBONPOINTS_JWT_HS256_SECRET": secrets.token_urlsafe(48),
            "CARBONPOINTS_SPOOL_DIR": str(directory / "spool"),
            "CARBONPOINTS_RATE_LIMIT_PER_MINUTE": str(RATE_LIMIT_PER_MINUTE),
            "REDIS_URL": servers.redis_url,
        }
        yield Stage(directory, servers, environment)
