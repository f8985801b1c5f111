"""Files of marks, `cn-act-marks/1`: a line that says what it is about, a line for each mark, a line that counts them.

A mark says that one programme has credited one act. What is wrong is said with its line, and the reading ends with the
file or after so many errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, BinaryIO, NamedTuple

from carbonpoints.behaviours.exchange.normal_form import (
    FINGERPRINT_BYTES,
    instant_text,
    month_text,
    parse_instant,
)
from carbonpoints.core import strict_json
from carbonpoints.core.crypto import SUITE, RunningDigest
from carbonpoints.core.errors import FieldError, InvalidRequest, Message

FILE_FORMAT = "cn-act-marks/1"
LINE_BYTES_MAX = 1_000
ERRORS_MAX = 100
HEADER_FIELDS = ("format", "normal_form", "agreement", "from", "to", "period", "time_zone")
_FINGERPRINT = re.compile(rf"[0-9a-f]{{{2 * FINGERPRINT_BYTES}}}\Z")


class Mark(NamedTuple):
    """An act that is credited by whoever writes the file, and when it was; an act at a point has no time."""

    fingerprint: bytes
    start: datetime | None
    end: datetime | None


def header_of(
    *, normal_form: str, agreement: str, sender: str, recipient: str, period: date, time_zone: str
) -> dict[str, str]:
    """Return the first line of a file."""
    values = (FILE_FORMAT, normal_form, agreement, sender, recipient, month_text(period), time_zone)
    return dict(zip(HEADER_FIELDS, values, strict=True))


def write_lines(header: Mapping[str, str], marks: Iterable[Mark]) -> Iterator[bytes]:
    """Yield the lines of a file."""
    yield _line(header)
    count = 0
    for mark in marks:
        count += 1
        line = {"fingerprint": mark.fingerprint.hex()}
        if mark.start is not None and mark.end is not None:
            line |= {"start": instant_text(mark.start), "end": instant_text(mark.end)}
        yield _line(line)
    yield _line({"marks": count})


def _line(value: Mapping[str, Any]) -> bytes:
    return strict_json.canonical(value) + b"\n"


class MarksRefused(InvalidRequest):
    """A file is not as the normal form says; nothing of it is taken over."""

    code = "marks_refused"
    title = "The file of marks is refused as a whole."


@dataclass
class MarksFile:
    """A file while it is read: its lines, its hash so far, and what is wrong with it."""

    file: BinaryIO
    line_no: int = 0
    is_over: bool = False
    wrong: list[FieldError] = field(default_factory=list)
    digest: RunningDigest = field(default_factory=SUITE.running_digest)

    def read_header(self) -> dict[str, str]:
        """Return the first line; raises MarksRefused where it is none."""
        header = self._next() or {}
        if header.keys() != set(HEADER_FIELDS):
            self.note(
                "",
                "no_header",
                Message("The first line must hold exactly: %(names)s.", names=", ".join(HEADER_FIELDS)),
            )
        elif not all(isinstance(value, str) for value in header.values()):
            self.note("", "no_header", Message("The values of the first line are texts."))
        elif header["format"] != FILE_FORMAT:
            self.note("format", "other_value", Message("This must be %(value)s.", value=FILE_FORMAT))
        self.finish()
        return header

    def compare(self, header: Mapping[str, str], expected: Mapping[str, str]) -> None:
        """Raise MarksRefused where the first line says anything but what the agreement says."""
        for name in HEADER_FIELDS:
            if header[name] != expected[name]:
                self.note(name, "other_value", Message("This must be %(value)s.", value=expected[name]))
        self.finish()

    def read_marks(self, begin: datetime, end: datetime) -> Iterator[tuple[int, Mark]]:
        """Yield the marks of a period with the numbers of their lines; raises MarksRefused at the end, or after ERRORS_MAX.

        `begin` and `end` are the bounds of the period.
        """
        count = 0
        while not self.is_over and len(self.wrong) < ERRORS_MAX:
            line = self._next()
            if line is None:
                continue
            if "marks" in line:
                self._read_end(line, count)
                break
            count += 1
            mark = self._mark(line, begin, end)
            if mark is not None:
                yield self.line_no, mark
        self.finish()

    def _next(self) -> dict[str, Any] | None:
        """Return the next line; None where it is cut off or no object, which is noted."""
        raw = self.file.readline(LINE_BYTES_MAX + 1)
        self.line_no += 1
        self.digest.update(raw)
        if not raw.endswith(b"\n"):
            self.is_over = True
            code = "too_long" if len(raw) > LINE_BYTES_MAX else "cut_off"
            self.note(
                "",
                code,
                Message(
                    "Lines end with LF and have at most %(bytes)s bytes; the last one counts the marks.",
                    bytes=LINE_BYTES_MAX,
                ),
            )
            return None
        try:
            value = strict_json.loads(raw)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            self.note("", "no_object", Message("A line is one JSON object."))
            return None
        return value

    def _read_end(self, line: Mapping[str, Any], count: int) -> None:
        if line != {"marks": count} or isinstance(line["marks"], bool):
            self.note("marks", "other_count", Message("The file holds %(count)s marks.", count=count))
        rest = self.file.read(1)
        if rest:
            self.note("", "goes_on", Message("Nothing follows the line that counts the marks."))

    def _mark(self, line: Mapping[str, Any], begin: datetime, end: datetime) -> Mark | None:
        if line.keys() not in ({"fingerprint"}, {"fingerprint", "start", "end"}):
            self.note("", "fields", Message("A mark has a fingerprint, and start and end or neither."))
            return None
        text = line["fingerprint"]
        if not isinstance(text, str) or not _FINGERPRINT.match(text):
            self.note(
                "fingerprint",
                "no_fingerprint",
                Message("Expected %(digits)s small hexadecimal digits.", digits=2 * FINGERPRINT_BYTES),
            )
            return None
        if len(line) == 1:
            return Mark(bytes.fromhex(text), None, None)
        times = [self._instant(name, line[name]) for name in ("start", "end")]
        if None in times:
            return None
        start, ends = times
        assert start is not None and ends is not None  # noqa: S101, PT018 - looked at just now
        if not start < ends:
            self.note("end", "not_later", Message("The end must be later than the start."))
        elif not (start < end and begin <= ends):
            self.note("start", "other_period", Message("The act has no instant in the period of the file."))
        else:
            return Mark(bytes.fromhex(text), start, ends)
        return None

    def _instant(self, name: str, value: Any) -> datetime | None:
        try:
            return parse_instant(value)
        except (ValueError, TypeError):
            self.note(
                name,
                "no_instant",
                Message("Expected UTC with six digits of a second: 2026-06-15T04:00:00.000000Z."),
            )
            return None

    def note(self, name: str, code: str, message: Message) -> None:
        """Remember what is wrong with the line that was read last."""
        self.wrong.append(FieldError.saying(f"lines.{self.line_no}.{name}".rstrip("."), code, message))

    def finish(self) -> None:
        """Raise MarksRefused where anything is wrong."""
        if self.wrong:
            raise MarksRefused(fields=self.wrong)
