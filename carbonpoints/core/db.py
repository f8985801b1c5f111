"""The database: one session, one `transaction()`, and the only commit in the code.

Every use case opens `transaction()` once, in its service. Locks wait `lock_timeout_ms` at the most and then
become `Busy`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, MetaData, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction
from sqlalchemy.pool import ConnectionPoolEntry

from carbonpoints.core.config import Settings
from carbonpoints.core.copying import blocks_of
from carbonpoints.core.errors import Busy

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Model(DeclarativeBase):
    """Base of every table. `__table_args__` names its distribution with `distributed_by()`."""

    metadata = MetaData(naming_convention=NAMING)


db = SQLAlchemy(model_class=Model, session_options={"autoflush": False, "expire_on_commit": False})

RESTED_S = 1.0
"""A connection that was last used longer ago is asked whether it still stands. Each transaction takes one from the
pool: to ask every time costs a round trip more for a connection that has just answered."""

_OPEN = "carbonpoints_transaction_open"
_RESTS_SINCE = "carbonpoints_rests_since"
_RAW = "carbonpoints_raw_connection"


def distributed_by(kind: str) -> dict[str, Any]:
    """Table argument that says how the table is distributed (M8): `account`, `identity` or `reference`."""
    if kind not in {"account", "identity", "reference"}:
        raise ValueError(kind)
    return {"info": {"distribution": kind}}


def engine_options(settings: Settings) -> dict[str, Any]:
    """Options of the engine: UTC, timeouts on the server's side, a pool as large as the threads."""
    timeouts = (
        f"-c lock_timeout={settings.lock_timeout_ms} -c statement_timeout={settings.statement_timeout_ms}"
    )
    return {
        "pool_size": settings.database_pool_size,
        "max_overflow": 0,
        "connect_args": {"options": f"-c timezone=UTC {timeouts}", "application_name": "carbonpoints"},
    }


def init_database(app: Flask, settings: Settings) -> None:
    """Bind the session to the app's database."""
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings)
    db.init_app(app)
    with app.app_context():
        _ask_rested_connections(db.engine)


def _ask_rested_connections(engine: Engine) -> None:
    def note(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info[_RESTS_SINCE] = time.monotonic()

    def ask(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        since = record.info.get(_RESTS_SINCE)
        if since is not None and time.monotonic() - since >= RESTED_S:
            try:
                engine.dialect.do_ping(connection)
            except psycopg.OperationalError as error:
                raise InvalidatePoolError from error  # All of them were made before it ended: make new ones.

    event.listen(engine, "checkin", note)
    event.listen(engine, "checkout", ask)


@contextmanager
def transaction() -> Iterator[Session]:
    """Run one use case: commit at the end, roll back on any error.

    Raises RuntimeError when one is already open (a service called another service), and Busy when a lock
    was not granted in time or two transactions waited for each other.
    """
    session: Session = db.session()
    if session.info.get(_OPEN):
        raise RuntimeError("a transaction is already open: a service must not call another service")
    session.info[_OPEN] = True
    try:
        yield session
        session.commit()
    except (OperationalError, psycopg.OperationalError) as error:
        session.rollback()
        if is_lock_failure(error):
            raise Busy from error
        raise
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info[_OPEN] = False


@contextmanager
def reading() -> Iterator[Session]:
    """Run a read-only use case and give the connection back; whatever it wrote is rolled back."""
    session: Session = db.session()
    try:
        yield session
    finally:
        if not session.info.get(_OPEN):
            session.rollback()


def is_lock_failure(error: DBAPIError | psycopg.Error) -> bool:
    """Whether the database gave up waiting for a lock (55P03) or broke a deadlock (40P01).

    What runs on `raw_connection` raises psycopg's own errors, everything else SQLAlchemy's around them.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)


def raw_connection(session: Session) -> psycopg.Connection[Any]:
    """Return psycopg's connection inside the session's transaction, for COPY and array parameters.

    SQLAlchemy takes as long to say which connection that is as the server for a small statement: asked once.
    """
    known: tuple[SessionTransaction, psycopg.Connection[Any]] | None = session.info.get(_RAW)
    if known is not None and known[0] is session.get_transaction():
        return known[1]
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)  # noqa: S101 - the only driver we configure
    session.info[_RAW] = (session.get_transaction(), connection)
    return connection


def copy_rows(session: Session, target: str, rows: Sequence[bytes]) -> None:
    """Write rows of a binary COPY into `target`, a table or a table with its columns in brackets."""
    if not rows:
        return
    statement = f"COPY {target} FROM STDIN (FORMAT binary)"
    with raw_connection(session).cursor() as cursor, cursor.copy(statement) as copy:
        for block in blocks_of(rows):
            copy.write(block)


def settings() -> Settings:
    """Return the settings of the running app."""
    value: Settings = current_app.config["CARBONPOINTS"]
    return value
