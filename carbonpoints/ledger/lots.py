"""Lots (M5): their burn order, and which part of an award is still in its lot. Pure.

Within a lot the earliest award counts as spent first. So the lot is a line: awards stand on it in the order in
which they were earned, and what left the lot is cut off from its beginning. What is where on the line follows
from sums over the lot's entries:

    | spent or held | expired | available |

An award's part that lies in "spent or held" is owed when the award is reversed, the part in "expired" is gone,
the part in "available" can be taken back. A reversal takes from the line all but the part that is owed; this rest had
left the lot before, so it stands at the very beginning from then on.

What is carried into a lot of grace was held or spent until it was given back: it is cut off from the end of that
stretch, and steps over to the line of the other lot. There it stands at the number at which it was given back, behind
everything that came before, and stays the part of the same awards.

What a transfer takes to another account counts as spent until a transfer brings it back (a merge and its undoing). Of
what is available it takes first what transfers had brought.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

from carbonpoints.ledger.chart import Flow, Kind


class Lot(NamedTuple):
    """Credits of one unit, batch and expiry; `lot_no` is its order of creation in the account."""

    lot_no: int
    unit_id: int
    batch: str | None
    expires_on: date
    """The last business date on which its credits can be used."""
    created_seq: int

    def is_expired(self, business_date: date) -> bool:
        """Whether its available part can no longer be used on `business_date`."""
        return self.expires_on < business_date


def burn_order(lots: Iterable[Lot]) -> list[Lot]:
    """Order in which lots are spent: earlier expiry first, then earlier creation."""
    return sorted(lots, key=lambda lot: (lot.expires_on, lot.lot_no))


@dataclass(frozen=True, slots=True)
class AwardPart:
    """Where the matured credits of one award in one lot are now, in millicredits."""

    lot_no: int
    available: int
    gone: int
    """Expired or forfeited."""
    owed: int
    """Spent or held: what a reversal charges as clawback due."""


@dataclass(frozen=True, slots=True)
class Award:
    """An award as far as it can still be taken back; what is still pending stands in its pending award."""

    award_seq: int
    reduction_mg: int
    parts: tuple[AwardPart, ...]


@dataclass(frozen=True, slots=True)
class Causes:
    """Which award an entry belongs to, where its cause is not the award itself: from the decisions' traces."""

    awards: dict[int, Sequence[int]]
    """By the number of a maturity or of a review that was opened: the awards of the entries that follow that number, in
    their order and without a gap."""
    reversed: dict[int, int]
    """By a reversal's number: its award."""


_ENDS = frozenset({Flow.EXPIRE, Flow.EXPIRE_RELEASED, Flow.FORFEIT})
_GRANTS = frozenset({Flow.EARN, Flow.ADJUST})
_REDUCES = frozenset({Flow.QUANTIFY, Flow.ADJUST})


_Stretch = tuple[int, int]
"""The number at which credits came to stand on the line, and whose they are: the award's, or for want of one the
transfer's that brought them. Both are decisions."""


@dataclass(slots=True)
class _Line:
    """One lot's line while its entries are read."""

    standing: dict[_Stretch, int] = field(default_factory=dict)
    available: int = 0
    gone: int = 0
    away: int = 0
    """Of what is spent: in another account."""

    @property
    def spent(self) -> int:
        """Where the part that is spent or held ends, and that which is gone begins."""
        return sum(self.standing.values()) - self.available - self.gone

    def add(self, stretch: _Stretch, amount: int) -> None:
        self.standing[stretch] = self.standing.get(stretch, 0) + amount

    def between(self, start: int, end: int, was_reversed: AbstractSet[int]) -> dict[_Stretch, int]:
        """Return what stands from one place on the line to another."""
        found = {}
        place = 0
        for stretch in sorted(self.standing, key=lambda each: (each[1] not in was_reversed, each)):
            begin, place = place, place + self.standing[stretch]
            amount = min(end, place) - max(start, begin)
            if amount > 0:
                found[stretch] = amount
        return found

    def cut(self, award_seq: int, was_reversed: AbstractSet[int]) -> tuple[dict[_Stretch, int], ...]:
        """Return what is the award's before, between and behind the two borders: owed, gone, available."""
        borders = (0, self.spent, self.spent + self.gone, sum(self.standing.values()))
        return tuple(
            {
                stretch: amount
                for stretch, amount in self.between(start, end, was_reversed).items()
                if stretch[1] == award_seq
            }
            for start, end in pairwise(borders)
        )

    def take(self, parts: Mapping[_Stretch, int]) -> None:
        for stretch, amount in parts.items():
            self.standing[stretch] -= amount

    def send(self, amount: int, brought: AbstractSet[int], was_reversed: AbstractSet[int]) -> None:
        """Let a transfer take from what is available."""
        end = sum(self.standing.values())
        for stretch, part in self.between(end - self.available, end, was_reversed).items():
            if stretch[1] in brought:
                sent = min(part, amount)
                self.standing[stretch] -= sent
                amount -= sent
        self.away += amount


