"""The last trace of a paid request if the state file fails at the moment of its acceptance.

The blocks of this spare file are allocated at the start of the run, so it can be written on a full
disk. The next run reads it and follows the requests.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from batchgen.engine.ports import RecoveryEntry
from batchgen.fs import disk_errors, open_to_read, sync_folder
from batchgen.runcomfy.base import usable_request_id
from batchgen.runs.append_log import json_line, write_all
from batchgen.runs.folder import open_private
from batchgen.state import manual_actions
from batchgen.state.recovery import job_without_answer
from batchgen.state.transitions import accepted

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection


SPARE_BYTES = 64 * 1024
MOST_BYTES = 16 * 1024 * 1024
MOST_ATTEMPTS = 1_000_000
"""A file with larger numbers is not ours; SQLite could not store them."""


class RecoveryLog:
    """Writes request ids into allocated blocks, and to stderr for a person."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def reserve(self) -> None:
        """Allocate the space. Raises DiskFullError if there is none: then nothing is submitted."""
        with disk_errors(self._path):
            descriptor = open_private(self._path, os.O_RDWR | os.O_TRUNC)
            try:
                write_all(descriptor, b" " * SPARE_BYTES)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(self._path.parent, os.fsync)

    def record(self, entry: RecoveryEntry) -> None:
        """Raises OutputError or StorageError if not even this can be written."""
        line = json.dumps(
            {
                "job": entry.job_id,
                "attempt": entry.attempt,
                "request_id": entry.request_id,
            }
        )
        try:
            self._write(f"{line}\n".encode())
        finally:
            # Even if the disk has it: a person may never start the next run. The screen may be
            # gone, and must not come between the entry and the disk.
            with suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(f"receipt of a paid request: {line}\n")

    def _write(self, data: bytes) -> None:
        with disk_errors(self._path):
            descriptor = open_private(self._path, os.O_RDWR)
            try:
                os.pwrite(descriptor, data, self._offset)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._offset += len(data)


def read_recovery_log(path: Path) -> list[RecoveryEntry]:
    """What an earlier run could write only here. Raises OutputError or StorageError."""
    with disk_errors(path):
        try:
            with open_to_read(path) as file:
                lines = file.read(MOST_BYTES).split(b"\n")
        except FileNotFoundError:
            return []
    return [entry for line in lines if (entry := _parse(line))]


def _parse(line: bytes) -> RecoveryEntry | None:
    """Read one line; None for blanks, and for a torn or forged line."""
    row = json_line(line)
    if row is None:
        return None
    job, attempt, request_id = row.get("job"), row.get("attempt"), row.get("request_id")
    if not isinstance(job, str) or type(attempt) is not int or not 0 < attempt <= MOST_ATTEMPTS:
        return None
    usable = usable_request_id(request_id)
    return None if usable is None else RecoveryEntry(job, attempt, usable)


def adopt_requests(db: Connection, entries: list[RecoveryEntry], at: float) -> int:
    """Give the requests to their jobs; returns how many were new to the state."""
    adopted = 0
    for entry in entries:
        seq = job_without_answer(db, entry.job_id, entry.attempt)
        if seq is not None:
            accepted(db, seq, entry.attempt, entry.request_id, "from the spare receipt", at)
            adopted += 1
    return adopted


def settle_dead_run(db: Connection, folder: RunFolder, at: float) -> None:
    """Call it before decisions are applied: a recorded request needs neither a person nor money.

    The receipts come first: a job whose request was accepted must never count as not sent.
    """
    adopt_requests(db, read_recovery_log(folder.receipts), at)
    manual_actions.settle_dead_run(db, at)
