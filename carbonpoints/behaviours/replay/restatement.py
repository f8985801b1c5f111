"""A restatement: acts of a past period judged again, and what their awards come to then. Without a database.

Reduction is corrected for all. Credits that were granted stay, whatever judges the act now; what it gives beyond them is
paid. So an award comes to the higher of the two, also where a cap would have given its room to another act. What an
adjustment gave for the act already is not given again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from carbonpoints.behaviours.replay.accounts import Facts, Handling, PastEvent, Replayed
from carbonpoints.core.errors import Message
from carbonpoints.rules.engine import Outcome
from carbonpoints.rules.nodes import content_tree
from carbonpoints.rules.reading import Reader


@dataclass(frozen=True, kw_only=True)
class RestatementDefinition:
    """What is restated, and why: acts of some behaviours on local dates, both included.

    They are judged by what is held, when the restatement is approved, to have been in force when they happened.
    """

    code: str
    first_day: date
    last_day: date
    behaviours: tuple[str, ...]
    """By their codes. Acts of others are judged as they were, and again only where they share caps with these."""
    explanation_en: str
    explanation_zh: str
    """What customers read beside each restated award."""


def read_restatement(content: object) -> RestatementDefinition:
    """Return the restatement of stored content."""
    return Reader("restatement", content_tree(content)).read(RestatementDefinition)


def validate_restatement(restatement: RestatementDefinition) -> Iterator[tuple[str, Message]]:
    """Yield (field, sentence) for everything that is wrong with it by itself."""
    if restatement.last_day < restatement.first_day:
        yield "last_day", Message("must not be before first_day")
    if not restatement.behaviours:
        yield "behaviours", Message("must name at least one")
    for name in ("explanation_en", "explanation_zh"):
        if not getattr(restatement, name).strip():
            yield name, Message("must say something")


@dataclass
class Standing:
    """What awards come to, and what of the result could not be theirs."""

    facts: Facts
    kept_millicredits: int = 0
    """Granted, and not given by what judges the acts now."""
    withheld_millicredits: int = 0
    """What accounts would get that are closed."""
    _taken_back: dict[int, frozenset[int]] = field(default_factory=dict)

    def of(self, rerun: Iterable[Replayed]) -> Iterator[Replayed]:
        """Yield replayed events, of `replay` with `rerun`, with what they come to.

        What was reversed or corrected and what no rule led to stays as it is.
        """
        for replayed in rerun:
            event, handling, _, outcome = replayed
            reduction_mg, amount_millicredits = event.reduction_mg, event.amount_millicredits
            if handling is Handling.JUDGED and event.account_seq not in self._taken_back_of(event.account_id):
                reduction_mg, amount_millicredits = self._comes_to(event, outcome)
            standing = outcome._replace(reduction_mg=reduction_mg, amount_millicredits=amount_millicredits)
            yield replayed._replace(outcome=standing)

    def _comes_to(self, event: PastEvent, outcome: Outcome) -> tuple[int, int]:
        """Return mg and millicredits of an award that is judged again."""
        beside_mg, beside_millicredits = self.facts.adjusted.get(
            (event.account_id, event.account_seq), (0, 0)
        )
        reduction_mg = max(0, outcome.reduction_mg - beside_mg)
        given_millicredits = max(0, outcome.amount_millicredits - beside_millicredits)
        amount_millicredits = max(event.amount_millicredits, given_millicredits)
        self.kept_millicredits += amount_millicredits - given_millicredits
        if self.facts.statuses[event.account_id] == "closed":
            self.withheld_millicredits += amount_millicredits - event.amount_millicredits
            amount_millicredits = event.amount_millicredits
        return reduction_mg, amount_millicredits

    def left(self) -> dict[str, int]:
        """Return what stays as it is, as it is reported."""
        return {
            "kept_millicredits": self.kept_millicredits,
            "withheld_millicredits": self.withheld_millicredits,
        }

    def _taken_back_of(self, account_id: int) -> frozenset[int]:
        found = self._taken_back.get(account_id)
        if found is None:
            taken_back = self.facts.taken_back.get(account_id, ())
            found = frozenset(event_seq for _, event_seq in taken_back)
            self._taken_back = {account_id: found}  # Events come account by account.
        return found


LEFT = tuple(Standing(Facts()).left())
"""The names of what stays as it is."""
