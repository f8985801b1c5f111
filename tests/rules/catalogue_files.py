"""A small catalogue as YAML: one behaviour, its rule, one factor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carbonpoints.approvals.drafts import read_draft
from carbonpoints.approvals.evidence import record_evidence
from carbonpoints.approvals.requests import approve_change, submit_change
from carbonpoints.approvals.requirements import EvidenceKind, Result
from carbonpoints.approvals.services import ImportOutcome
from carbonpoints.approvals.steps import etag_of, find_change
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading, transaction
from carbonpoints.core.models import Programme
from carbonpoints.core.roles import Role
from carbonpoints.rules import services
from carbonpoints.rules.parsing import parse_programme
from carbonpoints.rules.shipped import RULES, ShippedCatalogue
from carbonpoints.rules.submissions import Submission, read_files

FACTOR = """factors:
- code: {code}
  name_en: Tram ride
  name_zh: 有轨电车
  value: "{value}"
  unit: {unit}
  quantity: reduction
  region: CN
  data_year: 2023
  source_title: Report
  source_address: https://source.test/report
  grade: A
  use: reduction
  valid_from: {valid_from}
"""

BEHAVIOUR = """behaviour:
  code: {code}
  name_en: Tram trip
  name_zh: 电车出行
  behaviour_class: travel
  consent_source: {consent_source}
  attributes:
    distance_km: {{type: number, unit: {unit}, required: true, name_en: Distance, name_zh: 距离}}
    ticket: {{type: text, required: true, max_length: 64, name_en: Ticket, name_zh: 车票}}
  evidence: [ticket]
  claim: {{act: transport_trip, fields: [ticket]}}
  specificity: 20
"""

RULE = """rule:
  code: {code}
  behaviour: {behaviour}
  title_en: Tram trips
  title_zh: 电车
  basis_en: {basis}
  basis_zh: 依据
  valid_from: "{valid_from}"
  factors: [TRAM]
  baseline: "{baseline}"
  project: "0"
  leakage: "0"
  purpose: reduction
  credits: {{millicredits_per_mg: "1", grant_millicredits: 0}}
  expiry_months: 24
  samples:
  - attributes: {{distance_km: "2", ticket: T1}}
    reduction_mg: {sample_mg}
    millicredits: {sample_mg}
  methodology:
    {{applicability_en: A, applicability_zh: 甲, additionality_en: A, additionality_zh: 甲, baseline_scenario_en: A,
    baseline_scenario_zh: 甲, leakage_en: A, leakage_zh: 甲, uncertainty_en: A, uncertainty_zh: 甲,
    double_counting_en: A, double_counting_zh: 甲, author: A, document: A,
    monitoring: [{{data: [distance_km, ticket], source_en: A, source_zh: 甲}}]}}
"""

Y2024 = "2024-01-01T00:00:00+08:00"
Y2025 = "2025-01-01T00:00:00+08:00"


def factor(value: str = "20", valid_from: str = "2023-01-01", code: str = "TRAM", unit: str = "g/km") -> str:
    return FACTOR.format(value=value, valid_from=valid_from, code=code, unit=unit)


def behaviour(code: str = "tram_trip", consent_source: str = "trips", unit: str = "km") -> str:
    return BEHAVIOUR.format(code=code, consent_source=consent_source, unit=unit)


def rule(
    *,
    code: str = "tram_trip",
    behaviour: str = "tram_trip",
    valid_from: str = Y2024,
    baseline: str = "distance_km * TRAM",
    sample_mg: int = 40_000,
    basis: str = "Basis",
) -> str:
    return RULE.format(
        code=code,
        behaviour=behaviour,
        valid_from=valid_from,
        baseline=baseline,
        sample_mg=sample_mg,
        basis=basis,
    )


def write(folder: Path, **files: str) -> Path:
    """Write `<name>.yaml` for each keyword."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    return folder


def tram_files(folder: Path, **changed: str) -> Path:
    """Write the whole small catalogue; keywords replace a file's text or add a file."""
    return write(folder, **{"factor": factor(), "behaviour": behaviour(), "rule": rule(), **changed})


def read(folder: Path) -> Submission:
    return read_files([folder])


def seed_empty(bank: str = "hbank") -> int:
    """Set up a programme without a catalogue."""
    programme = parse_programme((RULES / "programme.yaml").read_text("utf-8"), "programme.yaml")
    return services.seed_programme(
        bank_code=bank,
        issuer=f"https://{bank}.test",
        bank_name_en=bank,
        bank_name_zh=bank,
        catalogue=ShippedCatalogue(factors=(), behaviours=(), rules=(), programme=programme),
        maker_person="lin",
        checker_person="zhao",
    ).programme_id


def ship(programme_id: int, submission: Submission) -> ImportOutcome:
    return services.import_shipped(
        programme_id=programme_id, submission=submission, maker_person="lin", checker_person="zhao"
    )


def draft(programme_id: int, submission: Submission) -> int:
    outcome = services.draft_definitions(
        programme_id=programme_id, submission=submission, maker_person="lin", reason="new figure"
    )
    assert outcome.draft_id is not None
    return outcome.draft_id


def confirm(programme_id: int, change_request_id: int, checkers: Sequence[str] = ("zhao",)) -> None:
    """Submit a draft, with a back-test that found no history, and approve it."""
    with transaction() as session:
        draft = read_draft(session, find_change(session, programme_id, change_request_id))
        record_evidence(session, draft, EvidenceKind.BACK_TEST, Result.NO_HISTORY_YET, {})
    submit_change(**_named(programme_id, change_request_id, Role.RULE_MAKER, "lin"))
    for checker in checkers:
        approve_change(**_named(programme_id, change_request_id, Role.RULE_CHECKER, checker))


def _named(programme_id: int, change_request_id: int, role: Role, person: str) -> dict[str, Any]:
    with reading() as session:
        tag = etag_of(session, find_change(session, programme_id, change_request_id))
        programme = session.get_one(Programme, programme_id)
    caller = Caller(
        programme.bank_id, "https://hbank.test", person, role, frozenset(), person, programme.code, ()
    )
    return {"caller": caller, "change_request_id": change_request_id, "tags": {tag}, "reason": None}
