"""Check characters against identifiers that are published, and against every wrong character."""

from __future__ import annotations

import pytest

from carbonpoints.accounts.schemes import (
    Scheme,
    check_identifier,
    is_isin,
    is_lei,
    is_reference,
    is_uscc,
    mask,
)
from carbonpoints.core.errors import InvalidRequest

# Huawei Technologies, Tencent Computer Systems, Alibaba (China) Network Technology.
USCCS = ["914403001922038216", "9144030071526726XG", "91330100716105852F"]
# Apple, Industrial and Commercial Bank of China, Deutsche Bank.
LEIS = ["HWUPKR0MPOU8FGXBT394", "5493002ERZU2K9PZDL40", "7LTWFZYICNSX8D621K86"]
# Apple, Kweichow Moutai, Deutsche Bank.
ISINS = ["US0378331005", "CNE0000018R8", "DE0005140008"]
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize("value", USCCS)
def test_a_published_uscc_checks_and_any_other_check_character_does_not(value: str) -> None:
    assert [c for c in CHARACTERS if is_uscc(value[:17] + c)] == [value[17]]


@pytest.mark.parametrize("value", LEIS)
def test_a_published_lei_checks_and_any_other_check_digits_do_not(value: str) -> None:
    assert [n for n in range(100) if is_lei(f"{value[:18]}{n:02}")] == [int(value[18:])]


@pytest.mark.parametrize("value", ISINS)
def test_a_published_isin_checks_and_any_other_check_digit_does_not(value: str) -> None:
    assert [n for n in range(10) if is_isin(f"{value[:11]}{n}")] == [int(value[11])]


@pytest.mark.parametrize("check", [is_uscc, is_lei, is_isin])
@pytest.mark.parametrize(
    "value", ["", "0", "９１４４０３００１９２２０３８２１６", USCCS[0].lower() + "x", LEIS[0] + "\n"]
)
def test_what_has_another_form_is_refused(check: object, value: str) -> None:
    assert not check(value)  # type: ignore[operator]


def test_two_swapped_characters_are_noticed() -> None:
    value = USCCS[0]
    swapped = value[:9] + value[10] + value[9] + value[11:]
    assert swapped != value
    assert not is_uscc(swapped)


@pytest.mark.parametrize(
    ("value", "fits"),
    [("C-1001", True), ("客户1001", True), ("a" * 128, True), ("a" * 129, False), ("", False)]
    + [(f"a{bad}b", False) for bad in (" ", "#", "\t", "\n", "\x00", "\u3000", "\u200b")],
)
def test_a_bank_s_own_number_is_visible_text(value: str, *, fits: bool) -> None:
    assert is_reference(value) is fits


def test_a_wrong_identifier_names_its_field() -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_identifier(Scheme.USCC, "914403001922038217", field="uscc")
    assert [(e.field, e.code) for e in refused.value.fields] == [("uscc", "identifier_invalid")]


@pytest.mark.parametrize(
    ("scheme", "value", "shown"),
    [
        (Scheme.CUSTOMER_REF, "6222020200012345678", "****5678"),
        (Scheme.CUSTOMER_REF, "C-1001", "****01"),
        (Scheme.CUSTOMER_REF, "7", "****"),
        (Scheme.USCC, USCCS[0], USCCS[0]),
    ],
)
def test_a_mask_shows_a_third_at_the_most(scheme: Scheme, value: str, shown: str) -> None:
    assert mask(scheme, value) == shown
