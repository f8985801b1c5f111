from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.rules.services import seed_programme
from carbonpoints.rules.shipped import load_shipped
from tests.accounts.world import ISSUER, NOW, World


def seed(code: str = "gansu", issuer: str = ISSUER) -> int:
    return seed_programme(
        bank_code=code,
        issuer=issuer,
        bank_name_en="Bank of Gansu (demonstration)",
        bank_name_zh="甘肃银行(演示)",
        catalogue=load_shipped(),
        maker_person="maker",
        checker_person="checker",
    ).programme_id


@pytest.fixture
def world(client: FlaskClient, session: Session, settings: Settings) -> Iterator[World]:
    """A bank in the database that forgets, at a fixed noon."""
    with clock_at(NOW):
        yield World(client, settings, seed())


@pytest.fixture
def committed_world(committed: Flask, committed_client: FlaskClient) -> Iterator[World]:
    """A bank on a database of this test's own, where commits are real."""
    with clock_at(NOW), committed.app_context():
        yield World(committed_client, committed.config["CARBONPOINTS"], seed())
