"""A budget of one period as slices: how much is left, and how that is spread over them. Pure.

Each slice has a share of the limit and what was drawn from it. Credits and their cost are counted side by side; a
measure without a limit has no shares. The shares never sum up to more than the limit, or than what was given out
already where the limit was set below that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

SLICES = 64
"""Several times as many as workers draw at once."""


class Amount(NamedTuple):
    """Credits and what they cost."""

    millicredits: int
    microfen: int
    """Millionths of a fen: exact for any whole price of a credit in thousandths of a fen."""


class Limits(NamedTuple):
    """The most of each measure; None does not limit."""

    millicredits: int | None
    microfen: int | None

    def left(self, used: Amount) -> Limits:
        """Return what is left when so much was used; nothing where that is more than the limit."""
        return Limits(
            *(None if limit is None else max(0, limit - gone) for limit, gone in zip(self, used, strict=True))
        )


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What holds for one budget on one business date."""

    programme_id: int
    code: str
    campaign: str | None
    """It limits the bonus credits of this campaign; None: all credits."""
    business_date: date
    starts_on: date
    """First business date of the period."""
    ends_on: date
    """Last business date of the period."""
    limits: Limits
    millifen_per_credit: int
    version_id: int
    """The version of the budget."""
    known_version_id: int
    """The highest version of its code that is known: it rises with every change, so it tells who knows more."""

    def cost(self, millicredits: int) -> Amount:
        """Return millicredits with their cost: a thousandth of a credit costs so many millionths of a fen."""
        return Amount(millicredits, millicredits * self.millifen_per_credit)

    def replaces(self, version_id: int, known_version_id: int) -> bool:
        """Whether slices that were cut by this version have to be cut anew.

        A delivery that was begun before a change draws by what those know that came after it.
        """
        return self.known_version_id > known_version_id or (
            self.known_version_id == known_version_id and self.version_id != version_id
        )


def covered(left: Limits, wanted: Amount) -> int:
    """Return how many of the wanted millicredits both measures cover; each costs the same."""
    millicredits = wanted.millicredits
    if left.millicredits is not None:
        millicredits = min(millicredits, left.millicredits)
    if left.microfen is not None and wanted.microfen:
        millicredits = min(millicredits, left.microfen // (wanted.microfen // wanted.millicredits))
    return millicredits


def spread(left: Limits, wanted: Amount) -> list[Limits]:
    """Return what each slice gets of what is left: equal parts, for as many as can each cover what is wanted.

    Where not even one can, the first gets all.
    """
    parts = min(
        [SLICES, *(rest // one for rest, one in zip(left, wanted, strict=True) if rest is not None and one)]
    )
    columns = [_parts(rest, max(1, parts)) for rest in left]
    return [Limits(*parts) for parts in zip(*columns, strict=True)]


def _parts(rest: int | None, parts: int) -> list[int | None]:
    if rest is None:
        return [None] * SLICES
    part, over = divmod(rest, parts)
    return [part + (number < over) if number < parts else 0 for number in range(SLICES)]
