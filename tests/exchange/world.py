"""A programme with an agreement, and short ways to be the other programme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from io import BytesIO
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from carbonpoints.accounts.bulk import DeclaredConsent, consent_in_bulk, open_accounts_in_bulk
from carbonpoints.accounts.opening import NewHolder
from carbonpoints.accounts.programme import programme_settings
from carbonpoints.accounts.schemes import Scheme
from carbonpoints.approvals import services as approvals
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.versions import VersionKind
from carbonpoints.behaviours.exchange.files import Mark, header_of, write_lines
from carbonpoints.behaviours.exchange.normal_form import act_text, fingerprint, period_key
from carbonpoints.behaviours.work import Receipt
from carbonpoints.core.auth import issue_demo_token
from carbonpoints.core.config import Settings
from carbonpoints.core.db import transaction
from carbonpoints.core.roles import Role
from carbonpoints.rules.agreements import AgreementDefinition
from carbonpoints.rules.definitions import ConsentSourceDefinition, ConsentTextDefinition
from carbonpoints.rules.reading import as_content
from carbonpoints.rules.services import seed_programme
from carbonpoints.rules.shipped import ShippedCatalogue
from tests.behaviours.api import Api
from tests.behaviours.world import NOW, World, shipped
from tests.conftest import EXCHANGE_KEYS

ISSUER = "https://bank.example/gansu"
JUNE, JULY = date(2026, 6, 1), date(2026, 7, 1)
CONSENTED = NOW - timedelta(days=100)
MAY_BEGINS = datetime(2026, 4, 30, 16, tzinfo=UTC)

SHENZHEN = AgreementDefinition(
    code="shenzhen_2026",
    partner="shenzhen:carbon",
    partner_name_en="Shenzhen carbon account",
    partner_name_zh="深圳碳账户",
    known_as="zhangye:carbon",
    acts=("transport_trip", "cycle_ride"),
    direction="both",
    period="month",
    normal_form="cn-act/1",
    key_reference="shenzhen-1",
    consent_source="exchange_shenzhen",
    document="Agreement of 2026-04-01",
)
LANZHOU = replace(
    SHENZHEN,
    code="lanzhou_2026",
    partner="lanzhou:carbon",
    partner_name_en="Lanzhou carbon account",
    partner_name_zh="兰州碳账户",
    acts=("transport_trip",),
    key_reference="lanzhou-1",
    consent_source="exchange_lanzhou",
)
EXCHANGES = (SHENZHEN.consent_source, LANZHOU.consent_source)


@cache
def catalogue() -> ShippedCatalogue:
    """What is shipped, and a consent source for each exchange."""
    source = ConsentSourceDefinition(
        name_en="Exchange",
        name_zh="与其他碳普惠项目核对",
        sensitive=True,
        retention_days=180,
        texts=(ConsentTextDefinition(version="2026-05", text_en="We compare.", text_zh="我们将进行核对。"),),
    )
    programme = shipped().programme
    sources = {**programme.consent_sources, **dict.fromkeys(EXCHANGES, source)}
    return replace(shipped(), programme=replace(programme, consent_sources=sources))


def ticket(reference: str, **values: object) -> dict[str, object]:
    """Data of a bus trip of five kilometres."""
    return {"distance_km": "5", "ticket_reference": reference, "fare_medium": "qr", **values}


def mark(reference: str, *, agreement: AgreementDefinition = SHENZHEN, period: date = JUNE) -> Mark:
    """The other programme's word that it has credited a bus trip."""
    key = period_key(EXCHANGE_KEYS[agreement.key_reference].encode(), agreement.code, period)
    return Mark(fingerprint(key, act_text("transport_trip", {"ticket_reference": reference})), None, None)


def ride_mark(vehicle: str, start: datetime, end: datetime, *, period: date = JUNE) -> Mark:
    """Its word that it has credited a ride on a shared bicycle."""
    key = period_key(EXCHANGE_KEYS["shenzhen-1"].encode(), SHENZHEN.code, period)
    return Mark(fingerprint(key, act_text("cycle_ride", {"vehicle_hash": vehicle})), start, end)


def marks_file(*marks: Mark, agreement: AgreementDefinition = SHENZHEN, period: date = JUNE) -> bytes:
    """Its file."""
    first = header_of(
        normal_form="cn-act/1",
        agreement=agreement.code,
        sender=agreement.partner,
        recipient=agreement.known_as,
        period=period,
        time_zone="Asia/Shanghai",
    )
    return b"".join(write_lines(first, marks))


