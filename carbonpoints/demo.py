"""The first run, `make demo`: local servers, demo data, API, worker and beat, kept alive until Ctrl-C.

Everything it writes is below `.local/`. Whatever it cannot do, it says in one line and ends with 1.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import secrets
import shlex
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NoReturn

import flask_migrate
import redis
from flask import Flask
from sqlalchemy.exc import OperationalError

from carbonpoints.app import create_app
from carbonpoints.core.config import ConfigError, load_settings
from carbonpoints.core.db import db
from carbonpoints.demo_data import Welcome, seed_demo
from carbonpoints.embedded import Child, EmbeddedError, Program, Servers, servers_in, sole_user
from carbonpoints.embedded.process import end_leftover, write_trace
from carbonpoints.embedded.supervisor import Supervisor

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
PID_FILE = LOCAL / "run" / "demo.pid"
HOST = "127.0.0.1"
READY_PATH = "/health/ready"
READY_S = 90.0
PING_S = 5.0
WATCH_S = 0.2
STOP_S = 60.0
API_ENDS_MAX = 3
"""The API ended this often before it was ready: it will not be."""
API_THREADS = 4
"""Threads take turns at one interpreter: with eight, each event costs a tenth more processor time than with four, and
none is answered sooner. Not more than the pool of database connections that each process has."""
PORT_MAX = 65535


class DemoError(Exception):
    """The demo cannot run; the message is one line for the person at the terminal."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM came."""


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def read_port(text: str) -> int:
    """Return the port that PORT asks for, when it is one and free; DemoError otherwise."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= PORT_MAX:
        raise DemoError(f"PORT must be a number from 1 to {PORT_MAX}, not {text!r}")
    port = int(text)
    with socket.socket() as probe:
        # As servers do: a connection that was closed a moment ago does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise DemoError(f"port {port} is for root only; choose another: make demo PORT=8001") from None
        except OSError:
            raise DemoError(f"port {port} is taken; choose another: make demo PORT={port + 1}") from None
    return port


def read_secrets(local: Path) -> dict[str, str]:
    """Return the demo's keys, made at the first run and kept, readable by their owner only."""
    file = local / "secrets.json"
    if not file.exists():
        made = {
            "CARBONPOINTS_IDENTITY_KEY": secrets.token_urlsafe(48),
            "CARBONPOINTS_JWT_HS256_SECRET": secrets.token_urlsafe(48),
        }
        write_private(file, json.dumps(made))
    kept: dict[str, str] = json.loads(file.read_text())
    return kept


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    fresh.rename(file)


def enter_servers(stack: ExitStack, environment: Mapping[str, str]) -> Servers | None:
    """Start the local servers, or none where both addresses are set.

    Raises redis.RedisError where an address of one's own does not answer; the database is asked by the migrations.
    """
    given = [name for name in ("DATABASE_URL", "REDIS_URL") if environment.get(name)]
    if len(given) == 1:
        raise DemoError(f"{given[0]} is set alone; set DATABASE_URL and REDIS_URL both, or neither")
    if given:
        ping_redis(environment["REDIS_URL"])
        return None
    say("Starting PostgreSQL and Valkey ...")
    return stack.enter_context(servers_in(LOCAL))


def ping_redis(url: str) -> None:
    """Ask whether Redis answers; DemoError where `url` is no address, redis.RedisError where nobody does."""
    try:
        client = redis.Redis.from_url(url, socket_timeout=PING_S, socket_connect_timeout=PING_S)
    except ValueError as error:
        raise DemoError(f"REDIS_URL is no address of Redis: {error}") from None
    with closing(client):
        client.ping()


