"""A child that ends is started again, one that hangs is killed, and a stranger's process is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carbonpoints.embedded import Child, EmbeddedError, Program, supervisor
from carbonpoints.embedded.process import end_leftover, run, write_trace
from carbonpoints.embedded.supervisor import Supervisor
from tests.first_run.processes import descendants, lives, wait_until_gone

SLEEP = "import time; print('here', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
WITH_A_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"

MakeChild = Callable[[str], Child]


@pytest.fixture
def make_child(tmp_path: Path) -> Iterator[MakeChild]:
    made: list[Child] = []

    def make(code: str) -> Child:
        argv = (sys.executable, "-I", "-S", "-c", code)
        program = Program("sleeper", argv, tmp_path, tmp_path / "log", os.environ, grace_s=0.5)
        made.append(Child(program, tmp_path))
        return made[-1]

    yield make
    for child in made:
        child.stop()


def wait_for(condition: Callable[[], bool], each_time: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        each_time()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def said(child: Child) -> int:
    return child.program.log.read_text().count("here") if child.program.log.exists() else 0


def pid_of(child: Child) -> int:
    assert child.pid is not None
    return child.pid


def test_a_child_that_ends_is_started_again(make_child: MakeChild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.05)
    announced: list[str] = []
    watch = Supervisor(announced.append)
    child = make_child(SLEEP)
    child.start()
    watch.watch(child, child.start)
    watch.check()
    assert announced == []
    first = pid_of(child)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not child.is_running())
    wait_for(child.is_running, watch.check)
    assert pid_of(child) != first
    assert announced == [f"sleeper ended; starting it again in 0.05 s (see {child.program.log})"]


def test_a_child_that_keeps_ending_is_started_ever_more_slowly(
    make_child: MakeChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_DELAY_S", 0.03)
    announced: list[str] = []
    watch = Supervisor(announced.append)
    child = make_child("")
    child.start()
    watch.watch(child, child.start)
    wait_for(lambda: watch.ends(child) == 4, watch.check)
    assert [line.partition(" in ")[2].partition(" s ")[0] for line in announced] == [
        "0.01",
        "0.02",
        "0.03",
        "0.03",
    ]
    child.stop()


def test_a_failing_start_is_tried_again(make_child: MakeChild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.01)
    announced: list[str] = []
    child = make_child("")

    def refuse() -> None:
        raise EmbeddedError("it cannot")

    watch = Supervisor(announced.append)
    watch.watch(child, refuse)
    wait_for(lambda: watch.ends(child) == 2, watch.check)
    assert announced[1] == f"it cannot; starting it again in 0.02 s (see {child.program.log})"


def test_a_child_that_hangs_is_killed(make_child: MakeChild) -> None:
    child = make_child(STUBBORN)
    child.start()
    wait_for(lambda: said(child) == 1)
    pid = pid_of(child)
    child.ask_to_stop()
    assert lives(pid)
    child.stop()
    assert not lives(pid)
    assert not child.pid_file.exists()


def test_a_dead_childs_own_children_end_before_it_is_started_again(make_child: MakeChild) -> None:
    child = make_child(WITH_A_CHILD)
    child.start()
    wait_for(lambda: said(child) == 2)
    group = pid_of(child)
    (grandchild,) = descendants(group)
    os.kill(group, signal.SIGKILL)
    wait_for(lambda: not child.is_running())
    assert lives(grandchild)
    child.start()
    assert wait_until_gone([grandchild]) == []
    assert child.is_running()


def test_the_next_run_ends_what_a_crash_left(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    pid_file = tmp_path / "pid"
    write_trace(pid_file, process.pid)
    end_leftover(pid_file, signal.SIGTERM, grace_s=0.1)
    assert process.wait() == -signal.SIGKILL
    assert not pid_file.exists()
    process.stdout.close()


def test_a_stranger_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.DEVNULL)
    pid_file = tmp_path / "pid"
    write_trace(pid_file, process.pid)
    trace = json.loads(pid_file.read_text())
    pid_file.write_text(json.dumps(trace | {"started_ticks": trace["started_ticks"] - 1}))
    end_leftover(pid_file, signal.SIGTERM, grace_s=0.1)
    assert process.poll() is None
    assert not pid_file.exists()
    process.kill()
    process.wait()


def test_a_failure_says_the_line_that_matters(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "print('FATAL: no room'); print('HINT: make some'); raise SystemExit(3)")
    log = tmp_path / "log"
    with pytest.raises(EmbeddedError) as failure:
        run(Program("initdb", argv, tmp_path, log, os.environ))
    assert str(failure.value) == f"initdb failed: FATAL: no room (see {log})"


def test_a_failure_does_not_repeat_what_an_earlier_run_said(make_child: MakeChild) -> None:
    child = make_child("print('now this')")
    child.program.log.write_text("FATAL: an older story\n")
    child.start()
    wait_for(lambda: not child.is_running())
    assert str(child.failure()) == f"sleeper does not start: now this (see {child.program.log})"


def test_a_child_whose_parent_is_gone_already_does_not_start(make_child: MakeChild, tmp_path: Path) -> None:
    child = make_child(SLEEP)
    code = (
        "import os, sys; from carbonpoints.embedded import process\n"
        "os.getpid = lambda: 1\n"
        "log = open(sys.argv[1], 'ab')\n"
        "program = process.Program('sleeper', tuple(sys.argv[2:]), process.Path('/'), None, os.environ)\n"
        "sys.exit(process.spawn(program, log).wait())"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "log"), *child.program.argv], check=True)
    assert said(child) == 0
