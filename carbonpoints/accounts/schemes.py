"""Schemes of identifiers, with their check characters. Pure.

| scheme | what | checked by |
|---|---|---|
| CUSTOMER_REF, DEMO, BANK_ACCOUNT | the bank's own numbers | length and characters only: they are the bank's |
| USCC | unified social credit code | GB 32100-2015, annex A: weights 3^i mod 31 |
| LEI | legal entity identifier | ISO 17442-1: ISO/IEC 7064 MOD 97-10 |
| ISIN | securities identifier | ISO 6166: modulus 10 double-add-double |
"""

from __future__ import annotations

import re
from enum import StrEnum

from carbonpoints.core.errors import FieldError, InvalidRequest

REFERENCE_LENGTH_MAX = 128
SHOWN_CHARACTERS = 4


class Scheme(StrEnum):
    """Whose numbering an identifier comes from."""

    CUSTOMER_REF = "CUSTOMER_REF"
    USCC = "USCC"
    LEI = "LEI"
    ISIN = "ISIN"
    DEMO = "DEMO"
    BANK_ACCOUNT = "BANK_ACCOUNT"
    """Not of the holder but of what the holder owns or may use."""


PERSON_SCHEMES = frozenset({Scheme.CUSTOMER_REF, Scheme.DEMO})
ENTERPRISE_SCHEMES = frozenset({Scheme.USCC, Scheme.LEI, Scheme.ISIN, Scheme.CUSTOMER_REF, Scheme.DEMO})
PUBLIC_SCHEMES = frozenset({Scheme.USCC, Scheme.LEI, Scheme.ISIN})
"""Published in registers: shown whole, never masked."""

_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC = re.compile(rf"[{_USCC_ALPHABET}]{{2}}[0-9]{{6}}[{_USCC_ALPHABET}]{{10}}")
_LEI = re.compile(r"[0-9A-Z]{18}[0-9]{2}")
_ISIN = re.compile(r"[A-Z]{2}[0-9A-Z]{9}[0-9]")


def is_uscc(value: str) -> bool:
    """Whether `value` is a unified social credit code whose 18th character checks (GB 32100-2015)."""
    if not _USCC.fullmatch(value):
        return False
    total = sum(
        _USCC_ALPHABET.index(character) * pow(3, place, 31) for place, character in enumerate(value[:17])
    )
    return _USCC_ALPHABET[-total % 31] == value[17]


def is_lei(value: str) -> bool:
    """Whether `value` is a legal entity identifier whose two check digits hold (ISO 17442-1)."""
    return bool(_LEI.fullmatch(value)) and int(_digits(value)) % 97 == 1


def is_isin(value: str) -> bool:
    """Whether `value` is a securities identifier whose check digit holds (ISO 6166)."""
    if not _ISIN.fullmatch(value):
        return False
    digits = [int(digit) for digit in reversed(_digits(value))]
    return sum(digits[0::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0


def _digits(value: str) -> str:
    """Write letters as numbers, A = 10 to Z = 35."""
    return "".join(str(int(character, 36)) for character in value)


def is_reference(value: str) -> bool:
    """Whether `value` can be a number of the bank's own: visible characters, and no `#`.

    In an event's subject `#` separates a bank account from who acted on it.
    """
    return (
        0 < len(value) <= REFERENCE_LENGTH_MAX
        and value.isprintable()
        and not any(character.isspace() or character == "#" for character in value)
    )


_CHECKS = {Scheme.USCC: is_uscc, Scheme.LEI: is_lei, Scheme.ISIN: is_isin}


def check_identifier(scheme: Scheme, value: str, *, field: str = "value") -> str:
    """Return `value` as it is kept; raise InvalidRequest naming `field` when its check does not hold."""
    if not _CHECKS.get(scheme, is_reference)(value):
        raise InvalidRequest(
            fields=[FieldError(field, "identifier_invalid", "This is not a valid identifier of its scheme.")]
        )
    return value


def mask(scheme: Scheme, value: str) -> str:
    """Return what may be shown: at most the last four characters, and never more than a third."""
    if scheme in PUBLIC_SCHEMES:
        return value
    shown = min(SHOWN_CHARACTERS, len(value) // 3)
    return "*" * SHOWN_CHARACTERS + value[len(value) - shown :]
