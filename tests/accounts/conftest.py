from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.approvals.services import create_bank_and_programme
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.db import transaction
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.shipped import load_shipped
from tests.accounts.world import ISSUER, NOW, World


@cache
def settings_of_the_programme() -> dict[str, Any]:
    return dict(as_content(load_shipped().programme))


def seed(code: str = "gansu", issuer: str = ISSUER) -> int:
    """A bank with the shipped programme's settings; rules are not needed here."""
    with transaction() as session:
        created = create_bank_and_programme(
            session,
            bank_code=code,
            issuer=issuer,
            bank_name_en=code,
            bank_name_zh=code,
            settings=settings_of_the_programme(),
            maker_person="maker",
            checker_person="checker",
        )
    return created.programme_id


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