@dataclass
class Exchange:
    """A world with agreements, and its API as members of staff."""

    world: World
    client: FlaskClient
    settings: Settings

    def call(
        self, method: str, path: str, person: str = "wang", *, role: Role = Role.OPERATIONS, **options: Any
    ) -> TestResponse:
        token = issue_demo_token(self.settings, issuer=ISSUER, subject=person, role=role)
        headers = {"Authorization": f"Bearer {token}", "Accept-Language": "en"}
        return self.client.open(f"/v1/exchange{path}", method=method, headers=headers, **options)

    def send(self, file: bytes, **options: Any) -> TestResponse:
        """Hand in a file of marks."""
        return self.call("POST", "/imports", data={"file": (BytesIO(file), "marks.jsonl")}, **options)

    def take_over(self, *marks: Mark, **about: Any) -> dict[str, Any]:
        """Hand in marks and return the import."""
        answer = self.send(marks_file(*marks, **about))
        assert answer.status_code == 201, answer.text
        assert isinstance(answer.json, dict)
        return answer.json

    def conflicts(self, imported: Mapping[str, Any], role: Role = Role.OPERATIONS) -> dict[str, Any]:
        answer = self.call(
            "GET",
            f"/imports/{imported['import_id']}/conflicts",
            role=role,
            query_string={"purpose": "case 7"},
        )
        assert answer.status_code == 200, answer.text
        assert isinstance(answer.json, dict)
        return answer.json

    def request(
        self, *, agreement: str = SHENZHEN.code, period: str = "2026-06", **options: Any
    ) -> TestResponse:
        body = {"agreement": agreement, "period": period, "reason": "monthly"}
        return self.call("POST", "/exports", options.pop("person", "wang"), json=body, **options)

    def approve(self, export_id: str, person: str = "zhao") -> TestResponse:
        return self.call("POST", f"/exports/{export_id}/approval", person)

    def file(self, export_id: str, person: str = "wang") -> TestResponse:
        return self.call("POST", f"/exports/{export_id}/file", person)

    def exported(self, **about: Any) -> list[str]:
        """Request, approve and take an export; returns the lines of its file."""
        asked = self.request(**about)
        assert asked.json is not None
        assert asked.status_code == 201, asked.text
        export_id = asked.json["export_id"]
        assert self.approve(export_id).status_code == 200
        taken = self.file(export_id)
        assert taken.status_code == 200, taken.text
        return taken.get_data(as_text=True).splitlines()

    def coverage(self, period: str = "2026-06", role: Role = Role.AUDITOR) -> dict[str, Any]:
        answer = self.call("GET", "/coverage", role=role, query_string={"period": period})
        assert answer.status_code == 200, answer.text
        assert isinstance(answer.json, dict)
        return answer.json

    def bus(self, reference: str, **options: Any) -> Receipt:
        """A bus trip of five kilometres."""
        return self.world.one("bus_trip", ticket(reference), **options)

    def withdraw(self, source: str, customer: str = "C1") -> None:
        """Let a customer withdraw one consent."""
        api = Api(self.client, self.settings, role=Role.CUSTOMER, subject=customer)
        path = f"/accounts/acct_{self.world.accounts[customer]}/consents/{source}/withdrawal"
        answer = api.call("POST", path, json={"channel": "app"})
        assert answer.status_code == 200, answer.text


def seed(agreements: Sequence[AgreementDefinition]) -> World:
    """A programme with agreements from May on. C1 consents to all, C2 to all but exchange, C3 to nothing."""
    seeded = seed_programme(
        bank_code="gansu",
        issuer=ISSUER,
        bank_name_en="Bank of Gansu (demonstration)",
        bank_name_zh="甘肃银行(演示)",
        catalogue=catalogue(),
        maker_person="maker",
        checker_person="checker",
    )
    with transaction() as session:
        proposed = [
            ProposedVersion(
                kind=VersionKind.AGREEMENT, code=each.code, content=as_content(each), valid_from=MAY_BEGINS
            )
            for each in agreements
        ]
        approvals.import_shipped(
            session,
            programme_id=seeded.programme_id,
            proposed=proposed,
            maker_person="maker",
            checker_person="checker",
        )
    with transaction() as session:
        settings = programme_settings(session, seeded.programme_id)
        names = ("C1", "C2", "C3")
        ids = open_accounts_in_bulk(
            session, settings, [NewHolder({Scheme.CUSTOMER_REF: name}) for name in names]
        )
    with transaction() as session:
        everything = list(settings.consent_sources)
        given = {ids[0]: everything, ids[1]: [code for code in everything if code not in EXCHANGES]}
        consents = [
            DeclaredConsent(account_id, source, CONSENTED, "branch")
            for account_id, sources in given.items()
            for source in sources
        ]
        consent_in_bulk(session, settings, consents)
    return World(seeded.programme_id, dict(zip(names, ids, strict=True)))


def consent(world: World, customer: str, *sources: str, covers_from: datetime = CONSENTED) -> None:
    """Let a customer consent, from an instant on."""
    with transaction() as session:
        settings = programme_settings(session, world.programme_id)
        given = [
            DeclaredConsent(world.accounts[customer], source, covers_from, "branch") for source in sources
        ]
        consent_in_bulk(session, settings, given)
