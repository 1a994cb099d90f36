"""run.log: what happened, as JSON lines, for people and their tools. Never the token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batchgen.engine.events import FileSaved, JobMoved
from batchgen.runs.lines import LineFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchgen.engine.events import Event
    from batchgen.jobs import JsonValue


class Journal(LineFile):
    """Appends events to run.log; use with `with`. `now` is the wall clock, epoch seconds."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        super().__init__(path)
        self._now = now

    def hear(self, event: Event) -> None:
        self.note(type(event).__name__, **_fields(event))

    def note(self, event: str, **fields: JsonValue) -> None:
        at = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "event": event, **_told(fields)}
        self.append(json.dumps(line, ensure_ascii=False, default=str))


def _fields(event: Event) -> dict[str, JsonValue]:
    """What is worth a line: no whole input."""
    if isinstance(event, FileSaved):
        file = event.file
        return {"job_id": file.job_id, "path": file.path, "bytes": file.bytes}
    if isinstance(event, JobMoved):
        # By far the commonest: asdict would copy what is flat already.
        return {name: getattr(event, name) for name in JobMoved.__slots__}
    return asdict(event)


def _told(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Without what is not known."""
    return {
        name: _told(value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
        if value is not None
    }
