"""The chart: units, kinds, flows and which kinds each flow may join. Pure.

Every movement of value is one of these flows. The same table stands in the database as a CHECK on the entries,
so that no writer can join other kinds.
"""

from __future__ import annotations

from enum import IntEnum


class Unit(IntEnum):
    """Units of account (M3)."""

    CREDIT = 1
    """Spendable credits, booked in millicredits."""
    MG_CO2E = 2
    """Reduction in milligrams of CO2 equivalent; never spent."""
    CNY_FEN = 3
    """Chinese yuan in fen; used by credit lines."""


SCALES = {Unit.CREDIT: 3, Unit.MG_CO2E: 0, Unit.CNY_FEN: 0}


class Kind(IntEnum):
    """Kinds of an account.

    Those below 100 belong to the customer, are bounded and have balances; those from 100 on are the house's
    side, whose totals are sums over entries.
    """

    AVAILABLE = 1
    PENDING = 2
    HELD = 3
    CLAWBACK_DUE = 4
    REDUCTION = 5
    ISSUED = 101
    REDEEMED = 102
    EXPIRED = 103
    REVERSED = 104
    CLAWBACK_CONTRA = 105
    IN_TRANSIT = 106
    QUANTIFIED = 107
    QUANTIFIED_REVERSED = 108
    FORFEITED = 109
    ADJUSTED = 110
    """The house's side of adjustments."""
    CARRIED = 111
    """What passes from a lot past its expiry into the lot of its grace; zero in every account."""


FIRST_HOUSE_KIND = 100
LOT_KINDS = frozenset({Kind.AVAILABLE, Kind.PENDING, Kind.HELD})
"""Kinds whose balance is kept per lot."""


class Flow(IntEnum):
    """Named movements of value, each with its stable code."""

    EARN = 1
    EARN_PENDING = 2
    MATURE = 3
    QUANTIFY = 4
    """Post the quantified reduction of an award."""
    SET_ASIDE = 5
    """Let what is available of an award wait until a review of it has ended."""
    HOLD = 10
    CAPTURE = 11
    RELEASE = 12
    EXPIRE = 20
    EXPIRE_RELEASED = 21
    """Expire what was released or refunded after its expiry (M6)."""
    GRACE = 22
    """Carry what comes back after its expiry into a lot that ends with the programme's grace."""
    REVERSE = 30
    REVERSE_REDUCTION = 31
    CHARGE_CLAWBACK = 32
    SETTLE_CLAWBACK = 33
    """Take from what is available what a reversal could not take."""
    DISCHARGE_CLAWBACK = 34
    """Lower the due amount by what was settled."""
    TRANSFER_OUT = 40
    TRANSFER_IN = 41
    FORFEIT = 50
    """Closing an account: what is left, after the holder was told; or an award, after a review."""
    REFUND = 51
    """Give back a captured redemption to the lots it came from."""
    ADJUST = 60
    """Grant what two persons answer for, in credits or in reduction, where an appeal was upheld."""


class DecisionKind(IntEnum):
    """What was decided about an account (M16); every entry names the decision that caused it."""

    OPENING = 1
    EVENT = 2
    CONSENT = 3
    STATUS = 4
    IDENTIFIER = 5
    HOLD = 6
    CAPTURE = 7
    RELEASE = 8
    EXPIRY = 9
    REVERSAL = 10
    TRANSFER = 11
    MATURITY = 12
    REFUND = 13
    CLOSING = 14
    ADJUSTMENT = 15
    REVIEW = 16
    """A review of the account or of an event is opened, or ends."""
    RESTATEMENT = 17
    """An award of a past period judged again: what it comes to beside what was decided."""


