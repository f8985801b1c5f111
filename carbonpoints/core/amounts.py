"""Amounts as people read them: exact integers with their unit, shown as decimals. Pure."""

from __future__ import annotations

from decimal import Decimal

_MINOR_DIGITS = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
    "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0, "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3,
    "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4,
}  # fmt: skip
"""ISO 4217's currencies that have other than two decimals."""


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


def minor_digits(currency: str) -> int:
    """Return how many decimals an amount in this currency has by ISO 4217."""
    return _MINOR_DIGITS.get(currency, 2)
