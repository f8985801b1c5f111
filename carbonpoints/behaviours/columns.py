"""The columns of a feed: those that a profile declares, and those that every camt transaction gives. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["text", "number", "date", "instant", "flag", "currency", "merchant_category"]


@dataclass(frozen=True, kw_only=True)
class ColumnDefinition:
    """A column of the file, or a value made of several cells, under the name that expressions use.

    Cells of any type but text are read only on lines that the filter keeps, except those it asks about.
    """

    name: str
    title: str = ""
    """What the header calls it, where that is no name."""
    type: ColumnType = "text"
    """A flag is written `true` or `false`. A currency (ISO 4217) and a merchant category (ISO 18245, and what card
    schemes add to it) are texts: a known code or empty."""
    format: str = ""
    """How a date or instant is written (`date_patterns`)."""
    optional: bool = False
    """Whether an empty cell is no value; otherwise one that is no text must be there. Empty text is empty text."""
    of: tuple[str, ...] = ()
    """The text columns whose cells, with a space between them, make up this value: a date and a time."""


DAY = "yyyy-MM-dd"
INSTANT = "yyyy-MM-ddTHH:mm:ss.SSSSSSXXX"

CAMT_COLUMNS = (
    # Where it stands in the message; reports of refused transactions begin with these two.
    ColumnDefinition(name="element"),
    ColumnDefinition(name="source_line", type="number"),
    ColumnDefinition(name="message"),
    ColumnDefinition(name="statement_id"),
    ColumnDefinition(name="account"),
    ColumnDefinition(name="entry_reference"),
    ColumnDefinition(name="entry_servicer_reference"),
    ColumnDefinition(name="transaction_no", type="number"),
    ColumnDefinition(name="servicer_reference"),
    ColumnDefinition(name="end_to_end_id"),
    ColumnDefinition(name="transaction_id"),
    ColumnDefinition(name="credit_debit"),
    ColumnDefinition(name="is_reversal", type="flag"),
    ColumnDefinition(name="status"),
    ColumnDefinition(name="amount", type="number"),
    ColumnDefinition(name="currency", type="currency"),
    ColumnDefinition(name="amount_minor", type="number"),
    ColumnDefinition(name="booked_on", type="date", format=DAY, optional=True),
    ColumnDefinition(name="booked_at", type="instant", format=INSTANT, optional=True),
    ColumnDefinition(name="valued_on", type="date", format=DAY, optional=True),
    ColumnDefinition(name="valued_at", type="instant", format=INSTANT, optional=True),
    ColumnDefinition(name="acted_at", type="instant", format=INSTANT, optional=True),
    ColumnDefinition(name="domain"),
    ColumnDefinition(name="family"),
    ColumnDefinition(name="sub_family"),
    ColumnDefinition(name="proprietary_code"),
    ColumnDefinition(name="purpose"),
    ColumnDefinition(name="counterparty_account"),
    ColumnDefinition(name="counterparty_name"),
    ColumnDefinition(name="card_present", type="flag", optional=True),
    ColumnDefinition(name="merchant_id"),
    ColumnDefinition(name="merchant_category_code", type="merchant_category"),
    ColumnDefinition(name="creditor_reference"),
    ColumnDefinition(name="remittance"),
    ColumnDefinition(name="additional_information"),
)
"""What one transaction of a camt.053 or camt.054 message gives, whatever the version (`camt.py` says from where)."""
