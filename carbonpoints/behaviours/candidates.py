"""Events on their way to a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.staged import StagedEvent
from carbonpoints.core.programmes import ProgrammeSettings
from carbonpoints.rules.agreements import AgreementDefinition
from carbonpoints.rules.catalogue import PinnedRule
from carbonpoints.rules.definitions import BudgetDefinition
from carbonpoints.rules.engine import Assessment, CompiledRule
from carbonpoints.rules.timelines import Held

Budgets = Sequence[Held[BudgetDefinition]]
Agreements = Sequence[Held[AgreementDefinition]]


@dataclass(frozen=True)
class Source:
    """A registered source of events."""

    source_id: int
    uri: str
    is_backfill: bool
    consent_sources: frozenset[str]
    """It reports behaviours that need one of these consents, and no other."""


@dataclass(frozen=True)
class Delivery:
    """What all events of one request or file share."""

    programme: ProgrammeSettings
    source: Source
    received_at: datetime
    identity_key: bytes
    key_version: int
    budgets: Budgets = ()
    """The programme's; left out where nothing is decided."""
    agreements: Agreements = ()
    """With other programmes, of all times; left out where nothing is decided."""


class Claim(NamedTuple):
    """The act an event claims: its fingerprint without the person, and the interval it covers, if any."""

    fingerprint: bytes
    start: datetime | None
    end: datetime | None


class KeyedAct(NamedTuple):
    """A claimed act as one agreement writes it in one period, given by its first day."""

    fingerprint: bytes
    agreement: AgreementDefinition
    period: date
    start: datetime | None
    end: datetime | None


@dataclass(slots=True)
class Candidate:
    """An event on its way to a decision."""

    event: StagedEvent
    event_hash: bytes
    occurred_at: datetime
    content: bytes
    """Canonical JSON of the inputs in UTF-8, the bytes under the commitment."""
    commitment: bytes
    undecided: Disposition | None = None
    pinned: PinnedRule | None = None
    compiled: CompiledRule | None = None
    assessment: Assessment | None = None
    local_date: date | None = None
    claim: Claim | None = None
    account_id: int = 0
    is_new: bool = True
    """Whether this delivery was the first to claim the event's identity."""
    claimed_by: int = 0
    """The other account that holds the event's identity, or 0: it answers for the event."""
    keyed: tuple[KeyedAct, ...] = ()
    """The claim under the agreements that its customer consents to."""
    is_claimed_elsewhere: bool = False
    is_outdone: bool = False
    """Whether a higher revision of the same event goes on to be decided in the same delivery."""
    reverses: bytes = b""
    """Of a reversal: the identity of the event that it takes back."""
    home_id: int = 0
    """Of a reversal: the account to which that event went, which may have been merged since."""
