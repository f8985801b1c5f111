"""Signals."""

from collections.abc import Callable
from typing import Any

class Signal:
    def connect(self, receiver: Callable[..., Any], *, weak: bool = ...) -> Any: ...

worker_process_init: Signal
