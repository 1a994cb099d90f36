"""run.log: what happened, as JSON lines, for people and their tools. Never the token."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TextIO

from batchgen.engine.events import FileSaved, JobMoved
from batchgen.errors import OutputError
from batchgen.runs.folder import open_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchgen.engine.events import Event
    from batchgen.jobs import JsonValue


class Journal:
    """Appends events to run.log; use with `with`. `now` is the wall clock, epoch seconds."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._file: TextIO

    def __enter__(self) -> Self:
        try:
            descriptor = open_private(self._path, os.O_WRONLY | os.O_APPEND)
        except OSError as exc:
            raise OutputError(
                f"the log cannot be written: {exc.strerror}",
                where=str(self._path),
                next_step="check the folder and its permissions, or set output.dir",
            ) from exc
        self._file = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def hear(self, event: Event) -> None:
        self.note(type(event).__name__, **_fields(event))

    def note(self, event: str, **fields: JsonValue) -> None:
        at = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "event": event, **fields}
        self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")


def _fields(event: Event) -> dict[str, JsonValue]:
    """What is worth a line: no empty field, no whole input."""
    match event:
        case FileSaved(file):
            return {"job_id": file.job_id, "path": file.path, "bytes": file.bytes}
        case JobMoved():
            moved = {name: getattr(event, name) for name in JobMoved.__slots__}
            return {name: value for name, value in moved.items() if value is not None}
        case _:
            return asdict(event)
