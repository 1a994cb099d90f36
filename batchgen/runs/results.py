"""What became of each job, for programs: paths, costs and errors, one job at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.errors import UsageError
from batchgen.references import as_written
from batchgen.runs.ownership import results_of
from batchgen.state.conditions import VISIBLE
from batchgen.state.database import reading
from batchgen.state.queries import Selection
from batchgen.state.results import job_histories
from batchgen.storage.locations import FolderLocation, parse_location

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.jobs import JobState, JsonObject
    from batchgen.runs.folder import RunFolder
    from batchgen.state.records import FileRow, JobHistory
    from batchgen.storage.locations import Location


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A verified file. `location` is an absolute path, or `s3://…` of a file in a bucket.

    A sound has no `width` and `height`; only it and a video have `seconds`. `pick` is a person's:
    "keep", "reject" or None.
    """

    location: str
    media_type: str
    bytes: int
    sha256: str
    width: int | None
    height: int | None
    seconds: float | None
    pick: str | None

    @property
    def path(self) -> Path:
        """Raises UsageError for a file in a bucket."""
        location = parse_location(self.location)
        if isinstance(location, FolderLocation):
            return location.root
        raise UsageError(
            "this result is in a bucket, and has no path on this machine",
            where=self.location,
            next_step="use its location, or export the results into a folder",
        )


@dataclass(frozen=True, slots=True)
class JobResult:
    """A job, with the files of its latest attempt.

    `input` is what was sent, or will be. `cost` is USD, of all its attempts together; None where
    the vendor has named no price yet. `error_code` and `error` say why it is not done.
    """

    id: str
    model: str
    state: JobState
    input: JsonObject
    tags: tuple[str, ...]
    files: tuple[ResultFile, ...]
    cost: float | None
    attempts: int
    request_id: str | None
    error_code: str | None
    error: str | None


def job_results(folder: RunFolder, selection: Selection = EVERYTHING) -> Iterator[JobResult]:
    """Read the jobs as they are consumed, so that a million need no more memory than a few.

    Raises MissingFileError if nothing was run, and the state's errors.
    """
    condition, values = selection.where()
    with reading(folder.state) as db:
        results = results_of(db, folder).absolute()
        for job in job_histories(db, (f"{VISIBLE} AND {condition}", values)):
            yield _result(job, results)


def _result(history: JobHistory, results: Location) -> JobResult:
    job, attempts = history.job, history.attempts
    last = attempts[-1] if attempts else None
    costs = [attempt.cost for attempt in attempts if attempt.cost is not None]
    return JobResult(
        id=job.id,
        model=last.model if last else job.model,
        state=job.state,
        input=json.loads(as_written(last.body if last else job.body)),
        tags=tuple(json.loads(job.tags)),
        files=tuple(_file(file, results) for file in last.files if file.path) if last else (),
        cost=sum(costs) if costs else None,
        attempts=len(attempts),
        request_id=last.request_id if last else None,
        error_code=job.error_code,
        error=job.error,
    )


def _file(file: FileRow, results: Location) -> ResultFile:
    assert file.path is not None, "only verified files have a path"
    assert file.media_type is not None
    assert file.sha256 is not None
    assert file.bytes is not None
    return ResultFile(
        location=results.of(file.path),
        media_type=file.media_type,
        bytes=file.bytes,
        sha256=file.sha256,
        width=file.width,
        height=file.height,
        seconds=file.seconds,
        pick=file.pick,
    )
