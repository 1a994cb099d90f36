"""A person's decisions, in decisions.jsonl: appended by commands, applied by the writer.

The transaction that applies decisions also stores how far the file was read, so each decision takes
effect exactly once, however often a run dies.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from batchgen.fs import disk_errors, open_to_read
from batchgen.jobs import JobState
from batchgen.manifest.tuning import Tuning, read_tuning
from batchgen.runs.append_log import APPEND, end_torn_line, write_all
from batchgen.state import manual_actions, reviews
from batchgen.state.meta import Meta, get_meta, set_meta
from batchgen.state.queries import job_named, job_numbered
from batchgen.state.reviews import Pick

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.state.database import Connection


MOST_FILES = 10_000
"""No file has a higher position; larger numbers in a line may not fit into SQLite."""

PAGE_BYTES = 128 * 1024
"""About a thousand decisions: some hundredths of a second."""


class Verb(StrEnum):
    ADOPT = "adopt"
    RESUBMIT = "resubmit"
    WRITE_OFF = "write_off"
    CANCEL = "cancel"
    APPROVE = "approve"
    KEEP = "keep"
    REJECT = "reject"
    UNPICK = "unpick"
    FIND = "find"
    TUNE = "tune"


MARKS = frozenset({Verb.KEEP, Verb.REJECT, Verb.UNPICK, Verb.FIND})
"""These are about files, not about the life of a job, so the engine does not need them."""

PICKS = {Verb.KEEP: Pick.KEEP, Verb.REJECT: Pick.REJECT, Verb.UNPICK: None}


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision about one job; TUNE, with its `tuning`, is about the run in progress.

    `request_id` goes with ADOPT; `at`: epoch seconds.

    `attempt` is the number of the attempt that the person saw: the decision does not apply to a
    later one. MARKS are about the file at `position`, from 1, or about all files of the attempt;
    `flaws`, kind to description, go with FIND.
    """

    verb: Verb
    job_id: str
    at: float
    request_id: str | None = None
    attempt: int | None = None
    position: int | None = None
    flaws: Mapping[str, str] = field(default_factory=dict)
    tuning: Tuning | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """A decision and its outcome; `objection` says why it could not be applied.

    `model`, `before` and `after` are the job's model and states. `ask_vendor`: the job has a
    request, so only the vendor can cancel it. `place` is where its line begins in the file.
    """

    decision: Decision
    seq: int | None
    objection: str | None = None
    ask_vendor: bool = False
    model: str = ""
    before: JobState = JobState.PENDING
    after: JobState = JobState.PENDING
    place: int = 0

    @property
    def stays_done(self) -> bool:
        """Whether a retry was taken back, so that jobs that need this one may start."""
        return self.after is JobState.DONE and self.before is not JobState.DONE


@dataclass(frozen=True, slots=True)
class Written:
    """How many decisions were written, and where: each span is a first byte and the one behind.

    `latest` is the time of the latest, 0 if there is none.
    """

    count: int
    latest: float
    spans: tuple[tuple[int, int], ...]

    def has(self, one: Applied) -> bool:
        return any(first <= one.place < end for first, end in self.spans)


WRITTEN_AT_ONCE = 1000
"""Decisions per write. Fewer are one write: the run never reads a part of what belongs together."""


def append_decisions(path: Path, decisions: Iterable[Decision]) -> Written:
    """Write the decisions to the disk, as they come: a million need no more memory than ten.

    Raises OutputError, StorageError or DiskFullError.
    """
    count, latest = 0, 0.0
    spans: list[tuple[int, int]] = []
    rest = iter(decisions)
    with disk_errors(path):
        descriptor = os.open(path, APPEND, 0o600)
        try:
            end_torn_line(descriptor)
            while page := list(islice(rest, WRITTEN_AT_ONCE)):
                lines = "".join(json.dumps(_to_json(one)) + "\n" for one in page).encode()
                write_all(descriptor, lines)
                end = os.lseek(descriptor, 0, os.SEEK_CUR)
                _add_span(spans, end - len(lines), end)
                count += len(page)
                latest = max(latest, *(one.at for one in page))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return Written(count, latest, tuple(spans))


def _add_span(spans: list[tuple[int, int]], first: int, end: int) -> None:
    """One span, unless another process wrote in between."""
    if spans and spans[-1][1] == first:
        first, _ = spans.pop()
    spans.append((first, end))


def has_new(db: Connection, path: Path) -> bool:
    """Whether something was appended since the last time. Raises OutputError or StorageError."""
    with disk_errors(path):
        return path.exists() and path.stat().st_size != int(get_meta(db, Meta.DECISIONS_READ) or 0)


@dataclass(frozen=True, slots=True)
class Page:
    """Decisions that were applied; `more`: whether others may be waiting."""

    applied: tuple[Applied, ...]
    more: bool


