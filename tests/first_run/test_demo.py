"""`make demo` from the newcomer's side of the terminal."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from carbonpoints import demo
from carbonpoints.demo import DemoError, enter_servers, make_environment, read_port, read_secrets
from tests.conftest import Addresses
from tests.first_run.processes import PATIENCE_S, descendants, wait_until_gone

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "carbonpoints.demo"]


def copy_product(folder: Path) -> Path:
    for name in ("carbonpoints", "migrations"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "wsgi.py", folder)
    return folder


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product in a new folder whose name holds spaces."""
    return copy_product(tmp_path_factory.mktemp("demo") / "a new folder")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def environment(port: int) -> dict[str, str]:
    without = {"DATABASE_URL", "REDIS_URL"}
    return {name: value for name, value in os.environ.items() if name not in without} | {"PORT": str(port)}


@pytest.fixture
def running(clone: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The demo, once it has said that it is ready."""
    with subprocess.Popen(COMMAND, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert any(line.startswith("Ready after ") for line in process.stdout)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers.get_content_type()


def test_it_runs_until_ctrl_c_and_leaves_nothing_running(
    clone: Path, environment: dict[str, str], port: int, running: subprocess.Popen[str]
) -> None:
    assert get(port, "/health/ready") == (200, "application/json")
    assert get(port, "/reference") == (200, "text/html")
    second = subprocess.run(COMMAND, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"carbonpoints: {clone / '.local'} is in use by another run of carbonpoints\n"
    below = descendants(running.pid)
    assert len(below) > 5
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 0
    assert wait_until_gone(below) == []
    assert running.stdout is not None
    assert running.stdout.read().splitlines()[-1].startswith("Everything is stopped.")


def test_it_goes_on_with_its_data_and_brings_back_what_dies(
    clone: Path, environment: dict[str, str], port: int, running: subprocess.Popen[str]
) -> None:
    keys = read_secrets(clone / ".local")
    below = descendants(running.pid)
    api = int((clone / ".local/run/api.pid").read_text().split('"pid": ')[1].split(",")[0])
    assert api in below
    os.kill(api, signal.SIGKILL)
    assert wait_until_gone([api]) == []
    deadline = time.monotonic() + PATIENCE_S
    while not demo.is_ready(port):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    below = descendants(running.pid)
    subprocess.run([*COMMAND, "stop"], cwd=clone, env=environment, check=True)
    assert running.wait(timeout=60) == 0
    assert wait_until_gone(below) == []
    assert read_secrets(clone / ".local") == keys


def test_a_taken_port(clone: Path, environment: dict[str, str], port: int) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        refused = subprocess.run(
            COMMAND, cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert (
        refused.stderr == f"carbonpoints: port {port} is taken; choose another: make demo PORT={port + 1}\n"
    )


@pytest.mark.parametrize("text", ["", "0", "65536", "-1", "80a", "８０００"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(DemoError, match=r"^PORT must be a number from 1 to 65535, not "):
        read_port(text)


def test_a_folder_that_cannot_be_written(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = copy_product(tmp_path / "clone")
    (folder / ".local").write_text("a file, where only a folder will do")
    refused = subprocess.run(
        COMMAND, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"carbonpoints: cannot write to {folder / '.local'}: File exists\n"


def test_one_address_alone_is_refused() -> None:
    with ExitStack() as stack, pytest.raises(DemoError) as refusal:
        enter_servers(stack, {"REDIS_URL": "redis://redis.test/0"})
    assert str(refusal.value) == "REDIS_URL is set alone; set DATABASE_URL and REDIS_URL both, or neither"


def test_addresses_of_ones_own_start_no_server_and_are_handed_on(tmp_path: Path, servers: Addresses) -> None:
    own = {"DATABASE_URL": "postgresql://database.test/x", "REDIS_URL": servers.redis_url}
    with ExitStack() as stack:
        assert enter_servers(stack, own) is None
    made = make_environment(tmp_path, None, {**own, "PATH": "/bin"})
    told = (tmp_path / "environment").read_text()
    assert f"export DATABASE_URL=postgresql://database.test/x\nexport REDIS_URL={servers.redis_url}\n" in told
    assert {**own, "PATH": "/bin"}.items() <= made.items()


def test_a_redis_that_is_away_is_one_line(clone: Path, environment: dict[str, str], port: int) -> None:
    away = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    refused = subprocess.run(
        COMMAND, cwd=clone, env=environment | away, capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("carbonpoints: REDIS_URL does not answer: ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "redis://127.0.0.1:port/0"])
def test_what_is_no_address_of_redis(address: str) -> None:
    with ExitStack() as stack, pytest.raises(DemoError, match=r"^REDIS_URL is no address of Redis: "):
        enter_servers(stack, {"DATABASE_URL": "postgresql://database.test/x", "REDIS_URL": address})


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    made = read_secrets(tmp_path)
    assert read_secrets(tmp_path) == made
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert sorted(made) == ["CARBONPOINTS_IDENTITY_KEY", "CARBONPOINTS_JWT_HS256_SECRET"]
    assert all(len(value) == 64 for value in made.values())
