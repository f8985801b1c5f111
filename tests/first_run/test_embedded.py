"""The local servers start wherever they are put, keep their data, and let nobody else in."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from carbonpoints.embedded import EmbeddedError, postgresql, running_servers, sole_user
from carbonpoints.embedded.process import LAUNCHER
from tests.first_run.processes import descendants, wait_until_gone

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import json, os, sys, time
from pathlib import Path
from carbonpoints.embedded import running_servers
with running_servers(Path(sys.argv[1]), durable=False) as servers:
    told = {"uid": os.geteuid(), "url": servers.database_url, "pids": [servers.postgresql.child.pid, servers.valkey.child.pid]}
    print(json.dumps(told), flush=True)
    sys.stdin.read()
"""


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def serve(directory: Path, *launcher: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*launcher, sys.executable, "-c", SERVE, str(directory)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def told_by(process: subprocess.Popen[bytes]) -> dict[str, object]:
    assert process.stdout is not None
    said: dict[str, object] = json.loads(process.stdout.readline())
    return said


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A directory that only its owner may enter, with spaces in its name, deeper than a socket's path may be."""
    closed = tmp_path / "home of mine"
    closed.mkdir(mode=0o700)
    return closed / ("long " * 20) / ("longer " * 20) / ".local"


def test_data_lasts_in_a_deep_directory(deep: Path) -> None:
    with running_servers(deep) as servers, connect(servers.database_url) as connection:
        pids = [servers.postgresql.child.pid, servers.valkey.child.pid]
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        with redis.Redis.from_url(servers.redis_url) as client:
            client.set("kept", "yes")
    assert wait_until_gone([pid for pid in pids if pid is not None]) == []
    with running_servers(deep) as servers, connect(servers.database_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        with redis.Redis.from_url(servers.redis_url) as client:
            assert client.get("kept") == b"yes"


def test_nobody_else_gets_in(tmp_path: Path) -> None:
    with running_servers(tmp_path / "local", durable=False) as servers:
        with connect(servers.database_url) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
            sockets = connection.execute("SHOW unix_socket_directories").fetchone()
        assert sockets is not None
        directory = Path(str(sockets[0]))
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert len(os.fsencode(directory / ".s.PGSQL.5432")) <= postgresql.SOCKET_PATH_BYTES_MAX
        address = servers.redis_url.rpartition("@")[2]
        with (
            redis.Redis.from_url(f"redis://{address}") as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
    assert not directory.exists()


def test_an_ordinary_user_runs_them(deep: Path) -> None:
    launcher = (sys.executable, str(LAUNCHER), str(os.getpid()), "15", "namespace:65534:65534")
    process = serve(deep, *(launcher if os.geteuid() == 0 else ()))
    told = told_by(process)
    assert told["uid"] != 0
    assert process.communicate(timeout=30)[0] == b""
    assert process.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_root_without_user_namespaces_runs_them(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "_identity_for_root", lambda _log: "drop:65534:65534")
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in deep.parents if path.exists()]
    for _ in range(2):
        with running_servers(deep, durable=False) as servers, connect(servers.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert Path(f"/proc/{servers.postgresql.child.pid}").stat().st_uid == 65534
    assert [(path, path.stat().st_mode, path.stat().st_uid) for path, _, _ in before] == before


def test_they_end_with_whoever_started_them(tmp_path: Path) -> None:
    process = serve(tmp_path / "local")
    told = told_by(process)
    pids = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(pids) >= 2
    assert wait_until_gone(pids) == []
    sockets = Path(str(told["url"]).partition("host=")[2])
    assert sockets.exists()
    with running_servers(tmp_path / "local", durable=False):
        assert not sockets.exists()


def test_a_stale_lock_of_a_server_that_is_gone_does_not_stop_the_next(tmp_path: Path) -> None:
    local = tmp_path / "local"
    with running_servers(local, durable=False) as servers:
        pid_file = local / "postgresql" / "postmaster.pid"
        content = pid_file.read_text()
        assert int(content.split()[0]) == servers.postgresql.child.pid
    # In a container, where numbers start again from 1, the number belongs to somebody else by then: to us.
    pid_file.write_text(content.replace(content.split()[0], str(os.getppid()), 1))
    with running_servers(local, durable=False) as servers, connect(servers.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        sole_user(tmp_path),
        pytest.raises(EmbeddedError, match=r"is in use by another run of carbonpoints$"),
        running_servers(tmp_path),
    ):
        pass


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EmbeddedError, match=r"^cannot write to .*: Not a directory$"),
        sole_user(tmp_path / "file" / ".local"),
    ):
        pass


def test_data_of_another_version_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "postgresql"
    data.mkdir()
    (data / "PG_VERSION").write_text("17\n")
    with (
        pytest.raises(EmbeddedError, match=r"belongs to PostgreSQL 17, this is PostgreSQL 18$"),
        running_servers(tmp_path),
    ):
        pass
    assert sorted(path.name for path in data.iterdir()) == ["PG_VERSION"]
