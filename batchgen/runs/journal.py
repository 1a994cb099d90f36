"""run.log: what happened, as JSON lines, never the token; and metadata.jsonl, one line a file.

metadata.jsonl has the layout that dataset loaders read (imagefolder). It grows as results arrive.
It can always be rebuilt from the state, so it needs no fsync.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batchgen.engine.events import FileSaved, JobMoved, Noted
from batchgen.fs import disk_errors, open_to_read, publishing
from batchgen.jobs import JobState
from batchgen.references import as_published
from batchgen.runcomfy.base import usable_request_id
from batchgen.runs.append_log import AppendLog, json_line
from batchgen.runs.ownership import EMULATOR
from batchgen.state.files import count_saved, saved_files
from batchgen.state.meta import Meta, drop_meta, get_meta
from batchgen.state.reuse import source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchgen.engine.events import Event
    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection
    from batchgen.state.records import Result


SUBMITTED = b'"state": "submitting"'
ACCEPTED = b'"state": "queued", "request_id": "'
"""Marks of lines about a submit and its answer, so that not every line need be parsed."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)
"""Made once: `json.dumps` makes one a line if it has options."""

CHUNK = 256 * 1024
LONGEST = 16 * 1024
"""No line about a request is longer."""


class Journal(AppendLog):
    """Appends events to run.log; use with `with`. `now` is the wall clock, epoch seconds."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        super().__init__(path)
        self._now = now

    def on_event(self, event: Event) -> None:
        self.note(type(event).__name__, **_fields(event))

    def note(self, event: str, **fields: JsonValue) -> None:
        at = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "event": event, **_told(fields)}
        self.append(_ENCODER.encode(line))


def _fields(event: Event) -> dict[str, JsonValue]:
    """The fields of a line; whole inputs are left out."""
    if isinstance(event, FileSaved):
        file = event.file
        return {"job_id": file.job_id, "path": file.path, "bytes": file.bytes}
    if isinstance(event, JobMoved):
        # By far the most common, and flat already: asdict would only copy it.
        return {name: getattr(event, name) for name in JobMoved.__slots__}
    if isinstance(event, Noted):
        # Whether it is also shown on screen is no event.
        return {"text": event.text, "job_id": event.job_id}
    return asdict(event)


def _told(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Without what is not known."""
    return {
        name: _told(value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
        if value is not None
    }


def latest_line(log: Path, start: int, mark: bytes) -> JsonObject | None:
    """The last line with this mark, searched from the end: a log may be large."""
    with disk_errors(log):
        try:
            file = open_to_read(log)
        except FileNotFoundError:
            return None
        with file:
            end = file.seek(0, os.SEEK_END)
            floor = start if start <= end else 0
            while end > floor:
                begin = max(floor, end - CHUNK)
                file.seek(begin)
                # The line of a mark at the start of this part may begin before it.
                after = LONGEST if begin > floor else 0
                if found := _last_line(file.read(CHUNK + LONGEST), mark, after):
                    return found
                end = begin + after
    return None


def _last_line(data: bytes, mark: bytes, after: int) -> JsonObject | None:
    """The last line whose mark is at `after` or later."""
    at = len(data)
    while (at := data.rfind(mark, after, at)) >= 0:
        first = data.rfind(b"\n", 0, at) + 1
        row = json_line(data[first:].partition(b"\n")[0])
        if row is not None:
            return row
    return None


@dataclass(slots=True)
class LoggedRequests:
    """`is_real`: whether a part of the log belongs, or may belong, to a paid run."""

    requests: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, None] = field(default_factory=dict)
    is_real: bool = True
    reused: set[str] = field(default_factory=set)
    """Jobs that took a result of another run."""


def read_requests(folder: RunFolder, start: int) -> LoggedRequests:
    """The requests in run.log, without those of rehearsals, which cost nothing."""
    # An older log does not name the provider.
    rehearsed = folder.emulator.exists()
    log = LoggedRequests(is_real=False)
    real, runs = not rehearsed, 0
    for row in rows_of(folder.log, start):
        if row.get("event") == "RunStarted":
            runs += 1
            provider = row.get("provider")
            real = provider != EMULATOR if provider else not rehearsed
            log.is_real |= real
        elif row.get("event") == "JobMoved" and real:
            _note(log, row)
    if not runs:
        log.is_real = not rehearsed
    return log


def _note(log: LoggedRequests, row: JsonObject) -> None:
    job, state = str(row.get("job_id")), str(row.get("state"))
    if row.get("code") == "reused":
        log.reused.add(job)
    request_id = usable_request_id(row.get("request_id"))
    if state == JobState.SUBMITTING:
        log.unanswered[job] = None
    elif state == JobState.QUEUED and request_id:
        log.requests[request_id] = job
        log.unanswered.pop(job, None)
    elif state in {JobState.PENDING, JobState.FAILED}:
        # Not accepted, so nothing was charged.
        log.unanswered.pop(job, None)


def rows_of(path: Path, start: int = 0) -> Iterator[JsonObject]:
    """Each line that is an object, from byte `start` on; all lines if the log became shorter."""
    with disk_errors(path):
        try:
            file = open_to_read(path)
        except FileNotFoundError:
            return
        with file:
            file.seek(start if start <= os.fstat(file.fileno()).st_size else 0)
            for line in file:
                row = json_line(line)
                if row is not None:
                    yield row


CHUNK_METADATA = 1024 * 1024


def metadata_line(file: Result) -> str:
    """The line for one file. `file_name` is relative to metadata.jsonl, as loaders expect."""
    sent = json.loads(as_published(file.body))
    fields = {
        "file_name": file.path,
        "id": file.job_id,
        "model": file.model,
        "prompt": sent.get("prompt"),
        "input": sent,
        "seed": sent.get("seed"),
        "sha256": file.sha256,
        "width": file.width,
        "height": file.height,
        "request_id": file.request_id,
        "cost": file.cost,
        "reused": _reused_text(file),
    }
    return json.dumps(fields, ensure_ascii=False)


def _reused_text(file: Result) -> str | None:
    """One text, not an object: loaders want a column of one kind."""
    return None if file.reused_from is None else source_of(file.reused_from).origin


class MetadataFile(AppendLog):
    """Appends a line for each new file; `catch_up` first brings it up to the state."""

    def __init__(self, path: Path) -> None:
        # It has every prompt in it, so only its owner may read it unless they change that.
        super().__init__(path, mode=0o600)

    def on_event(self, event: Event) -> None:
        if isinstance(event, FileSaved):
            self.append(metadata_line(event.file))


def catch_up(path: Path, db: Connection) -> None:
    """Rewrite the file if a crash left missing or broken lines, or if jobs were renamed.

    Memory stays constant. Raises OutputError, StorageError.
    """
    with disk_errors(path):
        if _whole_lines(path) == count_saved(db) and get_meta(db, Meta.METADATA_IS_STALE) is None:
            return
        with publishing(path) as file:
            file.writelines(f"{metadata_line(saved)}\n".encode() for saved in saved_files(db))
    drop_meta(db, Meta.METADATA_IS_STALE)


def renew_if_stale(db: Connection, path: Path) -> None:
    """Rewrite it at the end of a run: some costs became known after their files were listed."""
    if get_meta(db, Meta.METADATA_IS_STALE) is not None:
        catch_up(path, db)


def _whole_lines(path: Path) -> int | None:
    """How many lines the file has; None if it is missing or its last line is broken."""
    try:
        file = open_to_read(path)
    except FileNotFoundError:
        return None
    lines, last = 0, b"\n"
    with file:
        while chunk := file.read(CHUNK_METADATA):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines if last == b"\n" else None
