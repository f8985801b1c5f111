from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from tests.behaviours.world import NOW
from tests.exchange.world import LANZHOU, SHENZHEN, Exchange, seed


@pytest.fixture
def exchange(session: Session, client: FlaskClient, settings: Settings) -> Iterator[Exchange]:
    """Agreements with Shenzhen and Lanzhou in the database that forgets, at a fixed noon of June."""
    with clock_at(NOW):
        yield Exchange(seed([SHENZHEN, LANZHOU]), client, settings)
        session.rollback()


@pytest.fixture
def committed_exchange(committed: Flask, committed_client: FlaskClient) -> Iterator[Exchange]:
    """The same on a database of this test's own, where commits are real."""
    with clock_at(NOW), committed.app_context():
        yield Exchange(seed([SHENZHEN]), committed_client, committed.config["CARBONPOINTS"])
