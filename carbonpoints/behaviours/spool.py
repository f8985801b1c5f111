"""Files that wait for a worker, in one folder that the API and the workers share.

A file is on the disk for good, and hashed, before anything in the database names it.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from carbonpoints.core.crypto import SUITE

BLOCK_BYTES = 1024 * 1024
ORPHAN_AGE_S = 24 * 3600
"""A file that no job names and that is older than this was left by an upload that broke off."""
SUFFIX = ".feed"


@dataclass(frozen=True)
class SpooledFile:
    """A file in the spool."""

    path: Path
    size_bytes: int
    digest: bytes


def spool_file(stream: BinaryIO, folder: Path) -> SpooledFile:
    """Copy a stream into the spool, hashing it on the way; it is on the disk when this returns."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4()}{SUFFIX}"
    running, size = SUITE.running_digest(), 0
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            while block := stream.read(BLOCK_BYTES):
                running.update(block)
                size += len(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(folder)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return SpooledFile(path, size, running.digest())


def sweep_spool(folder: Path, named: Collection[str]) -> int:
    """Remove old files that no job names and return how many there were."""
    removed = 0
    oldest = time.time() - ORPHAN_AGE_S
    for path in folder.glob(f"*{SUFFIX}"):
        if str(path) not in named and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
