from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.ledger.reconcile import check
from tests.behaviours.conftest import make_world
from tests.behaviours.world import NOW, World

__all__ = ["make_world"]


@pytest.fixture
def world(session: Session, make_world: object) -> Iterator[World]:
    """A world in the database that forgets, at a fixed noon; the ledger is proven after each test."""
    assert callable(make_world)
    with clock_at(NOW):
        yield make_world()
        session.rollback()
        assert [finding for finding in check(session) if finding.differences] == []
        session.rollback()
