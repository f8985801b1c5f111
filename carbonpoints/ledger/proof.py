"""What a proof of the books is: a query for the places where they contradict themselves. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from carbonpoints.ledger.chart import FIRST_HOUSE_KIND, LOT_KINDS, DecisionKind, Flow, Kind, Unit

PARAMETERS: dict[str, object] = {
    "first_house_kind": FIRST_HOUSE_KIND,
    "lot_kinds": [int(kind) for kind in LOT_KINDS],
    **{
        f"{enum}_{member.name.lower()}": int(member)
        for enum, members in (("kind", Kind), ("flow", Flow), ("unit", Unit), ("decision", DecisionKind))
        for member in members
    },
}


@dataclass(frozen=True, slots=True)
class Proof:
    """One statement about the books and the query for its counterexamples."""

    code: str
    statement: str
    examined: str
    differences: str


# What the proofs call `side`: every entry twice, what it adds to one kind and takes from the other.
SIDES = """
SELECT account_id, account_seq, unit_id, to_kind AS kind, lot_no, amount FROM entry
UNION ALL
SELECT account_id, account_seq, unit_id, from_kind, lot_no, -amount FROM entry
"""
