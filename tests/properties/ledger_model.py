"""What an account should have, kept as plainly as possible: nothing here knows the ledger's code.

A lot is a row of tokens, one for each millicredit that ever stood in it, labelled with the number at which it came
and with the award that earned it. What left the lot is only counted; which tokens left is decided when somebody asks:
the first ones, where tokens of reversed awards come first, then those of the earliest label. Taken out of
the row is what a reversal does not charge, and what passes into a grace, to stand in another row: the last ones of
those that had left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

Label = tuple[int, int]
"""The number at which tokens came, and the award that earned them: the same where they came by being earned."""


@dataclass
class PlainLot:
    expires: date
    standing: dict[Label, int] = field(default_factory=dict)
    """Millicredits by label."""
    left: int = 0
    """Spent, settled, moved elsewhere."""
    held: int = 0
    ended: int = 0
    """Expired or forfeited."""
    away: int = 0
    """Part of what left: sent elsewhere, and not come back."""

    @property
    def available(self) -> int:
        return sum(self.standing.values()) - self.left - self.held - self.ended


@dataclass
class PlainHold:
    amount: int
    rest: list[tuple[PlainLot, int]]


@dataclass
class PlainWaiting:
    lot: PlainLot
    amount: int
    matures: date
    review: int = 0
    """The review of its event that it waits for, or 0."""


@dataclass
class PlainAccount:
    today: date
    lots: list[PlainLot] = field(default_factory=list)
    pending: dict[tuple[int, date], PlainWaiting] = field(default_factory=dict)
    """By award and its lot's expiry."""
    under: int = 0
    """The review of the account that is open, or 0."""
    holds: dict[int, PlainHold] = field(default_factory=dict)
    captures: dict[int, list[tuple[PlainLot, int]]] = field(default_factory=dict)
    due: int = 0
    reduction: int = 0
    reductions: dict[int, int] = field(default_factory=dict)
    reversed: set[int] = field(default_factory=set)
    arrived: set[int] = field(default_factory=set)
    """Labels of what came from elsewhere."""

    def lot(self, expires: date) -> PlainLot:
        for lot in self.lots:
            if lot.expires == expires:
                return lot
        self.lots.append(PlainLot(expires))
        return self.lots[-1]

    def usable(self) -> list[PlainLot]:
        return sorted((lot for lot in self.lots if lot.expires >= self.today), key=lambda lot: lot.expires)

    @property
    def available(self) -> int:
        return sum(lot.available for lot in self.usable())

    @property
    def held(self) -> int:
        return sum(lot.held for lot in self.lots)

    @property
    def awaiting(self) -> int:
        return sum(each.amount for each in self.pending.values())

    def expiring(self, days: int) -> int:
        last = self.today + timedelta(days=days)
        return sum(lot.available for lot in self.usable() if lot.expires <= last)

    def _settle(self, lot: PlainLot, amount: int) -> int:
        paid = min(amount, self.due)
        lot.left += paid
        self.due -= paid
        return amount - paid

    def earn(self, label: int, amount: int, expires: date, matures: date | None, reduction: int) -> None:
        lot = self.lot(expires)
        self.reduction += reduction
        self.reductions[label] = reduction
        if self.under or (matures is not None and matures > self.today):
            self.pending[label, expires] = PlainWaiting(lot, amount, matures or self.today)
            return
        lot.standing[label, label] = amount
        self._settle(lot, amount)

    def mature(self) -> None:
        fresh = []
        for label, expires in self.ready() if not self.under else ():
            waiting = self.pending.pop((label, expires))
            standing = waiting.lot.standing
            standing[label, label] = standing.get((label, label), 0) + waiting.amount
            fresh.append((waiting.lot, waiting.amount))
        for lot, amount in fresh:
            self._settle(lot, amount)

    def ready(self) -> list[tuple[int, date]]:
        """What waits for no review and has had its day, in the order of days, awards and lots."""
        due = [key for key, each in self.pending.items() if each.matures <= self.today and not each.review]
        return sorted(
            due, key=lambda key: (self.pending[key].matures, key[0], self.lots.index(self.pending[key].lot))
        )

    def review(self, label: int, award: int) -> None:
        """Let what is available of an award wait, in lots that can still be used; and what of it waits already."""
        for lot in self.usable():
            first_available = lot.left + lot.held + lot.ended
            taken = [token for token in self.tokens(lot)[first_available:] if token[1] == award]
            for token in taken:
                lot.standing[token] -= 1
            if taken:
                waiting = self.pending.setdefault((award, lot.expires), PlainWaiting(lot, 0, self.today))
                waiting.amount += len(taken)
        for (label_of, _), waiting in self.pending.items():
            if label_of == award:
                waiting.review = label

    def end_review(self, review: int, grace_days: int, label: int) -> None:
        self.under = 0 if self.under == review else self.under
        for waiting in self.pending.values():
            if waiting.review == review:
                waiting.review = 0
        if self.under:
            return
        for place, key in enumerate(self.ready() if grace_days else ()):
            waiting = self.pending[key]
            if waiting.lot.expires >= self.today:
                continue
            del self.pending[key]
            award, paid = key[0], min(waiting.amount, self.due)
            waiting.lot.standing[award, award] = waiting.lot.standing.get((award, award), 0) + paid
            self._settle(waiting.lot, paid)
            if waiting.amount > paid:
                grace = self.lot(self.today + timedelta(days=grace_days))
                grace.standing[label + place, award] = waiting.amount - paid
        self.mature()
        self.expire()

    def hold(self, label: int, amount: int) -> bool:
        if amount > self.available:
            return False
        rest = []
        missing = amount
        for lot in self.usable():
            part = min(missing, lot.available)
            if part:
                lot.held += part
                rest.append((lot, part))
                missing -= part
        self.holds[label] = PlainHold(amount, rest)
        return True

    def open_amount(self, hold: int) -> int:
        return sum(amount for _, amount in self.holds[hold].rest)

    def capture(self, label: int, hold: int, amount: int) -> None:
        rest = self.holds[hold].rest
        taken = []
        while amount:
            lot, part = rest.pop(0)
            if part > amount:
                rest.insert(0, (lot, part - amount))
                part = amount
            lot.held -= part
            lot.left += part
            amount -= part
            taken.append((lot, part))
        if not rest:
            del self.holds[hold]
        self.captures[label] = taken

    def release(self, hold: int, grace_days: int, label: int) -> None:
        for lot, part in self.holds.pop(hold).rest:
            lot.held -= part
            self._given_back(lot, part, grace_days, label)

    def refund(self, capture: int, amount: int, grace_days: int, label: int) -> None:
        taken = self.captures[capture]
        while amount:
            lot, part = taken.pop()
            if part > amount:
                taken.append((lot, part - amount))
                part = amount
            lot.left -= part
            amount -= part
            self._given_back(lot, part, grace_days, label)
        if not taken:
            del self.captures[capture]

    def _given_back(self, lot: PlainLot, amount: int, grace_days: int, label: int) -> None:
        amount = self._settle(lot, amount)
        if lot.expires >= self.today:
            return
        if grace_days == 0:
            lot.ended += amount
        elif amount:
            grace = self.lot(self.today + timedelta(days=grace_days))
            border = lot.left + lot.held
            for came, award in self.tokens(lot)[border : border + amount]:
                lot.standing[came, award] -= 1
                # It stands under the number at which it was given back: after all awards of before.
                grace.standing[label, award] = grace.standing.get((label, award), 0) + 1

    def expire(self) -> None:
        for lot in self.lots:
            if lot.expires < self.today:
                lot.ended += lot.available

    def tokens(self, lot: PlainLot) -> list[Label]:
        labels = sorted(lot.standing, key=lambda label: (label[1] not in self.reversed, label))
        return [label for label in labels for _ in range(lot.standing[label])]

    def reverse(self, award: int, limit: int) -> None:
        owed = 0
        self.pending = {key: each for key, each in self.pending.items() if key[0] != award}
        for lot in self.lots:
            tokens = self.tokens(lot)
            first_gone = lot.left + lot.held
            first_available = first_gone + lot.ended
            owed += sum(earned_by == award for _, earned_by in tokens[:first_gone])
            for place, (came, earned_by) in enumerate(tokens):
                if earned_by == award and place >= first_gone:
                    lot.standing[came, award] -= 1
                    lot.ended -= place < first_available
        self.reversed.add(award)
        self.due += min(owed, max(0, limit - self.due))
        self.reduction -= self.reductions.pop(award)

    def take_out(self, amount: int) -> list[tuple[date, int]]:
        """Send `amount` of what is usable elsewhere, earliest expiry first."""
        parcels = []
        for lot in self.usable():
            part = min(amount, lot.available)
            if part:
                self._send(lot, part)
                amount -= part
                parcels.append((lot.expires, part))
        return parcels

    def _send(self, lot: PlainLot, amount: int) -> None:
        """What came from elsewhere goes first."""
        for label in self.tokens(lot)[lot.left + lot.held + lot.ended :]:
            if amount and label[1] in self.arrived:
                lot.standing[label] -= 1
                amount -= 1
        lot.left += amount
        lot.away += amount

    def take_in(self, parcels: list[tuple[date, int]], label: int) -> None:
        for expires, amount in parcels:
            lot = self.lot(expires)
            back = min(amount, lot.away)
            lot.away -= back
            lot.left -= back
            lot.standing[label, label] = lot.standing.get((label, label), 0) + amount - back
            self.arrived.add(label)
            self._settle(lot, amount)
