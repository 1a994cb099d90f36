"""Files of lines: run.log, metadata.jsonl, decisions.jsonl, receipts.jsonl."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Self

from batchgen.fs import NO_FOLLOW, disk_error

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.jobs import JsonObject


APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | NO_FOLLOW


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: on a nearly full disk, one call may write only a part. Raises OSError."""
    while data:
        data = data[os.write(descriptor, data) :]


def end_torn_line(descriptor: int) -> None:
    """End a line that a crash cut off, so that it does not swallow the next one. Raises OSError."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        write_all(descriptor, b"\n")


def json_line(line: bytes) -> JsonObject | None:
    """Read one line; None if it is not a JSON object: torn, damaged, too deep, a huge number.

    Text that UTF-8 and SQLite cannot store is refused too.
    """
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


FLUSH_AFTER = 0.2
"""Seconds that a line waits at most for others, so that a busy run writes many at once."""


class AppendLog:
    """Appends lines; use with `with`, inside a loop.

    After the first failure nothing is written, and the failure is raised when the block ends: paid
    requests are still followed when a log cannot grow. `mode` is the mode of a new file.
    """

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self._path = path
        self._mode = mode
        self._descriptor = -1
        self._failure: OSError | None = None
        self._waiting: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._descriptor = os.open(self._path, APPEND, self._mode)
            end_torn_line(self._descriptor)
        except OSError as exc:
            raise disk_error(exc, self._path) from exc
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.flush()
        os.close(self._descriptor)
        if self._failure is not None and kind is None:
            raise disk_error(self._failure, self._path) from self._failure

    def append(self, line: str) -> None:
        if not self._waiting:
            # Imported here because commands read logs without an event loop.
            from asyncio import get_running_loop  # noqa: PLC0415 - see above

            get_running_loop().call_later(FLUSH_AFTER, self.flush)
        self._waiting.append(f"{line}\n")

    def flush(self) -> None:
        """Write what waits; it is no error if that fails."""
        lines, self._waiting = self._waiting, []
        if not lines or self._failure is not None:
            return
        try:
            # Lone surrogates are written as escapes, as in JSON.
            write_all(self._descriptor, "".join(lines).encode(errors="backslashreplace"))
        except OSError as exc:
            self._failure = exc