MOVEMENTS: frozenset[tuple[Flow, Unit, Kind, Kind]] = frozenset(
    {
        (Flow.EARN, Unit.CREDIT, Kind.ISSUED, Kind.AVAILABLE),
        (Flow.EARN_PENDING, Unit.CREDIT, Kind.ISSUED, Kind.PENDING),
        (Flow.MATURE, Unit.CREDIT, Kind.PENDING, Kind.AVAILABLE),
        (Flow.QUANTIFY, Unit.MG_CO2E, Kind.QUANTIFIED, Kind.REDUCTION),
        (Flow.SET_ASIDE, Unit.CREDIT, Kind.AVAILABLE, Kind.PENDING),
        (Flow.HOLD, Unit.CREDIT, Kind.AVAILABLE, Kind.HELD),
        (Flow.CAPTURE, Unit.CREDIT, Kind.HELD, Kind.REDEEMED),
        (Flow.RELEASE, Unit.CREDIT, Kind.HELD, Kind.AVAILABLE),
        (Flow.EXPIRE, Unit.CREDIT, Kind.AVAILABLE, Kind.EXPIRED),
        (Flow.EXPIRE_RELEASED, Unit.CREDIT, Kind.AVAILABLE, Kind.EXPIRED),
        (Flow.GRACE, Unit.CREDIT, Kind.AVAILABLE, Kind.CARRIED),
        (Flow.GRACE, Unit.CREDIT, Kind.PENDING, Kind.CARRIED),
        (Flow.GRACE, Unit.CREDIT, Kind.CARRIED, Kind.AVAILABLE),
        (Flow.REVERSE, Unit.CREDIT, Kind.AVAILABLE, Kind.REVERSED),
        (Flow.REVERSE, Unit.CREDIT, Kind.PENDING, Kind.REVERSED),
        (Flow.REVERSE_REDUCTION, Unit.MG_CO2E, Kind.REDUCTION, Kind.QUANTIFIED_REVERSED),
        (Flow.CHARGE_CLAWBACK, Unit.CREDIT, Kind.CLAWBACK_CONTRA, Kind.CLAWBACK_DUE),
        (Flow.SETTLE_CLAWBACK, Unit.CREDIT, Kind.AVAILABLE, Kind.REVERSED),
        (Flow.DISCHARGE_CLAWBACK, Unit.CREDIT, Kind.CLAWBACK_DUE, Kind.CLAWBACK_CONTRA),
        (Flow.TRANSFER_OUT, Unit.CREDIT, Kind.AVAILABLE, Kind.IN_TRANSIT),
        (Flow.TRANSFER_OUT, Unit.CREDIT, Kind.PENDING, Kind.IN_TRANSIT),
        (Flow.TRANSFER_OUT, Unit.CREDIT, Kind.CLAWBACK_DUE, Kind.IN_TRANSIT),
        (Flow.TRANSFER_OUT, Unit.MG_CO2E, Kind.REDUCTION, Kind.IN_TRANSIT),
        (Flow.TRANSFER_IN, Unit.CREDIT, Kind.IN_TRANSIT, Kind.AVAILABLE),
        (Flow.TRANSFER_IN, Unit.CREDIT, Kind.IN_TRANSIT, Kind.PENDING),
        (Flow.TRANSFER_IN, Unit.CREDIT, Kind.IN_TRANSIT, Kind.CLAWBACK_DUE),
        (Flow.TRANSFER_IN, Unit.MG_CO2E, Kind.IN_TRANSIT, Kind.REDUCTION),
        (Flow.FORFEIT, Unit.CREDIT, Kind.AVAILABLE, Kind.FORFEITED),
        (Flow.FORFEIT, Unit.CREDIT, Kind.PENDING, Kind.FORFEITED),
        (Flow.REFUND, Unit.CREDIT, Kind.REDEEMED, Kind.AVAILABLE),
        (Flow.ADJUST, Unit.CREDIT, Kind.ADJUSTED, Kind.AVAILABLE),
        (Flow.ADJUST, Unit.MG_CO2E, Kind.ADJUSTED, Kind.REDUCTION),
    }
)
"""Every allowed movement: (flow, unit, from kind, to kind)."""


def movement_code(flow: int, unit: int, from_kind: int, to_kind: int) -> int:
    """Return one number for a movement; the database's CHECK looks it up in a hashed list."""
    return flow << 24 | unit << 16 | from_kind << 8 | to_kind


def allowed_movements_sql() -> str:
    """Return the CHECK that the database holds: the entry's movement is one of the chart's."""
    codes = ",".join(str(movement_code(*movement)) for movement in sorted(MOVEMENTS))
    number = "((flow::int << 24) | (unit_id::int << 16) | (from_kind::int << 8) | to_kind::int)"
    return f"{number} = ANY (ARRAY[{codes}])"
