"""Decisions and entries as the bytes of PostgreSQL's binary COPY. Pure.

A file brings a million rows, so the parts of a row that repeat within a
transaction are packed once and looked up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from struct import Struct
from typing import Any

from carbonpoints.core.copying import JSONB_VERSION, NULL, days_of

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_LENGTH = Struct(">i")
_INT2 = Struct(">ih")
_INT4 = Struct(">ii")
_DECISION_HEAD = Struct(">h" + "iq" * 7)
_ENTRY = Struct(">h" + "iq" * 6 + "ii" * 2 + "ih" * 4)

_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Instants(dict[datetime, int]):
    """PostgreSQL's microseconds since 2000 by instant, worked out once each."""

    def __missing__(self, instant: datetime) -> int:
        value = self[instant] = (instant - _EPOCH) // _MICROSECOND
        return value


def _int2(value: int | None) -> bytes:
    return NULL if value is None else _INT2.pack(2, value)


def _int4(value: int | None) -> bytes:
    return NULL if value is None else _INT4.pack(4, value)


def _day(value: date) -> bytes:
    return _INT4.pack(4, days_of(value))


def _bytea(value: bytes | None) -> bytes:
    return NULL if value is None else _LENGTH.pack(len(value)) + value


def _jsonb(value: Any) -> bytes:
    if value is None:
        return NULL
    text = _encode_json(value).encode()
    return _LENGTH.pack(len(text) + 1) + JSONB_VERSION + text


def decision_bytes(rows: Iterable[tuple[Any, ...]], instants: dict[datetime, int]) -> list[bytes]:
    """Return decisions, in the order of the table's columns, as rows of a binary COPY."""
    pack, middles = _DECISION_HEAD.pack, dict[tuple[Any, ...], bytes]()
    packed = []
    for (
        account_id,
        seq,
        occurred_at,
        received_at,
        booked_at,
        reduction_mg,
        amount,
        *repeated,
        event_hash,
        commitment,
        trace,
    ) in rows:
        key = tuple(repeated)
        middle = middles.get(key)
        if middle is None:
            pin_id, source_id, local_date, business_date, kind, disposition, revision = repeated
            middle = middles[key] = (
                _int4(pin_id)
                + _int4(source_id)
                + _day(local_date)
                + _day(business_date)
                + _int2(kind)
                + _int2(disposition)
                + _int2(revision)
            )
        head = pack(
            17,
            8,
            account_id,
            8,
            seq,
            8,
            instants[occurred_at],
            8,
            instants[received_at],
            8,
            instants[booked_at],
            8,
            reduction_mg,
            8,
            amount,
        )
        packed.append(head + middle + _bytea(event_hash) + _bytea(commitment) + _jsonb(trace))
    return packed


def entry_bytes(rows: Iterable[tuple[Any, ...]], instants: dict[datetime, int]) -> list[bytes]:
    """Return entries, in the order of the table's columns, as rows of a binary COPY."""
    pack = _ENTRY.pack
    return [
        pack(
            12,
            8,
            account_id,
            8,
            seq,
            8,
            instants[occurred_at],
            8,
            instants[booked_at],
            8,
            amount,
            8,
            cause_seq,
            4,
            days_of(business_date),
            4,
            lot_no,
            2,
            unit_id,
            2,
            flow,
            2,
            from_kind,
            2,
            to_kind,
        )
        for (
            account_id,
            seq,
            occurred_at,
            booked_at,
            amount,
            cause_seq,
            business_date,
            lot_no,
            unit_id,
            flow,
            from_kind,
            to_kind,
        ) in rows
    ]


def new_instants() -> dict[datetime, int]:
    """Return the table of instants that one transaction's rows share."""
    return _Instants()
