"""Run migrations: one at a time, in one transaction, giving up rather than holding up the bank."""

from importlib import import_module
from pathlib import Path

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text

import carbonpoints

LOCK_TIMEOUT_S = 5
"""A migration that waits for a lock makes everybody behind it wait as well."""
STATEMENT_TIMEOUT_S = 600
ONE_AT_A_TIME = 0x636172626F6E
"""Key of the advisory lock that makes a second `flask db upgrade` wait for the first."""

# Some tables are only ever spoken to in SQL, so the app alone does not make all models known.
for file in Path(carbonpoints.__path__[0]).glob("*/models.py"):
    import_module(f"carbonpoints.{file.parent.name}.models")

migrate = current_app.extensions["migrate"]


def run_online(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=migrate.db.metadata, **migrate.configure_args)
    with context.begin_transaction():
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
        connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_S}s'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})"))
        context.run_migrations()


def write_sql() -> None:
    """`flask db upgrade --sql`: the statements for a database administrator who runs them by hand."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=migrate.db.metadata,
        literal_binds=True,
        **migrate.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    write_sql()
else:
    with migrate.db.engine.connect() as connection:
        run_online(connection)
