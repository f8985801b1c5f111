"""Keeps processes alive: starts one again when it ends, ever more slowly while it keeps ending."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from carbonpoints.embedded.process import Child, EmbeddedError

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STEADY_S = 60.0
"""Who lived this long is no longer taken for somebody who cannot start."""


@dataclass
class Ward:
    """A process under supervision and what happened to it so far."""

    child: Child
    start: Callable[[], None]
    started_at: float
    """Monotonic seconds."""
    ends: int = 0
    """How often it ended without having been steady before."""
    due_at: float | None = None
    """When to start it again; None while it lives."""


class Supervisor:
    """Watches processes; `announce` is told, in one line each, what a person should know."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._wards: list[Ward] = []

    def watch(self, child: Child, start: Callable[[], None]) -> None:
        """Keep alive what already runs; `start` brings it back."""
        self._wards.append(Ward(child, start, time.monotonic()))

    def ends(self, child: Child) -> int:
        """How often `child` ended in a row."""
        return next(ward.ends for ward in self._wards if ward.child is child)

    def check(self) -> None:
        """Look after each process once; call it a few times a second."""
        for ward in self._wards:
            if ward.due_at is None and not ward.child.is_running():
                self._schedule(ward, f"{ward.child.program.name} ended")
            elif ward.due_at is not None and time.monotonic() >= ward.due_at:
                self._start_again(ward)

    def _schedule(self, ward: Ward, what: str) -> None:
        now = time.monotonic()
        if now - ward.started_at >= STEADY_S:
            ward.ends = 0
        delay_s = min(FIRST_DELAY_S * 2**ward.ends, LONGEST_DELAY_S)
        ward.ends += 1
        ward.due_at = now + delay_s
        self._announce(f"{what}; starting it again in {delay_s:g} s (see {ward.child.program.log})")

    def _start_again(self, ward: Ward) -> None:
        ward.started_at, ward.due_at = time.monotonic(), None
        try:
            ward.start()
        except EmbeddedError as error:
            self._schedule(ward, str(error))
