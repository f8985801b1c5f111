from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.accounts.bulk import DeclaredConsent, consent_in_bulk, open_accounts_in_bulk
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.db import transaction
from carbonpoints.core.roles import Role
from carbonpoints.rules.services import seed_programme
from tests.behaviours.api import Api
from tests.behaviours.appealing import People
from tests.behaviours.reviewing import Officers
from tests.behaviours.world import NOW, World, shipped


@pytest.fixture
def make_world() -> Callable[[], World]:
    """Set a programme up in the current database: three customers, the first two consent to everything."""

    def made() -> World:
        seeded = seed_programme(
            bank_code="gansu",
            issuer="https://bank.example/gansu",
            bank_name_en="Bank of Gansu (demonstration)",
            bank_name_zh="甘肃银行(演示)",
            catalogue=shipped(),
            maker_person="maker",
            checker_person="checker",
        )
        with transaction() as session:
            settings = programme_settings(session, seeded.programme_id)
            holders = [NewHolder({Scheme.CUSTOMER_REF: name}) for name in ("C1", "C2", "C3")]
            ids = open_accounts_in_bulk(session, settings, holders)
        with transaction() as session:
            consents = [
                DeclaredConsent(account_id, source, NOW - timedelta(days=100), "branch")
                for account_id in ids[:2]
                for source in settings.consent_sources
            ]
            consent_in_bulk(session, settings, consents)
        return World(seeded.programme_id, dict(zip(("C1", "C2", "C3"), ids, strict=True)))

    return made


@pytest.fixture
def world(session: Session, make_world: Callable[[], World]) -> Iterator[World]:
    """A world in the database that forgets, at a fixed noon; the ledger is proven after each test."""
    with clock_at(NOW):
        yield make_world()
        session.rollback()


As = Callable[..., Api]


@pytest.fixture
def by(world: World, client: FlaskClient, settings: Settings) -> As:
    """The API as somebody: by role and name."""

    def made(role: Role, subject: str, language: str = "en") -> Api:
        return Api(client, settings, role=role, subject=subject, language=language)

    return made


@pytest.fixture
def customer(by: As) -> Api:
    return by(Role.CUSTOMER, "C1")


@pytest.fixture
def maker(by: As) -> Api:
    return by(Role.OPERATIONS, "maker")


@pytest.fixture
def checker(by: As) -> Api:
    return by(Role.OPERATIONS, "checker")


@pytest.fixture
def sender(by: As) -> Api:
    return by(Role.CORE_BANKING, "bank")


@pytest.fixture
def people(sender: Api, customer: Api, maker: Api, checker: Api) -> People:
    return People(sender, customer, maker, checker)


@pytest.fixture
def officers(by: As) -> Officers:
    return Officers(*(by(Role.RISK, name) for name in ("opener", "maker", "checker")))