@dataclass(slots=True)
class _Lines:
    """The lines of an account's lots while the journal is read."""

    causes: Causes
    by_lot: dict[int, _Line] = field(default_factory=dict)
    was_reversed: set[int] = field(default_factory=set)
    brought: set[int] = field(default_factory=set)
    """The transfers that arrived."""
    stepping: dict[_Stretch, int] = field(default_factory=dict)
    """What is between two lines: the entry that carries it into its lot of grace follows."""

    def read(self, entry: tuple[Any, ...]) -> None:
        _, seq, _, _, amount, cause_seq, _, lot_no, _, flow, from_kind, to_kind = entry
        line = self.by_lot.setdefault(lot_no, _Line())
        if from_kind == Kind.AVAILABLE:
            self._leave(line, flow, amount, seq, cause_seq)
        elif from_kind == Kind.PENDING and flow == Flow.GRACE:
            self.stepping = {(cause_seq, self._award_of(seq, cause_seq)): amount}
        elif to_kind == Kind.AVAILABLE:
            line.available += amount
            if flow in _GRANTS:
                line.add((cause_seq, cause_seq), amount)
            elif flow == Flow.MATURE:
                award_seq = self._award_of(seq, cause_seq)
                line.add((award_seq, award_seq), amount)
            elif flow == Flow.GRACE:
                for (_, owner), part in self.stepping.items():
                    line.add((cause_seq, owner), part)
            elif flow == Flow.TRANSFER_IN:
                back = min(amount, line.away)
                line.away -= back
                line.add((cause_seq, cause_seq), amount - back)
                self.brought.add(cause_seq)

    def _award_of(self, seq: int, cause_seq: int) -> int:
        """Return whose an entry of a maturity or a review is."""
        award_seqs = self.causes.awards[cause_seq]
        return award_seqs[min(seq - cause_seq, len(award_seqs)) - 1]

    def _leave(self, line: _Line, flow: int, amount: int, seq: int, cause_seq: int) -> None:
        if flow == Flow.GRACE:
            self.stepping = line.between(line.spent, line.spent + amount, self.was_reversed)
            line.take(self.stepping)
        elif flow == Flow.TRANSFER_OUT:
            line.send(amount, self.brought, self.was_reversed)
        elif flow == Flow.SET_ASIDE:
            _, _, available = line.cut(self._award_of(seq, cause_seq), self.was_reversed)
            line.take(available)
        elif flow in _ENDS and cause_seq not in self.causes.reversed:
            line.gone += amount
        line.available -= amount

    def reverse(self, award_seq: int) -> None:
        """Take the award from the lines; the entries of what was available follow."""
        for line in self.by_lot.values():
            _, gone, available = line.cut(award_seq, self.was_reversed)
            line.take(gone)
            line.take(available)
            line.gone -= sum(gone.values())
        self.was_reversed.add(award_seq)


def trace_award(award_seq: int, entries: Iterable[tuple[Any, ...]], causes: Causes) -> Award:
    """Return where the award is now.

    `entries` are rows in the order of the table's columns and of the journal: at least all entries of the lots
    that the award fed and of those that are joined to them by a grace, and its own.
    """
    lines = _Lines(causes)
    reversals = deque(sorted(causes.reversed.items()))
    reduction_mg = 0
    for entry in entries:
        _, seq, _, _, amount, cause_seq, _, lot_no, _, flow, _, _ = entry
        while reversals and reversals[0][0] < seq:
            lines.reverse(reversals.popleft()[1])
        if flow in _REDUCES and cause_seq == award_seq and not lot_no:
            reduction_mg += amount
        if lot_no:
            lines.read(entry)
    for _, reversed_seq in reversals:
        lines.reverse(reversed_seq)
    parts = []
    for lot_no, line in sorted(lines.by_lot.items()):
        owed, gone, available = (sum(part.values()) for part in line.cut(award_seq, lines.was_reversed))
        if owed or gone or available:
            parts.append(AwardPart(lot_no, available, gone, owed))
    return Award(award_seq, reduction_mg, tuple(parts))
