"""What deciding needs and gathers, in memory, for the accounts of one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from carbonpoints.behaviours.candidates import Candidate, Delivery
from carbonpoints.behaviours.dispositions import Disposition
from carbonpoints.behaviours.originals import Original
from carbonpoints.behaviours.reversing import ClaimChanges
from carbonpoints.ledger.budgets import DRAWN_ON
from carbonpoints.ledger.flows import Book, Moment
from carbonpoints.ledger.queries import KnownEvent, StoredDecision
from carbonpoints.ledger.slices import Amount
from carbonpoints.rules.agreements import AgreementDefinition
from carbonpoints.rules.budgets import Purse
from carbonpoints.rules.usage import UsageBook


class Receipt(NamedTuple):
    """What became of one event."""

    event_hash: bytes
    disposition: Disposition
    account_id: int
    account_seq: int
    """Its decision's number; 0 where nothing was decided."""
    reduction_mg: int
    amount_millicredits: int
    reason: str | None


@dataclass(slots=True)
class Work:
    """What deciding needs and gathers, for the accounts of one transaction."""

    delivery: Delivery
    moment: Moment
    books: dict[int, Book]
    consents: Mapping[tuple[int, str], datetime]
    known: dict[bytes, KnownEvent]
    usage: dict[int, UsageBook]
    purse: Purse
    oldest: datetime
    """What happened before is too late."""
    payloads: list[tuple[int, int, bytes]]
    withdrawn: list[Candidate]
    """Copies of those that stayed undecided after all: the caller may run again with the candidates as they were."""
    originals: Mapping[bytes, Original]
    """What reversals and corrections take back."""
    marked: Mapping[bytes, AgreementDefinition]
    """Events whose act another programme has credited, with the agreement that says so."""
    reversed: Mapping[bytes, bytes]
    """Events that a reversal claims, whether or not it was decided: they earn nothing more."""
    claims: dict[int, ClaimChanges]
    taken_back: dict[int, list[StoredDecision]]
    """Decisions that reversals and corrections take back, by the account that decides it."""
    ended_reviews: dict[int, list[tuple[int, int]]]
    """Reviews of events that are reversed, by account: their number, and the reversal's."""

    def replace(self, accounts: Collection[int], newer: Work) -> None:
        """Take what `newer` says of these accounts in the place of what is here."""
        self.moment = max(self.moment, newer.moment, key=lambda moment: moment.booked_at)
        self.books |= newer.books
        for account_id in accounts:
            self.usage.pop(account_id, None)
            self.claims.pop(account_id, None)
            self.taken_back.pop(account_id, None)
            self.ended_reviews.pop(account_id, None)
        self.usage |= newer.usage
        self.claims |= newer.claims
        self.taken_back |= newer.taken_back
        self.ended_reviews |= newer.ended_reviews
        self.payloads = [each for each in self.payloads if each[0] not in accounts] + newer.payloads
        kept = [candidate for candidate in self.withdrawn if candidate.account_id not in accounts]
        self.withdrawn = kept + newer.withdrawn

    def given_back(self) -> dict[str, dict[date, Amount]]:
        """Return what comes back to budgets."""
        return drawn_by(each for taken in self.taken_back.values() for each in taken)


def drawn_by(decisions: Iterable[StoredDecision]) -> dict[str, dict[date, Amount]]:
    """Return what decisions drew on budgets: by code, and by the business date on which it was drawn."""
    found: dict[str, dict[date, Amount]] = {}
    for decision in decisions:
        for code, (millicredits, microfen) in (decision.trace or {}).get(DRAWN_ON, {}).items():
            days = found.setdefault(code, {})
            known = days.get(decision.business_date, Amount(0, 0))
            days[decision.business_date] = Amount(
                known.millicredits + millicredits, known.microfen + microfen
            )
    return found


def unchanged(candidate: Candidate, disposition: Disposition) -> Receipt:
    """Return the answer to an event about which nothing was decided."""
    return Receipt(candidate.event_hash, disposition, candidate.account_id, 0, 0, 0, None)
