"""What the state hands out: one record for each table, and the views that other rooms need.

The columns of a table are spelled out in schema.sql and in its record here; queries, inserts and
the staging tables are made from these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from batchgen.jobs import JobState

FOLLOWS_MANIFEST = ("tags", "priority", "sweep", "gate", "axes")
"""Columns of `job` that follow the manifest without a question, whatever was paid for."""

STAGED = ("id", "model", "body", "name", "name_key", *FOLLOWS_MANIFEST)
"""Columns of `job` that come from the manifest."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """The table `job`, except `name_key` and `cause`: see schema.sql.

    `tags` and `axes` are JSON.
    """

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
    needed: bool
    axes: str
    again_asked: bool

    @property
    def due_key(self) -> tuple[int, bool, int]:
        """Where it comes among the due jobs of its model, see `due.py::due_page`."""
        return self.priority, self.needed, self.seq

    @property
    def trouble(self) -> str | None:
        """Why the job is not done, as a sentence if there is one."""
        return self.error or self.error_code


@dataclass(frozen=True, slots=True)
class FileRow:
    """The table `file`, except `name_key`: one output, whose bytes may not be on the disk yet."""

    id: int
    job: int
    attempt: int
    position: int
    url: str
    name: str
    path: str | None
    bytes: int | None
    sha256: str | None
    media_type: str | None
    width: int | None
    height: int | None
    seconds: float | None
    frames: int | None
    verified_at: float | None
    pick: str | None


VERIFIED = (
    "path",
    "bytes",
    "sha256",
    "media_type",
    "width",
    "height",
    "seconds",
    "frames",
)
"""Columns of `file` that a download fills in, named as in VerifiedFile."""

verified_values = attrgetter(*VERIFIED)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The table `attempt` as it is shown, with its files if they were read.

    Times are epoch seconds; `model` and `body` are what was sent.
    """

    job: int
    number: int
    model: str
    body: str
    price: float | None
    submitted_at: float
    request_id: str | None
    accepted_at: float | None
    cost: float | None
    ended_at: float | None
    outcome: str | None
    error_code: str | None
    error: str | None
    reused_from: str | None
    files: tuple[FileRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A verified file, and all that is known of how it was made. `body`, `tags`, `axes` are JSON.

    `path` is relative to the run's folder, `position` the vendor's order from 1, `cost` the USD of
    the whole attempt. `reused_from` is JSON too: the result of another run that this one is, which
    has no request of its own. `pick` is a person's, `flaws` are a check's: kind to description.
    `is_latest`: it belongs to the job's latest attempt, so it can be fetched again.
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
    request_id: str | None
    cost: float | None
    reused_from: str | None
    url: str
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


def _columns(record: type, table: str, others: Mapping[str, str] | None = None) -> str:
    names = [field.name for field in fields(record) if field.name != "files"]
    return ", ".join((others or {}).get(name, f"{table}.{name}") for name in names)


IS_LATEST = "(file.attempt = job.attempts AND job.state IN ('done', 'fetching'))"
SENT = {
    "model": "coalesce(attempt.model, job.model)",
    "body": "coalesce(attempt.body, job.body)",
}

JOB_COLUMNS = _columns(JobRow, "job")
FILE_COLUMNS = _columns(FileRow, "file")
ATTEMPT_COLUMNS = _columns(Attempt, "attempt", SENT)
RESULT_COLUMNS = _columns(
    Result,
    "file",
    {
        "seq": "job.seq",
        "job_id": "job.id",
        **SENT,
        **{name: f"job.{name}" for name in ("tags", "sweep", "axes")},
        **{name: f"attempt.{name}" for name in ("request_id", "cost", "reused_from")},
        "flaws": "(SELECT json_group_object(kind, words) FROM flaw WHERE flaw.file = file.id)",
        "is_latest": IS_LATEST,
    },
)
"""Columns of a query on `job`, `attempt` and `file`, by these names; it names those it needs."""
_JOB_KINDS = {"bool": bool, "JobState": JobState}
_JOB_CONVERSIONS = tuple(
    (place, _JOB_KINDS[str(field.type)])
    for place, field in enumerate(fields(JobRow))
    if field.type in _JOB_KINDS
)


def job_row(row: Sequence[Any]) -> JobRow:
    """Build it from a row of a query for JOB_COLUMNS."""
    values = [*row]
    for place, kind in _JOB_CONVERSIONS:
        values[place] = kind(values[place])
    return JobRow(*values)


def result_of(row: Sequence[Any]) -> Result:
    """Build it from a row of a query for RESULT_COLUMNS."""
    *columns, flaws, is_latest = row
    known = {} if flaws == "{}" else json.loads(flaws)
    values = (*columns, known, bool(is_latest))
    return Result(*values)


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """A request that the vendor has, to be followed to its end. `accepted_at` is epoch seconds.

    `was_empty`: an earlier run waited in vain for the files of its success. `again_asked`: a person
    wants another submit if it ended without files.
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
class FetchJob:
    """A job whose results are to be downloaded; `files` are those not on the disk yet.

    `model` and `body` are what was sent. With `reused_from` the files are taken from another run,
    and there is no request. `is_new`: the result came in a moment ago, so nobody has tried yet.
    """

    seq: int
    id: str
    model: str
    body: str
    attempt: int
    request_id: str | None
    reused_from: str | None
    files: tuple[FileRow, ...]
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A job with all its attempts and their files."""

    job: JobRow
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class ReportedJob:
    """A job with its latest attempt and the verified files of that attempt."""

    job: JobRow
    attempt: Attempt | None
    files: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as `status` prints it, with the files of all its attempts and its latest request.

    Not a whole JobRow: of a million jobs only a few columns are printed.
    """

    id: str
    model: str
    state: JobState
    attempts: int
    error_code: str | None
    error: str | None
    request_id: str | None
    files: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """A file was downloaded. `done`: so is its job; `released`: jobs that needed it are due now."""

    saved: Result
    done: bool
    released: bool


@dataclass(frozen=True, slots=True)
class KnownImage:
    """What probing an input image showed, at epoch seconds; `trouble`: why it cannot be used."""

    url: str
    looked_at: float
    media_type: str | None
    width: int | None
    height: int | None
    bytes: int | None
    trouble: str | None


IMAGE_COLUMNS = _columns(KnownImage, "image")


@dataclass(frozen=True, slots=True)
class Money:
    """USD. `spent` is what the vendor's results say.

    `reserved` are the prices of attempts in flight. `unknown` are those of attempts that may have
    been charged, which is not known: they count as spent. `unpriced` counts the attempts of both
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
    empty where causes were not compared.
    """

    state: JobState
    code: str
    jobs: int
    reason: str
    example: str
    key: str


@dataclass(frozen=True, slots=True)
class Failures:
    """The commonest causes; `more` is how many others there are, `more_jobs` their jobs."""

    causes: tuple[FailureCause, ...]
    more: int
    more_jobs: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a job is in its manifest."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two jobs with one id. Without an id of their own, they have the same content.

    `sweep` is the sweep of the later one, if it is part of one.
    """

    id: str
    first: Origin
    again: Origin
    has_own_id: bool
    sweep: str = ""


@dataclass(frozen=True, slots=True)
class MissingNeed:
    """A job that needs one that does not exist; `nearest` is a known id that looks like it."""

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
