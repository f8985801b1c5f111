"""The machine that is measured on: what it is, and how much CPU a tree of processes has used."""

from __future__ import annotations

import os
import platform
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PARENT, _TIMES = 1, slice(11, 15)
"""Fields of /proc/<pid>/stat, counted from the one after the name in parentheses."""


def describe_machine(*, postgresql: str, valkey: str) -> dict[str, str]:
    """Return what a reader must know of the machine, in the order of the table; versions of servers are given."""
    model = _search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo")) or platform.machine()
    memory_kib = int(_search(r"^MemTotal:\s*(\d+) kB$", Path("/proc/meminfo")) or 0)
    return {
        "cores": str(core_count()),
        "cpu": model,
        "memory": f"{memory_kib / 1024**2:.1f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": postgresql,
        "valkey": valkey,
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_seconds(root: int) -> float:
    """Return the CPU seconds that a process and all its descendants have used, those that ended included.

    A descendant that ended counts once its parent has waited for it; all of ours do.
    """
    return sum(_ticks(pid) for pid in family(root)) / TICKS_PER_S


def peak_mib(root: int) -> float:
    """Return the largest resident memory in MiB that any one process of the tree has had."""
    peaks = (_search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{pid}/status")) for pid in family(root))
    return max(int(peak or 0) for peak in peaks) / 1024


def family(root: int) -> Iterator[int]:
    """Yield a process and its living descendants."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(path.name))
        if fields:
            children[int(fields[_PARENT])].append(int(path.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children[pid]


def _ticks(pid: int) -> int:
    return sum(int(field) for field in _stat(pid)[_TIMES])


def _stat(pid: int) -> list[str]:
    """Return the fields after the name, or none for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _search(pattern: str, path: Path) -> str | None:
    try:
        found = re.search(pattern, path.read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return found.group(1).strip() if found else None
