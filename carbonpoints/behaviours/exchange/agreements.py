"""What a change of an agreement must hold, and the agreements as the exchange uses them: one for each month and code."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo

from sqlalchemy.orm import Session

from carbonpoints.accounts.programme import programme_settings
from carbonpoints.approvals.changes import ProposedVersion
from carbonpoints.approvals.kinds import Checked, CheckFinding, Findings, KnownKinds
from carbonpoints.approvals.requirements import EvidenceKind
from carbonpoints.approvals.versions import StoredVersion, VersionKind, current_versions
from carbonpoints.behaviours.exchange.errors import ExchangeKeyMissing, UnknownAgreement
from carbonpoints.behaviours.exchange.normal_form import month_begin, next_month, period_key
from carbonpoints.core.auth import Caller
from carbonpoints.core.db import reading, settings
from carbonpoints.core.errors import FieldError, InvalidRequest, Message
from carbonpoints.core.programmes import ProgrammeSettings, programme_of
from carbonpoints.rules.agreements import AgreementDefinition
from carbonpoints.rules.catalogue import load_catalogue
from carbonpoints.rules.changes import refuse_other_code, wrong_content
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.nodes import DefinitionError
from carbonpoints.rules.parsing import from_content, parse_content
from carbonpoints.rules.reading import as_content


@dataclass(frozen=True)
class Period:
    """One month of one agreement of a programme."""

    programme: ProgrammeSettings
    agreement: AgreementDefinition
    month: date
    """Its first day."""

    @property
    def begin(self) -> datetime:
        """Its first instant."""
        return month_begin(self.month, self.programme.calendar.zone)

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        return month_begin(next_month(self.month), self.programme.calendar.zone)

    @property
    def key(self) -> bytes:
        """The key of its acts; raises ExchangeKeyMissing."""
        secret = settings().exchange_keys.get(self.agreement.key_reference)
        if secret is None:
            raise ExchangeKeyMissing(params={"agreement": self.agreement.code})
        return period_key(secret, self.agreement.code, self.month)


def find_period(session: Session, programme_id: int, code: str, month: date) -> Period:
    """Return a month of an agreement, by the version that holds in it; raises UnknownAgreement."""
    programme = programme_settings(session, programme_id)
    begin = month_begin(month, programme.calendar.zone)
    for each in load_catalogue(session, programme_id).agreements:
        if each.version.code == code and each.version.holds_at(begin):
            return Period(programme, each.definition, month)
    raise UnknownAgreement


def _read(item: ProposedVersion, zone: tzinfo) -> ProposedVersion:
    wrong = [
        FieldError(name, "no_month", "An agreement holds for whole months of the programme.")
        for name, bound in (("valid_from", item.valid_from), ("valid_to", item.valid_to))
        if bound is not None and bound != month_begin(bound.astimezone(zone).date().replace(day=1), zone)
    ]
    if item.valid_from is None:
        wrong.append(FieldError("valid_from", "required", "Missing data for required field."))
    if wrong:
        raise InvalidRequest(fields=wrong)
    if item.content is None:
        return item
    try:
        agreement = parse_content(AgreementDefinition, item.content, item.code)
    except DefinitionError as error:
        raise wrong_content(error) from None
    refuse_other_code(item, agreement.code)
    return ProposedVersion(
        kind=item.kind,
        code=item.code,
        content=as_content(agreement),
        valid_from=item.valid_from,
        valid_to=item.valid_to,
    )


@dataclass(frozen=True)
class _Surroundings:
    """What an agreement must fit: the acts and consent sources of the programme as it would be."""

    acts: Collection[str]
    consent_sources: Collection[str]
    used_sources: Collection[str]
    """Consent sources that say yes to something else already."""

    def misfits(self, agreement: AgreementDefinition) -> Iterator[tuple[str, str, Message]]:
        """Yield (field, code, sentence) for whatever does not fit."""
        for place, act in enumerate(agreement.acts):
            if act not in self.acts:
                yield (
                    f"acts.{place}",
                    "unknown_act",
                    Message("No behaviour type of this programme claims such an act."),
                )
        source = agreement.consent_source
        if source not in self.consent_sources:
            yield "consent_source", "unknown_consent_source", Message("The programme has no such source.")
        elif source in self.used_sources:
            yield "consent_source", "not_its_own", Message("This consent covers something else as well.")
        if agreement.key_reference not in settings().exchange_keys:
            yield "key_reference", "unknown_key", Message("No secret of this reference is configured.")


def _check(session: Session, programme_id: int, proposed: Sequence[ProposedVersion]) -> Findings:
    behaviours = dict(load_catalogue(session, programme_id).behaviours)
    sources = set(programme_settings(session, programme_id).consent_sources)
    others = {
        version.code: str(version.content["consent_source"])
        for version in list_agreements(session, programme_id)
    }
    agreements: dict[int, AgreementDefinition] = {}
    for place, item in enumerate(proposed):
        if item.content is None:
            continue
        if item.kind is VersionKind.BEHAVIOUR:
            behaviours[item.code] = from_content(BehaviourDefinition, item.content)
        elif item.kind is VersionKind.PROGRAMME:
            sources = set(item.content["consent_sources"])
        elif item.kind is VersionKind.AGREEMENT:
            agreements[place] = from_content(AgreementDefinition, item.content)
            others[item.code] = agreements[place].consent_source
    acts = {behaviour.claim.act for behaviour in behaviours.values()}
    of_behaviours = {behaviour.consent_source for behaviour in behaviours.values()}
    findings = []
    for place, agreement in agreements.items():
        of_others = {source for code, source in others.items() if code != agreement.code}
        around = _Surroundings(acts, sources, of_behaviours | of_others)
        findings += [
            CheckFinding(FieldError.saying(f"items.{place}.content.{field}", code, sentence))
            for field, code, sentence in around.misfits(agreement)
        ]
    return {EvidenceKind.STATIC_CHECKS: Checked(findings)}


def list_agreements(session: Session, programme_id: int) -> tuple[StoredVersion, ...]:
    """Return the agreements of a programme, ahead of us and behind us, by code and start."""
    return current_versions(session, programme_id, VersionKind.AGREEMENT)


def list_callers_agreements(*, caller: Caller) -> tuple[StoredVersion, ...]:
    """Return the agreements of the caller's programme."""
    with reading() as session:
        return list_agreements(session, programme_of(session, caller))


AGREEMENT_KINDS = KnownKinds(readers={VersionKind.AGREEMENT: _read}, check=_check)
