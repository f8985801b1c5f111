"""The lines of a received file: its own, or those that a camt message is unfolded into, one for each transaction.

XML has no place in the middle where reading could go on. So a message is read once from end to end, whole and
well-formed or not at all, into a file of lines beside it; these are cut, staged and resumed as those of any other
feed. The same message always gives the same bytes: where that file is lost it is made again.
"""

from __future__ import annotations

import csv
import os
import tempfile
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from carbonpoints.behaviours.camt import CamtTransactions
from carbonpoints.behaviours.profiles import ProfileDefinition, line_profile
from carbonpoints.behaviours.spool import SUFFIX


def unfolded_path(path: Path) -> Path:
    """Return where the lines of a message in the spool are kept."""
    return path.with_suffix(f".lines{SUFFIX}")


def path_of_lines(path: Path, profile: ProfileDefinition) -> Path:
    """Return the file in the spool that holds the lines of a received file, made first where it is not there yet.

    Raises BrokenFileError when it is no message that can be read to its end.
    """
    if profile.format == "csv":
        return path
    unfolded = unfolded_path(path)
    if not unfolded.exists():
        _unfold(path, unfolded, profile)
    return unfolded


def write_lines(
    message: BinaryIO, lines: BinaryIO, profile: ProfileDefinition, *, transactions_max: int | None = None
) -> None:
    """Write a line for each transaction of a message, or for the first so many of them.

    Raises BrokenFileError where the message cannot be read so far.
    """
    form = line_profile(profile)
    text = TextIOWrapper(lines, encoding=form.encoding, newline="")
    writer = csv.writer(text, delimiter=form.delimiter, quotechar=form.quote, lineterminator="\n")
    writer.writerows(islice(CamtTransactions(message, profile.time_zone), transactions_max))
    text.detach()


def _unfold(path: Path, unfolded: Path, profile: ProfileDefinition) -> None:
    # Nobody ever sees a part of the lines: they get their name when all of them are on the disk.
    descriptor, name = tempfile.mkstemp(suffix=SUFFIX, dir=path.parent)
    try:
        with path.open("rb") as message, os.fdopen(descriptor, "wb") as file:
            write_lines(message, file, profile)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(unfolded)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
