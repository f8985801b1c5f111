"""Lots (M5): their burn order, and which part of an award is still in its lot. Pure.

Within a lot the earliest award counts as spent first. So the lot is a line: awards stand on it in the order in
which they were earned, and what left the lot is cut off from its beginning. What is where on the line follows
from sums over the lot's entries:

    | spent or held | expired | available |

An award's part that lies in "spent or held" is owed when the award is reversed, the part in "expired" is gone,
the part in "available" can be taken back. What a reversal could not take back had left the lot before, so the
rest of a reversed award stands at the very beginning of the line. A part carried into a lot of grace has left
this lot and counts as spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from carbonpoints.ledger.chart import Flow, Kind


@dataclass(frozen=True, slots=True)
class Lot:
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

    matured: Mapping[int, Sequence[int]]
    """By a maturity's number: its awards; their entries follow that number in this order, without a gap."""
    reversed: Mapping[int, int]
    """By a reversal's number: its award."""


_ENDS = frozenset({Flow.EXPIRE, Flow.EXPIRE_RELEASED, Flow.FORFEIT})


@dataclass(slots=True)
class _Line:
    """One lot's line while its entries are read."""

    standing: dict[int, int]
    """Millicredits on the line by award, or by the entry that brought them where that was no award."""
    available: int = 0
    gone: int = 0

    def read(self, entry: tuple[Any, ...], causes: Causes) -> None:
        _, seq, _, _, amount, cause_seq, _, _, _, flow, from_kind, to_kind = entry
        if to_kind == Kind.AVAILABLE:
            self.available += amount
        elif from_kind == Kind.AVAILABLE:
            self.available -= amount
        if flow == Flow.EARN:
            self.standing[cause_seq] = self.standing.get(cause_seq, 0) + amount
        elif flow == Flow.MATURE:
            award_seq = causes.matured[cause_seq][seq - cause_seq - 1]
            self.standing[award_seq] = self.standing.get(award_seq, 0) + amount
        elif to_kind == Kind.AVAILABLE and flow in {Flow.TRANSFER_IN, Flow.GRACE}:
            self.standing[seq] = amount
        elif flow == Flow.REVERSE and from_kind == Kind.AVAILABLE:
            self.standing[causes.reversed[cause_seq]] -= amount
        elif flow in _ENDS and from_kind == Kind.AVAILABLE:
            self.gone += amount

    def part(self, award_seq: int, lot_no: int, was_reversed: frozenset[int]) -> AwardPart:
        """Cut the award's stretch of the line at the two borders."""
        order = sorted(self.standing, key=lambda seq: (seq not in was_reversed, seq))
        start = sum(self.standing[seq] for seq in order[: order.index(award_seq)])
        end = start + self.standing[award_seq]
        gone_from = sum(self.standing.values()) - self.available - self.gone
        available_from = gone_from + self.gone
        owed = max(0, min(end, gone_from) - start)
        available = max(0, end - max(start, available_from))
        return AwardPart(lot_no, available, end - start - owed - available, owed)


def trace_award(award_seq: int, entries: Iterable[tuple[Any, ...]], causes: Causes) -> Award:
    """Return where the award is now.

    `entries` are rows in the order of the table's columns and of the journal: at least all entries of the lots
    that the award fed, and its own.
    """
    lines: dict[int, _Line] = {}
    fed: set[int] = set()
    reduction_mg = 0
    for entry in entries:
        _, _, _, _, amount, cause_seq, _, lot_no, _, flow, _, _ = entry
        if flow == Flow.QUANTIFY and cause_seq == award_seq:
            reduction_mg += amount
        if not lot_no:
            continue
        line = lines.get(lot_no)
        if line is None:
            line = lines[lot_no] = _Line({})
        line.read(entry, causes)
        if award_seq in line.standing:
            fed.add(lot_no)
    was_reversed = frozenset(causes.reversed.values())
    parts = tuple(lines[lot_no].part(award_seq, lot_no, was_reversed) for lot_no in sorted(fed))
    return Award(award_seq, reduction_mg, parts)