def apply_page(db: Connection, path: Path) -> Page:
    """Apply a page of what was appended since the last time, inside the caller's transaction.

    A page, since the picks of a whole night must not block the only writer for seconds. Raises
    OutputError or StorageError if the file cannot be read.
    """
    offset = int(get_meta(db, Meta.DECISIONS_READ) or 0)
    with disk_errors(path):
        if path.exists() and path.stat().st_size < offset:
            offset = 0  # moved away or emptied, so all of it is new
    data = _read_from(path, offset)
    whole = data[: data.rfind(b"\n") + 1]
    if not whole:
        return Page((), more=False)
    set_meta(db, Meta.DECISIONS_READ, str(offset + len(whole)))
    applied: list[Applied] = []
    # As bytes: a JSON text has no line break inside, whatever else ends a line for `str`.
    for line in whole.splitlines(keepends=True):
        if decision := _parse(line):
            applied.append(_apply(db, decision, offset))
        offset += len(line)
    return Page(tuple(applied), more=len(data) >= PAGE_BYTES)


def _read_from(path: Path, offset: int) -> bytes:
    with disk_errors(path):
        try:
            file = open_to_read(path)
        except FileNotFoundError:
            return b""
        with file:
            file.seek(offset)
            return file.read(PAGE_BYTES) + file.readline()


def _apply(db: Connection, decision: Decision, place: int) -> Applied:
    if decision.verb is Verb.TUNE:
        # Nothing of the state's: the run in progress takes it up, and no later one does.
        return Applied(decision, None, place=place)
    job = job_named(db, decision.job_id)
    if job is None:
        return Applied(decision, None, f"there is no job {decision.job_id}", place=place)
    if decision.attempt not in {None, job.attempts}:
        objection = f"job {job.id} was submitted again after that decision"
        return Applied(decision, job.seq, objection, False, job.model, job.state, job.state, place)
    refused, ask_vendor = _act(db, job.seq, decision)
    after = job_numbered(db, job.seq).state
    return Applied(decision, job.seq, refused, ask_vendor, job.model, job.state, after, place)


def _act(db: Connection, seq: int, decision: Decision) -> tuple[str | None, bool]:
    """The objection, if there is one, and whether the vendor must be asked."""
    match decision.verb:
        case Verb.ADOPT:
            assert decision.request_id is not None, "_parse lets no such line through"
            return manual_actions.adopt(db, seq, decision.request_id, decision.at), False
        case Verb.RESUBMIT:
            return manual_actions.resubmit(db, seq, decision.at), False
        case Verb.WRITE_OFF:
            return manual_actions.write_off(db, seq, decision.at), False
        case Verb.CANCEL:
            return None, not manual_actions.cancel(db, seq)
        case Verb.APPROVE:
            return manual_actions.approve(db, seq, decision.at), False
        case Verb.KEEP | Verb.REJECT | Verb.UNPICK:
            return reviews.pick(db, seq, decision.position, PICKS[decision.verb]), False
        case Verb.FIND:
            return reviews.find_flaws(db, seq, decision.position, decision.flaws), False
        case Verb.TUNE:
            raise AssertionError("it is about no job")


def _to_json(decision: Decision) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {
        "at": decision.at,
        "decide": decision.verb.value,
        "job": decision.job_id,
        "request_id": decision.request_id,
        "attempt": decision.attempt,
    }
    if decision.verb in MARKS:
        row["position"] = decision.position
    if decision.verb is Verb.FIND:
        row["flaws"] = dict(decision.flaws)
    if decision.tuning is not None:
        row |= decision.tuning.to_json()
    return row


def _parse(line: bytes) -> Decision | None:
    """Read one line; None if none of our commands wrote it.

    Strict: a line that the state refuses would stop this run and every later one.
    """
    try:
        row = json.loads(line)
        verb, job_id, at, request_id = Verb(row["decide"]), row["job"], row["at"], row["request_id"]
        sound = isinstance(at, int | float) and math.isfinite(at)
        tuning = read_tuning(row) if verb is Verb.TUNE else None
        sound = sound and (_is_text(job_id) if tuning is None else job_id == "")
        sound = sound and (tuning is not None or verb is not Verb.TUNE)
        sound = sound and (_is_text(request_id) if verb is Verb.ADOPT else request_id is None)
        attempt, position, flaws = row.get("attempt"), row.get("position"), row.get("flaws", {})
        sound = sound and (attempt is None or type(attempt) is int)
        sound = sound and (position is None or _is_position(position))
        sound = sound and all(_is_text(kind) and _is_text(flaws[kind]) for kind in dict(flaws))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if not sound:
        return None
    return Decision(verb, job_id, float(at), request_id, attempt, position, dict(flaws), tuning)


def _is_position(value: object) -> bool:
    return type(value) is int and 1 <= value <= MOST_FILES


def _is_text(value: object) -> bool:
    """Text that SQLite can store. Raises UnicodeEncodeError, a ValueError, for lone surrogates."""
    return isinstance(value, str) and bool(value.encode())
