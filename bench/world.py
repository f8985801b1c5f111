"""The world of the benchmarks: the shipped programme with a source of its own, and 15,000 customers.

A database with nothing in it (`migrated`) and one with the customers (`populated`) are made once and copied for
each run.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import flask_migrate
import psycopg

from bench.generate_feed import account_number
from bench.stage import Stage, say
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
from carbonpoints.behaviours.feed_services import import_profiles
from carbonpoints.behaviours.profiles import parse_profile
from carbonpoints.core.db import transaction
from carbonpoints.rules.definitions import EventSourceDefinition
from carbonpoints.rules.services import seed_programme
from carbonpoints.rules.shipped import ShippedCatalogue, load_shipped

MIGRATED = "migrated"
POPULATED = "populated"
ISSUER = "https://bench.example"
SOURCE = "https://bench.example/payments"
PROFILE = "bench_payments"
CONSENT = "payments"
COVERS_FROM = datetime(2024, 1, 1, tzinfo=UTC)
LATE_EVENT_DAYS = 3_650
"""The files lie in months past; whatever the date of the run, none of their events is too late."""
MAKER, CHECKER = "bench-maker", "bench-checker"


def make_templates(stage: Stage, accounts: int) -> None:
    """Make the two databases that all others are copies of."""
    say("Migrating ...")
    stage.create_database(MIGRATED)
    with stage.opened(MIGRATED) as database, database.app.app_context():
        flask_migrate.upgrade()
    say(f"Opening {accounts:,} accounts ...")
    stage.create_database(POPULATED, template=MIGRATED)
    with stage.opened(POPULATED) as database:
        with database.app.app_context():
            populate(accounts)
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def catalogue_of_bench() -> ShippedCatalogue:
    """Return the shipped catalogue, its programme taking events from the source of the benchmarks too."""
    shipped = load_shipped()
    source = EventSourceDefinition(
        uri=SOURCE, operator_en="Benchmarks", operator_zh="基准测试", consent_sources=(CONSENT,)
    )
    programme = replace(
        shipped.programme,
        event_sources=(*shipped.programme.event_sources, source),
        late_event_days=LATE_EVENT_DAYS,
    )
    return replace(shipped, programme=programme)


def populate(accounts: int) -> None:
    """Set the programme up, and its customers with a bank account and a consent each."""
    seeded = seed_programme(
        bank_code="bench",
        issuer=ISSUER,
        bank_name_en="Bank of the benchmarks",
        bank_name_zh="基准测试银行",
        catalogue=catalogue_of_bench(),
        maker_person=MAKER,
        checker_person=CHECKER,
    )
    profile = parse_profile((Path(__file__).parent / "payments.yaml").read_text("utf-8"), "payments.yaml")
    import_profiles(
        programme_id=seeded.programme_id, profiles=[profile], maker_person=MAKER, checker_person=CHECKER
    )
    with transaction() as session:
        programme = programme_settings(session, seeded.programme_id)
        holders = [NewHolder({Scheme.CUSTOMER_REF: f"B{number:06d}"}) for number in range(accounts)]
        ids = open_accounts_in_bulk(session, programme, holders)
    with transaction() as session:
        links = [BankLink(ids[number], account_number(number), Relation.OWNER) for number in range(accounts)]
        link_in_bulk(session, programme, links)
    with transaction() as session:
        consents = [DeclaredConsent(account_id, CONSENT, COVERS_FROM, "bench") for account_id in ids]
        consent_in_bulk(session, programme, consents)
