from __future__ import annotations

from tests.behaviours.conftest import make_world

__all__ = ["make_world"]
