"""One child process: started so that it cannot outlive us, stopped for certain, found again after a crash.

Each child is a session and process group of its own: Ctrl-C in the terminal reaches the supervisor alone,
which then decides the order of stopping, and a child that hangs is killed with its whole group.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LAUNCHER = Path(__file__).with_name("launch.py")
POLL_S = 0.02


class EmbeddedError(Exception):
    """A local server or process cannot run; the message is one line for the person at the terminal."""


@dataclass(frozen=True)
class Program:
    """What to run. `grace_s` is the time in seconds between `stop_signal` and the end by force."""

    name: str
    argv: tuple[str, ...]
    directory: Path
    log: Path
    environment: Mapping[str, str]
    identity: str = "same"
    """How to appear to the program; see `launch`."""
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0


@dataclass(frozen=True)
class Trace:
    """What identifies a process beyond the reuse of its number: the boot and the tick it started at."""

    pid: int
    started_ticks: int
    boot: str


def spawn(program: Program, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `program` through the launcher; output goes to `log`.

    Call it from the main thread: the kernel ends the child when the thread that started it ends.
    """
    command = [
        *(sys.executable, "-I", "-S", str(LAUNCHER)),
        *(str(os.getpid()), str(int(program.stop_signal)), program.identity),
        *program.argv,
    ]
    return subprocess.Popen(
        command,
        cwd=program.directory,
        env=dict(program.environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run(program: Program) -> None:
    """Run `program` to its end; EmbeddedError with the last line it wrote when it fails."""
    with program.log.open("ab") as log:
        said_before_bytes = log.tell()
        process = spawn(program, log)
    try:
        status = process.wait()
    except BaseException:  # Ctrl-C reaches us alone.
        _kill_group(process.pid)
        process.wait()
        raise
    if status != 0:
        raise EmbeddedError(
            f"{program.name} failed: {last_line(program.log, said_before_bytes)} (see {program.log})"
        )


class Child:
    """A program that is kept running; its pid file in `run_directory` outlives a crash of ours."""

    def __init__(self, program: Program, run_directory: Path) -> None:
        self.program = program
        self.pid_file = run_directory / f"{program.name}.pid"
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before_bytes = 0

    @property
    def pid(self) -> int | None:
        """Number of the running process, or None."""
        return self._process.pid if self._process is not None and self.is_running() else None

    def is_running(self) -> bool:
        """Whether the process lives; one that ended keeps its number until `stop` or `start` reaps it."""
        if self._process is None:
            return False
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def start(self) -> None:
        """Start the program, after ending what an earlier life of it may have left: ours or of a run that crashed."""
        self._reap()
        end_leftover(self.pid_file, self.program.stop_signal, self.program.grace_s)
        with self.program.log.open("ab") as log:
            self._said_before_bytes = log.tell()
            self._process = spawn(self.program, log)
        write_trace(self.pid_file, self._process.pid)

    def ask_to_stop(self) -> None:
        """Send the stop signal and return at once."""
        if self._process is not None:
            os.kill(self._process.pid, self.program.stop_signal)

    def stop(self) -> None:
        """Stop the program: politely, and after `grace_s` by force with everything in its group."""
        self.ask_to_stop()
        deadline = time.monotonic() + self.program.grace_s
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        self._reap()
        self.pid_file.unlink(missing_ok=True)

    def _reap(self) -> None:
        """Kill what is left of the group, whose number is ours until the process is waited for."""
        if self._process is not None:
            _kill_group(self._process.pid)
            self._process.wait()
            self._process = None

    def failure(self) -> EmbeddedError:
        """Say in one line why the program is not there."""
        reason = last_line(self.program.log, self._said_before_bytes)
        return EmbeddedError(f"{self.program.name} does not start: {reason} (see {self.program.log})")


def write_trace(pid_file: Path, pid: int) -> None:
    """Note a running process so that it is found again, and nothing else taken for it."""
    pid_file.write_text(json.dumps(vars(_trace(pid))))


def end_leftover(pid_file: Path, stop_signal: signal.Signals, grace_s: float) -> None:
    """End the process that `pid_file` names, if it still is that very process; forget the file."""
    trace = _read_trace(pid_file)
    if trace is not None and _trace_or_none(trace.pid) == trace:
        with suppress(ProcessLookupError):
            os.kill(trace.pid, stop_signal)
        deadline = time.monotonic() + grace_s
        while _trace_or_none(trace.pid) == trace and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if _trace_or_none(trace.pid) == trace:
            _kill_group(trace.pid)
            while _trace_or_none(trace.pid) == trace:
                time.sleep(POLL_S)
    pid_file.unlink(missing_ok=True)


def last_line(log: Path, from_byte: int) -> str:
    """Line of a log, from `from_byte` on, that says what went wrong: the last error, or else the last line."""
    text = log.read_bytes()[from_byte:].decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return (errors or lines or ["it said nothing"])[-1]


def installed_package(name: str) -> Path:
    """Folder of an installed package, found without importing it: these do work when they are imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"{name} is not installed; install it, or set DATABASE_URL and REDIS_URL")
    return Path(spec.origin).parent


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _read_trace(pid_file: Path) -> Trace | None:
    try:
        return Trace(**json.loads(pid_file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _trace(pid: int) -> Trace:
    # The name in parentheses may hold anything, so fields are counted from the last parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Trace(pid, int(fields[19]), boot)


def _trace_or_none(pid: int) -> Trace | None:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return None if state == "Z" else _trace(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
