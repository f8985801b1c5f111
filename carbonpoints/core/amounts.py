"""Amounts as people read them: exact integers with their unit, shown as decimals. Pure."""

from __future__ import annotations

from decimal import Decimal


def plain(value: Decimal) -> str:
    """Return a decimal without exponent and superfluous zeros: `5`, `-0.25`."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def credits_text(amount_millicredits: int) -> str:
    """Return millicredits as credits: 134500 is `134.5`."""
    return plain(Decimal(amount_millicredits).scaleb(-3))


def grams_text(reduction_mg: int) -> str:
    """Return milligrams as grams: 134500 is `134.5`."""
    return plain(Decimal(reduction_mg).scaleb(-3))
