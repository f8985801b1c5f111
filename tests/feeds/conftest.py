from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carbonpoints.accounts.bulk import (
    BankLink,
    DeclaredConsent,
    consent_in_bulk,
    link_in_bulk,
    open_accounts_in_bulk,
)
from carbonpoints.accounts.linking import Relation
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.behaviours.feed_services import Feed, find_feed, import_profiles
from carbonpoints.core.clock import clock_at
from carbonpoints.core.config import Settings
from carbonpoints.core.db import transaction
from carbonpoints.rules.services import seed_programme
from tests.feeds.makers import Makers
from tests.feeds.shipped import CALM, ISSUER, payments_and_bills, plain, profile

NOW = datetime(2024, 5, 2, 4, tzinfo=UTC)
"""Noon in Shanghai, the day after the payments of the tests."""


@dataclass(frozen=True)
class FedProgramme:
    """A programme with feeds, and accounts by the number of the bank account that each owns."""

    programme_id: int
    accounts: dict[str, int]

    def feed(self, code: str = "plain") -> Feed:
        return find_feed(programme_id=self.programme_id, profile_code=code)


@pytest.fixture
def feed_programme() -> Callable[[], FedProgramme]:
    """Set up, in the current database, seven holders of bank accounts 6220 to 6226 who consent to payments and bills."""

    def made() -> FedProgramme:
        programme_id = seed_programme(
            bank_code="feeds",
            issuer=ISSUER,
            bank_name_en="Feeds",
            bank_name_zh="文件",
            catalogue=payments_and_bills(),
            maker_person="maker",
            checker_person="checker",
        ).programme_id
        import_profiles(
            programme_id=programme_id,
            profiles=[
                plain(tables={}, data={**plain().data, "payee_hash": "reference"}),
                plain(code="tabled"),
                plain(code="elsewhere", source="urn:zhangye:mobile-banking", tables={}, data=CALM),
                plain(
                    code="strict", on_bad="file", tables={}, data={**plain().data, "payee_hash": "reference"}
                ),
                plain(code="calm", tables={}, data=CALM),
                profile("sample_bank_day"),
                profile("camt053_statements"),
                replace(
                    profile("camt053_statements"),
                    code="calm_camt",
                    occurred_at="booked_at",
                    data={**profile("camt053_statements").data, "payee_hash": "servicer_reference"},
                ),
            ],
            maker_person="maker",
            checker_person="checker",
        )
        numbers = [str(number) for number in range(6220, 6227)]
        with transaction() as session:
            settings = programme_settings(session, programme_id)
            holders = [NewHolder({Scheme.CUSTOMER_REF: f"C{number}"}) for number in numbers]
            ids = open_accounts_in_bulk(session, settings, holders)
        with transaction() as session:
            links = [BankLink(id_, number, Relation.OWNER) for number, id_ in zip(numbers, ids, strict=True)]
            link_in_bulk(session, settings, links)
        with transaction() as session:
            consent_in_bulk(
                session,
                settings,
                [
                    DeclaredConsent(id_, source, datetime(2024, 1, 1, tzinfo=UTC), "branch")
                    for id_ in ids
                    for source in ("payments", "utilities")
                ],
            )
        return FedProgramme(programme_id, dict(zip(numbers, ids, strict=True)))

    return made


@pytest.fixture
def programme(session: Session, feed_programme: Callable[[], FedProgramme]) -> Iterator[FedProgramme]:
    """The programme in the database that forgets, at a fixed noon."""
    with clock_at(NOW):
        yield feed_programme()
        session.rollback()


@pytest.fixture
def makers(client: FlaskClient, settings: Settings, programme: FedProgramme) -> Makers:
    """Makers and checkers of the programme in the database that forgets."""
    settings.spool_dir.mkdir(exist_ok=True)
    return Makers(client, settings, programme.programme_id, ISSUER)
