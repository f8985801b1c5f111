"""The records of a delimited text file, one after another, with the exact place of each.

Nothing is read ahead beyond the record at hand, so that the place after it is where reading can go on later.
A record is a line, or several where a quoted cell holds line breaks.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from carbonpoints.behaviours.cells import BadLineError
from carbonpoints.behaviours.profiles import ProfileDefinition
from carbonpoints.core.errors import Message

LINE_BYTES_MAX = 1024 * 1024
_BYTE_ORDER_MARK = "\ufeff"


class BrokenFileError(ValueError):
    """From this line on nobody can tell what is a record and what is not: nothing of the file may count."""

    def __init__(self, line_no: int, code: str, detail: Message) -> None:
        super().__init__(f"line {line_no}: {detail}")
        self.line_no = line_no
        self.code = code
        self.detail = detail


class Records:
    """Reads `file` from its beginning, or from where `resume` says.

    `offset` and `line_count` are the bytes and lines up to the end of the record that came last.
    """

    def __init__(self, file: BinaryIO, profile: ProfileDefinition) -> None:
        self.offset = 0
        self.line_count = 0
        self._file = file
        self._encoding = profile.encoding
        self._is_readable = True
        self._cells = csv.reader(
            self._lines(),
            delimiter=profile.delimiter,
            quotechar=profile.quote or None,
            quoting=csv.QUOTE_MINIMAL if profile.quote else csv.QUOTE_NONE,
            strict=True,
        )

    def resume(self, offset: int, line_count: int) -> None:
        """Go on after `line_count` lines that end at byte `offset`."""
        self._file.seek(offset)
        self.offset = offset
        self.line_count = line_count

    def __iter__(self) -> Iterator[tuple[int, list[str] | BadLineError]]:
        """Yield each record's first line number and its cells, or why it has none; [] for an empty line.

        Raises BrokenFileError where a quote is not closed or a line never ends.
        """
        while True:
            first = self.line_count + 1
            try:
                for cells in self._cells:
                    if self._is_readable:
                        yield first, cells
                    else:
                        self._is_readable = True
                        yield (
                            first,
                            BadLineError(
                                "",
                                "wrong_encoding",
                                Message("This is not %(encoding)s.", encoding=self._encoding),
                            ),
                        )
                    first = self.line_count + 1
            except csv.Error as error:
                if self.line_count > first or "unexpected end" in str(error):
                    raise BrokenFileError(
                        first, "unclosed_quote", Message("The quote in this line is not closed.")
                    ) from None
                yield (
                    first,
                    BadLineError("", "wrong_quotes", Message("Quotes and cells do not fit together.")),
                )
            else:
                return

    def _lines(self) -> Iterator[str]:
        encoding = self._encoding
        for line in iter(partial(self._file.readline, LINE_BYTES_MAX + 1), b""):
            self.offset += len(line)
            self.line_count += 1
            if len(line) > LINE_BYTES_MAX:
                raise BrokenFileError(
                    self.line_count,
                    "endless_line",
                    Message("A line has at most %(most)s bytes.", most=LINE_BYTES_MAX),
                )
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError:
                self._is_readable = False
                text = line.decode(encoding, "replace")
            yield text.removeprefix(_BYTE_ORDER_MARK) if self.line_count == 1 else text
