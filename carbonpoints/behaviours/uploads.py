"""A file and its lookup tables from a multipart body, streamed into the spool's folder and never into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from flask import Request
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import FormDataParser

from carbonpoints.core.errors import FieldError, InvalidRequest
from carbonpoints.core.problems import UnsupportedMediaType

FILE_PART = "file"
MULTIPART = "multipart/form-data"
PARTS_MAX = 20
"""The file and its tables."""
FIELDS_BYTES_MAX = 128 * 1024
"""Of the parts that are no files; none is expected. Werkzeug holds what it has read of a file against it as well:
64 KiB at a time, and the end of what came before."""

_BINARY = {"type": "string", "format": "binary"}
UPLOAD_BODY = {
    "required": True,
    "content": {
        MULTIPART: {
            "schema": {
                "type": "object",
                "properties": {FILE_PART: _BINARY},
                "required": [FILE_PART],
                "additionalProperties": _BINARY,
                "description": "The file, and a part for each lookup table under the table's name.",
            }
        }
    },
}
"""For the OpenAPI document."""


@dataclass(frozen=True)
class Upload:
    """The parts of a body: the file under its name, and the tables by theirs."""

    file_name: str
    file: BinaryIO
    tables: dict[str, BinaryIO]


@contextmanager
def read_upload(request: Request, folder: Path) -> Iterator[Upload]:
    """Receive a body into unnamed files in `folder`, which are gone after the block.

    Raises UnsupportedMediaType unless it is multipart, InvalidRequest when the file is missing, a part is no file
    or comes twice; what is longer than the upload's limit answers 413.
    """
    if request.mimetype != MULTIPART:
        raise UnsupportedMediaType(
            "Send %(type)s with the file in the part %(part)s.", params={"type": MULTIPART, "part": FILE_PART}
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:

        def open_part(*_names: object, **_announced: object) -> IO[bytes]:
            return stack.enter_context(tempfile.TemporaryFile(dir=folder))

        parser = FormDataParser(
            stream_factory=open_part,
            max_form_memory_size=FIELDS_BYTES_MAX,
            max_content_length=request.max_content_length,
            max_form_parts=PARTS_MAX,
            silent=False,
        )
        _, form, parts = parser.parse_from_environ(request.environ)
        wrong = [FieldError(name or "", "not_a_file", "Expected a file.") for name in form]
        wrong += [
            FieldError(name or "", "given_twice", "Expected one file.")
            for name, all_ in parts.lists()
            if len(all_) > 1
        ]
        if FILE_PART not in parts:
            wrong.append(FieldError(FILE_PART, "required", "The file is missing."))
        if wrong:
            raise InvalidRequest(fields=wrong)
        main = parts[FILE_PART]
        yield Upload(
            main.filename or "",
            _stream(main),
            {name: _stream(part) for name, part in parts.items() if name != FILE_PART},
        )


def _stream(part: FileStorage) -> BinaryIO:
    return cast("BinaryIO", part.stream)
