"""Invented data for the first run: a bank, its programme, customers with accounts and consents, a day of events.

Everything here may run again: what is there stays.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from flask import Flask
from sqlalchemy import select

from carbonpoints.accounts.access import resolve_subjects
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
from carbonpoints.behaviours.delivering import EVENT_PREFIX
from carbonpoints.behaviours.feed_services import (
    continue_next_job,
    find_feed,
    import_profiles,
    receive_file,
)
from carbonpoints.behaviours.models import FeedJob
from carbonpoints.behaviours.profiles import shipped_profiles
from carbonpoints.behaviours.services import take_events
from carbonpoints.behaviours.staged import microseconds_of, stage_event
from carbonpoints.core import clock
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.ids import NumberedId
from carbonpoints.core.roles import SYSTEMS, Role
from carbonpoints.ledger.queries import AccountHead, read_head
from carbonpoints.rules.services import seed_programme
from carbonpoints.rules.shipped import load_shipped
from carbonpoints.samples.bank_day import day_lines, sample_customers

ISSUER = "https://demo-bank.example"
PROFILE = "sample_bank_day"
FILE_PROFILES = (PROFILE, "camt053_statements")
"""What `flask feed load` can read in the demonstration."""
CUSTOMER = "C0001"
SUBJECT = f"CUSTOMER_REF:{CUSTOMER}"
TRANSIT = "urn:zhangye:transit"
SHOWN_EVENT = "demonstration-bus-trip"
TOKEN_LIFETIME_S = 30 * 86_400
DAYS_OF_CONSENT = 20


@dataclass(frozen=True)
class Welcome:
    """What the newcomer is shown: a token per role, and commands to paste by title, with `{base}` to fill."""

    tokens: Mapping[str, str]
    curls: Mapping[str, str]


def seed_demo(app: Flask) -> Welcome:
    """Bring the demo data in and return what to show. Outside production only."""
    settings: Settings = app.config["CARBONPOINTS"]
    if settings.is_production:
        raise RuntimeError("demo data is refused in production")
    with app.app_context():
        catalogue = load_shipped()
        seeded = seed_programme(
            bank_code="demo",
            issuer=ISSUER,
            bank_name_en="Demonstration bank",
            bank_name_zh="示范银行",
            catalogue=catalogue,
            maker_person="demo-rule-maker",
            checker_person="demo-rule-checker",
        )
        shipped = [profile for profile in shipped_profiles() if profile.code in FILE_PROFILES]
        import_profiles(
            programme_id=seeded.programme_id,
            profiles=shipped,
            maker_person="demo-rule-maker",
            checker_person="demo-rule-checker",
        )
        _open_customers(seeded.programme_id)
        _convert_a_day(seeded.programme_id)
        event_id = _show_a_trip(seeded.programme_id)
    tokens = _tokens(settings, catalogue.programme.code)
    return Welcome(tokens, _curls(tokens, event_id))


def _open_customers(programme_id: int) -> None:
    """Open the sample's customers, their bank accounts and their consents, the first time; all or none.

    From then on they belong to whoever plays with them: a consent withdrawn stays withdrawn, a closed account closed.
    """
    if _shown_account(programme_id) is not None:
        return
    with transaction() as session:
        programme = programme_settings(session, programme_id)
        customers = sample_customers()
        references = [c.customer_ref for c in customers] + [
            c.authorised_user for c in customers if c.authorised_user is not None
        ]
        holders = [NewHolder({Scheme.CUSTOMER_REF: reference}) for reference in references]
        ids = dict(zip(references, open_accounts_in_bulk(session, programme, holders), strict=True))
        links = [BankLink(ids[c.customer_ref], c.bank_account, Relation.OWNER) for c in customers]
        links += [
            BankLink(ids[c.authorised_user], c.bank_account, Relation.AUTHORISED_USER)
            for c in customers
            if c.authorised_user is not None
        ]
        link_in_bulk(session, programme, links)
        covers_from = clock.now() - timedelta(days=DAYS_OF_CONSENT)
        consents = [
            DeclaredConsent(account_id, source, covers_from, "demonstration")
            for account_id in ids.values()
            for source in programme.consent_sources
        ]
        consent_in_bulk(session, programme, consents)


def _shown_account(programme_id: int) -> AccountHead | None:
    """Return the shown customer's account; None before the customers are opened."""
    with reading() as session:
        named = resolve_subjects(session, programme_id, [SUBJECT]).get(SUBJECT)
        return None if named is None else read_head(session, named.at(clock.now()))


