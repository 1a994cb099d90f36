"""What the state file hands out: rows as frozen dataclasses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from batchgen.jobs import JobState


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the table `job` has it: see schema.sql. `tags` and `axes` are JSON."""

    seq: int
    id: str
    model: str
    body: str
    name: str
    tags: str
    state: JobState
    attempts: int
    failures: int
    cancel_asked: bool
    listed: bool
    error_code: str | None
    error: str | None
    priority: int
    sweep: str
    gate: bool
    approved: bool
    waiting: int
    axes: str
    again_asked: bool

    @property
    def trouble(self) -> str | None:
        """Why the job is not done, as a sentence where there is one."""
        return self.error or self.error_code


JOB_COLUMNS = ", ".join(f"job.{field.name}" for field in fields(JobRow))


def job_row(row: Sequence[Any]) -> JobRow:
    """Of a query for JOB_COLUMNS."""
    values = dict(zip(JobRow.__slots__, row, strict=True))
    flags = {name: bool(values[name]) for name in _JOB_FLAGS}
    return JobRow(**(values | flags | {"state": JobState(values["state"])}))


_JOB_FLAGS = tuple(field.name for field in fields(JobRow) if field.type == "bool")


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A job that may be submitted. `failures`: attempts that the vendor failed so far."""

    seq: int
    id: str
    model: str
    body: str
    failures: int
    priority: int = 0
    sweep: str = ""


@dataclass(frozen=True, slots=True)
class NeededFile:
    """A result of a job that another one needs. `position`: in the vendor's order, from 1."""

    job_id: str
    file_id: int
    request_id: str
    position: int
    url: str
    media_type: str
    width: int
    height: int
    bytes: int


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """A request that the vendor has: to be followed to its end. `accepted_at`: epoch seconds.

    `was_empty`: an earlier run has waited in vain for the files of its success. `again_asked`: a
    person wants another submit, should it have ended without files.
    """

    seq: int
    id: str
    model: str
    body: str
    failures: int
    state: JobState
    attempt: int
    request_id: str
    accepted_at: float
    price: float | None
    was_empty: bool = False
    again_asked: bool = False


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One output of a request whose URL is on the disk, and its bytes are not yet."""

    id: int
    position: int
    url: str
    name: str


@dataclass(frozen=True, slots=True)
class FetchJob:
    """A job whose results are to be downloaded."""

    seq: int
    id: str
    model: str
    attempt: int
    request_id: str
    files: tuple[ResultFile, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """A verified file, and all that is known of how it was made. `body`, `tags`, `axes` are JSON.

    `path` is relative to the run's folder, `position` the vendor's order from 1, `cost` the USD of
    the whole attempt. `pick` is a person's, `flaws` are a check's: kind to description. It
    `is_latest` where its job stands for it today, so that it can be fetched again.
    """

    id: int
    seq: int
    job_id: str
    attempt: int
    position: int
    model: str
    body: str
    tags: str
    sweep: str
    axes: str
    request_id: str
    cost: float | None
    path: str
    bytes: int
    sha256: str
    media_type: str
    width: int
    height: int
    seconds: float | None
    frames: int | None
    pick: str | None
    flaws: Mapping[str, str]
    is_latest: bool


IS_LATEST = "(file.attempt = job.attempts AND job.state IN ('done', 'fetching'))"

RESULT_COLUMNS = (
    "file.id, job.seq, job.id, file.attempt, file.position, coalesce(attempt.model, job.model),"
    " coalesce(attempt.body, job.body), job.tags, job.sweep, job.axes, attempt.request_id,"
    " attempt.cost, file.path, file.bytes, file.sha256, file.media_type, file.width, file.height,"
    " file.seconds, file.frames, file.pick,"
    " (SELECT json_group_object(kind, words) FROM flaw WHERE flaw.file = file.id),"
    f" {IS_LATEST}"
)


def result_of(row: Sequence[Any]) -> Result:
    """Of a query for RESULT_COLUMNS."""
    *columns, flaws, is_latest = row
    known = {} if flaws == "{}" else json.loads(flaws)
    values = (*columns, known, bool(is_latest))
    return Result(*values)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as `status` shows it, with the files of all its attempts and its latest request."""

    id: str
    model: str
    state: JobState
    attempts: int
    request_id: str | None
    error_code: str | None
    error: str | None
    files: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """A file was downloaded. `done`: its job is; `released`: jobs that needed it are due now."""

    saved: Result
    done: bool
    released: bool


@dataclass(frozen=True, slots=True)
class KnownImage:
    """What a look at an input image showed, at epoch seconds; `trouble`: why it is of no use."""

    url: str
    looked_at: float
    media_type: str | None
    width: int | None
    height: int | None
    bytes: int | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Money:
    """USD. `spent` is what the vendor's results say.

    `reserved` are the prices of attempts in flight. `unknown` are those of attempts that may have
    been charged, and nobody can tell: they count as spent. `unpriced` counts the attempts of both
    kinds whose price is not known either.
    """

    spent: float
    reserved: float
    unpriced: int
    unknown: float = 0.0

    @property
    def committed(self) -> float:
        return self.spent + self.reserved + self.unknown


@dataclass(frozen=True, slots=True)
class FailureCause:
    """Jobs that are in trouble for one cause; `example` is the id of one of them.

    `reason` is the vendor's sentence about that one. `key` names the cause as `--cause` does; it is
    empty where causes were not told apart.
    """

    state: JobState
    code: str
    jobs: int
    reason: str
    example: str
    key: str


@dataclass(frozen=True, slots=True)
class Failures:
    """The commonest causes, and how many `more` there are, with as many `more_jobs`."""

    causes: tuple[FailureCause, ...]
    more: int
    more_jobs: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a job is written."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two jobs of one id. Without an id of their own, they are two of one content.

    `sweep` is what the later one is part of, if it is.
    """

    id: str
    first: Origin
    again: Origin
    has_own_id: bool
    sweep: str = ""


@dataclass(frozen=True, slots=True)
class MissingNeed:
    """A job that needs what is not there; `nearest` is a known id that looks like it."""

    job_id: str
    needs: str
    origin: Origin
    nearest: str | None
    sweep: str = ""


@dataclass(frozen=True, slots=True)
class NeedCycle:
    """Each job needs the next one, and the last the first; `origin` is the first one's."""

    job_ids: tuple[str, ...]
    origin: Origin


Counts = Mapping[str, Mapping[JobState, int]]
"""Jobs by model and state."""


def money_line(money: Money) -> str:
    """Say `1.50 USD spent, 0.30 USD reserved, 0.10 USD unknown, + 2 without a known price`."""
    parts = [f"{money.spent:.2f} USD spent"]
    if money.reserved:
        parts.append(f"{money.reserved:.2f} USD reserved")
    if money.unknown:
        parts.append(f"{money.unknown:.2f} USD unknown (counted as spent)")
    if money.unpriced:
        parts.append(f"+ {money.unpriced} without a known price")
    return ", ".join(parts)
