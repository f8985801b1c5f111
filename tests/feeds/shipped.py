"""What tests of feeds start from: shipped profiles and behaviours, and a mapper without a database."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from carbonpoints.behaviours.mapping import LineMapper
from carbonpoints.behaviours.profiles import ProfileDefinition, line_profile, parse_profile, shipped_profiles
from carbonpoints.behaviours.segments import Cut, Segment, cut_segment, read_segment
from carbonpoints.behaviours.spool import SUFFIX
from carbonpoints.behaviours.staged import StagedEvent, decode_chunk
from carbonpoints.behaviours.unfolding import path_of_lines
from carbonpoints.rules.definitions import BehaviourDefinition
from carbonpoints.rules.shipped import ShippedCatalogue, load_shipped

ISSUER = "https://bank.example/feeds"
"""Of the bank whose programme is fed."""
KEY = b"identity key of the tests, 32 bytes or more"


@cache
def catalogue() -> ShippedCatalogue:
    return load_shipped()


@cache
def behaviours() -> dict[str, BehaviourDefinition]:
    return {behaviour.code: behaviour for behaviour in catalogue().behaviours}


@cache
def profile(code: str) -> ProfileDefinition:
    return next(found for found in shipped_profiles() if found.code == code)


@cache
def payments_and_bills() -> ShippedCatalogue:
    """The shipped programme with payments and utility bills alone, which is set up sooner."""
    wanted = ("non_cash_payment", "utility_bill_online")
    rules = tuple(rule for rule in catalogue().rules if rule.behaviour in wanted)
    factors = {code for rule in rules for code in rule.factors}
    return replace(
        catalogue(),
        behaviours=tuple(behaviours()[code] for code in wanted),
        rules=rules,
        factors=tuple(factor for factor in catalogue().factors if factor.code in factors),
    )


PLAIN = """
feed:
  code: plain
  name_en: Plain
  name_zh: 简单
  source: urn:zhangye:core-banking
  encoding: UTF-8
  delimiter: ","
  header: false
  time_zone: Asia/Shanghai
  on_bad: line
  columns:
  - {name: reference}
  - {name: account}
  - {name: paid_on, type: date, format: yyyy-MM-dd}
  - {name: amount, type: number}
  - {name: fee, type: number, optional: true}
  - {name: note}
  filter: 'note != "skip"'
  behaviour: non_cash_payment
  event_id: reference
  subject: 'concat("BANK_ACCOUNT:", account)'
  occurred_at: paid_on
  data:
    transaction_reference: reference
    payment_channel: '"qr"'
    amount_minor: (amount - coalesce(fee, 0)) * 100
    currency: '"CNY"'
    payee_hash: 'coalesce(lookup("payees", note), "nobody")'
    merchant_category_code: note
  tables:
    payees:
      columns: [{name: code}, {name: payee}]
      key: code
      value: payee
"""


def plain(**changes: Any) -> ProfileDefinition:
    """A small profile that has a bit of everything."""
    return replace(parse_profile(PLAIN, "plain.yaml"), **changes)


CALM = {name: source for name, source in plain().data.items() if name != "merchant_category_code"}
CALM["payee_hash"] = "reference"
"""Every payment goes to another payee, so that no limit per payee is met."""


def cut_all(content: bytes, used: ProfileDefinition, *, records_max: int = 1_000_000) -> list[Cut]:
    """Where each segment of a file ends."""
    cuts: list[Cut] = []
    while not cuts or not cuts[-1].is_last:
        offset, line_count = (cuts[-1].offset, cuts[-1].line_count) if cuts else (0, 0)
        cuts.append(
            cut_segment(
                io.BytesIO(content), used, offset=offset, line_count=line_count, records_max=records_max
            )
        )
    return cuts


def read_all(
    content: bytes,
    used: ProfileDefinition,
    tables: Mapping[str, Mapping[str, str]] | None = None,
    *,
    records_max: int = 1_000_000,
) -> list[Segment]:
    """All segments of a file, cut first and then read, as staging does."""
    cuts = cut_all(content, used, records_max=records_max)
    return [
        read_segment(
            io.BytesIO(content),
            used,
            make_mapper=lambda columns: LineMapper(
                profile=used,
                behaviours=behaviours(),
                columns=columns,
                tables=tables or {name: {} for name in used.tables},
                identity_key=KEY,
            ),
            file_bytes=len(content),
            offset=offset,
            line_count=line_count,
            records_max=cut.record_count,
        )
        for (offset, line_count), cut in zip(
            [(0, 0), *((cut.offset, cut.line_count) for cut in cuts)], cuts, strict=False
        )
    ]


def read_message(
    message: Path, used: ProfileDefinition, folder: Path
) -> tuple[list[Segment], list[StagedEvent]]:
    """All segments of a camt message and their events, unfolded in a folder first, as staging does."""
    copy = folder / f"message{SUFFIX}"
    copy.write_bytes(message.read_bytes())
    segments = read_all(path_of_lines(copy, used).read_bytes(), line_profile(used))
    return segments, events_of(segments)


def events_of(segments: list[Segment]) -> list[StagedEvent]:
    return [
        event for segment in segments for chunk in segment.chunks for event in decode_chunk(chunk.content)
    ]