def _convert_a_day(programme_id: int) -> None:
    """Load yesterday's sample file, the first time."""
    with reading() as session:
        if session.scalar(select(FeedJob.job_id).where(FeedJob.programme_id == programme_id).limit(1)):
            return
        calendar = programme_settings(session, programme_id).calendar
    day = calendar.local_date(clock.now()) - timedelta(days=1)
    file = io.BytesIO("".join(f"{line}\r\n" for line in day_lines(day)).encode("GB18030"))
    feed = find_feed(programme_id=programme_id, profile_code=PROFILE)
    receive_file(feed=feed, file_name=f"day-{day}.csv", file=file, tables={})
    while continue_next_job():
        pass


def _show_a_trip(programme_id: int) -> str:
    """Report a bus trip of the shown customer, on the day before their account was opened; return its public id."""
    head = _shown_account(programme_id)
    if head is None:
        raise RuntimeError("the customer that was just opened is gone")
    with reading() as session:
        calendar = programme_settings(session, programme_id).calendar
    at = calendar.noon(calendar.local_date(head.opened_at) - timedelta(days=1))
    event = stage_event(
        TRANSIT,
        event_id=SHOWN_EVENT,
        subject=SUBJECT,
        occurred_at_us=microseconds_of(at),
        behaviour="bus_trip",
        data=_trip(SHOWN_EVENT),
    )
    (receipt,) = take_events(programme_id=programme_id, source_uri=TRANSIT, events=[event]).receipts
    return str(NumberedId(EVENT_PREFIX, receipt.account_id, receipt.account_seq))


def _trip(ticket: str) -> dict[str, str | bool]:
    return {"distance_km": "5.2", "fare_medium": "qr", "ticket_reference": ticket}


def _tokens(settings: Settings, programme: str) -> dict[str, str]:
    """Return one token per role; people are called after their role."""
    subjects = {Role.CUSTOMER: CUSTOMER}
    return {
        role.value: issue_demo_token(
            settings,
            issuer=ISSUER,
            subject=subjects.get(role, f"demo-{role.value.replace('_', '-')}"),
            role=role,
            programme=programme,
            sources=(TRANSIT,) if role in SYSTEMS else (),
            lifetime_s=TOKEN_LIFETIME_S,
        )
        for role in Role
    }


def _curls(tokens: Mapping[str, str], event_id: str) -> dict[str, str]:
    """Return the three commands of the first minutes."""
    now = clock.now().replace(microsecond=0)
    ticket = f"demo-{now:%Y%m%d%H%M%S}"
    event = {
        "specversion": "1.0",
        "id": ticket,
        "source": TRANSIT,
        "type": "carbonpoints.behaviour.bus_trip",
        "subject": SUBJECT,
        "time": now.isoformat(),
        "data": _trip(ticket),
    }
    send = (
        f"curl -s {{base}}/v1/events -H 'Authorization: Bearer {tokens['core_banking']}' "
        f"-H 'Content-Type: application/cloudevents+json' -d '{json.dumps(event)}'"
    )
    customer = f"-H 'Authorization: Bearer {tokens['customer']}'"
    return {
        "Send a behaviour: five kilometres by bus (paste it twice: nothing is credited twice)": send,
        "Read the balance": f"curl -s {{base}}/v1/accounts/mine {customer}",
        "Ask why": f"curl -s {{base}}/v1/events/{event_id} {customer}",
    }
