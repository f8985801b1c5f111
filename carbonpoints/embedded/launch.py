"""Become a server program: die with the parent, and never run as root where the program refuses root.

Run as a script by `process.py`, before the program: `launch.py PARENT SIGNAL IDENTITY PROGRAM ARGUMENT...`.
It uses the standard library only and keeps its process id, so the program is a direct child of the caller.

`SIGNAL` is what the kernel sends when the thread that started this process ends, however it ends.
`IDENTITY` is one of
- `same`: the user who runs this,
- `namespace:UID:GID`: the same user, who inside a user namespace of the program is called UID and GID: files
  stay owned by the user, nothing on the machine changes, and PostgreSQL does not see root,
- `drop:UID:GID`: that user, for good; only root may ask for it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def _call(libc: ctypes.CDLL, name: str, *arguments: int) -> None:
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _enter_namespace(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    _call(libc, "unshare", CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outside_gid} 1")


def _drop(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def take_identity(libc: ctypes.CDLL, identity: str) -> None:
    """Change to `identity`, as the module describes it; OSError where the machine refuses."""
    kind, *numbers = identity.split(":")
    if kind == "namespace":
        _enter_namespace(libc, int(numbers[0]), int(numbers[1]))
    elif kind == "drop":
        _drop(int(numbers[0]), int(numbers[1]))


def main(arguments: list[str]) -> None:
    """Prepare the process as `arguments` say and replace it by the program."""
    parent, death_signal, identity, *program = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    take_identity(libc, identity)
    # After the change of identity, which clears it; exec of an ordinary program keeps it.
    _call(libc, "prctl", PR_SET_PDEATHSIG, int(death_signal))
    if os.getppid() != int(parent):
        return  # The parent ended before the kernel knew that we want to hear of it.
    os.umask(0o077)
    os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(f"cannot start {sys.argv[4]}: {error}")