def make_environment(local: Path, servers: Servers | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the processes are told; `.local/environment` lets a person tell a shell the same."""
    told = {
        "CARBONPOINTS_ENV": "demo",
        "CARBONPOINTS_SPOOL_DIR": str(local / "spool"),
        "DATABASE_URL": servers.database_url if servers else environment["DATABASE_URL"],
        "REDIS_URL": servers.redis_url if servers else environment["REDIS_URL"],
        **read_secrets(local),
    }
    (local / "spool").mkdir(mode=0o700, exist_ok=True)
    write_private(
        local / "environment",
        "".join(f"export {name}={shlex.quote(value)}\n" for name, value in told.items()),
    )
    return {**environment, **told}


def migrate(app: Flask) -> None:
    """Bring the schema up to date."""
    say("Migrating the database ...")
    with app.app_context():
        flask_migrate.upgrade()


def seed(app: Flask) -> Welcome:
    """Bring the demo's data in, or find that it is there."""
    say("Loading catalogue, customers and a day of events ...")
    welcome = seed_demo(app)
    with app.app_context():
        db.engine.dispose()
    return welcome


def make_children(environment: Mapping[str, str], port: int) -> list[Child]:
    """Return API, worker and beat, not yet started."""
    celery = ("-m", "celery", "-A", "carbonpoints.worker:celery")
    commands = {
        "api": (
            *("-m", "granian", "--interface", "wsgi", "wsgi:app", "--host", HOST, "--port", str(port)),
            *(
                "--workers",
                "2",
                "--blocking-threads",
                str(API_THREADS),
                "--respawn-failed-workers",
                "--no-ws",
            ),
        ),
        "worker": (*celery, "worker", "--loglevel", "INFO", "--concurrency", "2"),
        "beat": (*celery, "beat", "--loglevel", "INFO", "--schedule", str(LOCAL / "run" / "beat")),
    }
    return [
        Child(
            Program(name, (sys.executable, *arguments), ROOT, LOCAL / "log" / f"{name}.log", environment),
            LOCAL / "run",
        )
        for name, arguments in commands.items()
    ]


def start_watched(supervisor: Supervisor, child: Child) -> None:
    """Start a child and keep it alive."""
    child.start()
    supervisor.watch(child, child.start)


def stop_children(children: list[Child]) -> None:
    """Stop all of them at the same time."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.stop()


def is_ready(port: int) -> bool:
    """Whether the API answers that it is ready."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=5)) as connection:
        try:
            connection.request("GET", READY_PATH)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


def wait_until_ready(supervisor: Supervisor, api: Child, port: int) -> None:
    """Wait for the API; DemoError when it keeps ending or takes too long."""
    deadline = time.monotonic() + READY_S
    while not is_ready(port):
        supervisor.check()
        if supervisor.ends(api) >= API_ENDS_MAX:
            raise api.failure()
        if time.monotonic() > deadline:
            raise DemoError(f"the API is not ready after {READY_S:.0f} s (see {api.program.log})")
        time.sleep(WATCH_S)


def greet(welcome: Welcome, port: int, started: float) -> None:
    """Print the addresses, a token per role and the commands to paste; `started` is the monotonic start."""
    base = f"http://{HOST}:{port}"
    say(f"\ncarbonpoints runs at {base}/v1\nAPI reference:       {base}/reference\n")
    for role, token in welcome.tokens.items():
        say(f"token {role}:\n  {token}")
    say("\nTry these:\n")
    for title, curl in welcome.curls.items():
        say(f"# {title}\n{curl.replace('{base}', base)}\n")
    say(f"Logs are in {LOCAL / 'log'}. For flask commands: . {shlex.quote(str(LOCAL / 'environment'))}")
    say(f"Ready after {time.monotonic() - started:.1f} s. Ctrl-C stops everything.")


def run() -> NoReturn:
    """Start everything, keep it alive, and stop everything when Stopped is raised."""
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(sole_user(LOCAL))
        port = read_port(os.environ.get("PORT", "8000"))
        servers = enter_servers(stack, os.environ)
        write_trace(PID_FILE, os.getpid())
        stack.callback(PID_FILE.unlink, missing_ok=True)
        environment = make_environment(LOCAL, servers, os.environ)
        app = create_app(load_settings(environment))
        migrate(app)
        supervisor = Supervisor(say)
        if servers is not None:
            supervisor.watch(servers.postgresql.child, servers.postgresql.restart)
            supervisor.watch(servers.valkey.child, servers.valkey.restart)
        children = make_children(environment, port)
        stack.callback(stop_children, children)
        api, worker, beat = children
        say("Starting API, worker and beat ...")
        # The API loads itself while we load the data. The others come after the data, which is ours to convert.
        start_watched(supervisor, api)
        welcome = seed(app)
        start_watched(supervisor, worker)
        wait_until_ready(supervisor, api, port)
        start_watched(supervisor, beat)
        greet(welcome, port, started)
        while True:
            supervisor.check()
            time.sleep(WATCH_S)


def _raise_stopped(*_: object) -> NoReturn:
    # Stopping itself is bounded in time, so a second Ctrl-C must not cut it short and leave processes behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    say("\nStopping ...")
    raise Stopped


def main() -> int:
    """Run the demo, or with the argument `stop` end the one that runs; return the exit status."""
    if sys.argv[1:] == ["stop"]:
        end_leftover(PID_FILE, signal.SIGTERM, STOP_S)
        return 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _raise_stopped)
    logging.disable(logging.INFO)  # The terminal is for the newcomer; the processes log to files.
    try:
        run()
    except Stopped:
        say("Everything is stopped. The data stays in .local/; make demo goes on with it.")
        return 0
    except (DemoError, EmbeddedError, ConfigError) as error:
        problem = str(error)
    except OperationalError as error:
        problem = f"the database does not answer: {str(error.orig).splitlines()[0]}"
    except redis.RedisError as error:
        problem = f"REDIS_URL does not answer: {error}"
    except OSError as error:
        problem = f"{error.strerror}: {error.filename}" if error.filename else str(error)
    print(f"carbonpoints: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
