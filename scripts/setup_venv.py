"""Make `.venv` and install the pinned requirements: `setup_venv.py REQUIREMENTS_FILE...`.

Needs the standard library only. Says what is wrong in one line and ends with 1. A second run finds what the
first one stamped and installs nothing. Old Pythons must be able to read this file as far as the check of the
version, so it uses no syntax later than Python 3.6.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

MINIMUM = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
FREE_BYTES_MIN = 1_000_000_000
"""The packages take 0.4 GB, their downloads 0.1 GB, a new database with its log 0.1 GB."""
EMBEDDED = "requirements-embedded.txt"
# pip separates paths in its messages and alembic its settings with these; venv refuses the first by itself.
FORBIDDEN = (":", "%", "\n")


class SetupError(Exception):
    """The set-up cannot go on; the message is one line for the person at the terminal."""


def refuse_old_python(version: "tuple[int, int]") -> None:
    """Raise SetupError when `version` (major, minor) is below the minimum."""
    if version < MINIMUM:
        raise SetupError(
            "this needs Python %d.%d or later, this is %d.%d; " % (MINIMUM + version)  # noqa: UP031 - read by old Pythons
            + "name another one: make PYTHON=/path/to/python3.11"
        )


try:
    refuse_old_python(sys.version_info[:2])
except SetupError as _error:
    sys.exit(f"carbonpoints: {_error}")


def refuse_this_place(root: Path) -> None:
    """Raise SetupError when the folder cannot hold a virtual environment: its name, its permissions, its space."""
    for character in FORBIDDEN:
        if character in str(root):
            raise SetupError(
                f"the path of this folder contains {character!r}, which Python's venv or alembic refuse"
            )
    try:
        (root / ".local").mkdir(mode=0o700, exist_ok=True)
        (root / ".local" / ".writable").touch()
        (root / ".local" / ".writable").unlink()
    except OSError as error:
        raise SetupError(f"cannot write to {root / '.local'}: {error.strerror}") from error
    free = shutil.disk_usage(root).free
    if free < FREE_BYTES_MIN:
        raise SetupError(
            f"only {free // 1_000_000} MB are free in {root}, {FREE_BYTES_MIN // 1_000_000} MB are needed"
        )


def make_venv(venv: Path) -> None:
    """Make the virtual environment, or make it anew when its Python does not run or is too old."""
    probe = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    if (venv / "bin" / "python").exists() and _run(
        [str(venv / "bin" / "python"), "-c", probe]
    ).returncode == 0:
        return
    if importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            "this Python comes without ensurepip; install it (Debian, Ubuntu: apt install python3-venv)"
        )
    made = _run([sys.executable, "-m", "venv", "--clear", str(venv)])
    if made.returncode != 0:
        raise SetupError(f"cannot make {venv}: {_reason(made.stdout)}")


def install(venv: Path, files: list[Path]) -> None:
    """Download and install what `files` pin, and print how long each took."""
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # The files name everything; whatever is not in them is not installed.
    pinned = ["--no-deps", "--require-hashes", *(part for file in files for part in ("-r", str(file)))]
    wheels, log = venv / "wheels", venv / "pip.log"
    shutil.rmtree(wheels, ignore_errors=True)
    print(f"Downloading {_count(files)} packages, once ...", flush=True)
    download_s = _pip([*pip, "download", "--only-binary", ":all:", "-d", str(wheels), *pinned], log)
    print(f"Downloaded in {download_s:.0f} s. Installing ...", flush=True)
    install_s = _pip([*pip, "install", "--no-index", "--find-links", str(wheels), *pinned], log)
    print(f"Installed in {install_s:.0f} s.", flush=True)
    shutil.rmtree(wheels)


def stamp(file: Path) -> str:
    """Return what changes whenever `file` must be installed again."""
    version = ".".join(map(str, sys.version_info[:2]))
    return hashlib.sha256(version.encode() + file.read_bytes()).hexdigest()


def _count(files: list[Path]) -> int:
    names = {line.split("==")[0] for file in files for line in file.read_text().splitlines() if "==" in line}
    return len(names)


def _pip(command: list[str], log: Path) -> float:
    """Run pip and return how many seconds it took; its own log option would double them."""
    started = time.monotonic()
    done = _run(command)
    log.write_text(done.stdout)
    if done.returncode != 0:
        raise SetupError(f"pip failed: {_reason(done.stdout)} (see {log})")
    return time.monotonic() - started


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")
    }
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
    )


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR") or "Error" in line]
    return (errors or lines or ["it said nothing"])[-1]


def main(names: list[str]) -> None:
    """Set up what is missing for the requirement files `names`."""
    refuse_this_place(ROOT)
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        names = [name for name in names if name != EMBEDDED]
    venv = ROOT / ".venv"
    with (ROOT / ".local" / "setup.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetupError(f"another run is just installing into {venv}; wait for it") from None
        stamps = {ROOT / name: venv / f"{name}.stamp" for name in names}
        if not (venv / "bin" / "python").exists() or _missing(stamps):
            make_venv(venv)
            missing = _missing(stamps)
            install(venv, missing)
            for file in missing:
                stamps[file].write_text(stamp(file))


def _missing(stamps: dict[Path, Path]) -> list[Path]:
    return [file for file, mark in stamps.items() if not mark.exists() or mark.read_text() != stamp(file)]


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupError as error:
        sys.exit(f"carbonpoints: {error}")
    except OSError as error:
        sys.exit(f"carbonpoints: {error.strerror}: {error.filename}")
    except KeyboardInterrupt:
        sys.exit("carbonpoints: stopped; run it again to go on")
