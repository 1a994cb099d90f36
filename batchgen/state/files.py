"""Files of a request: from a URL on the disk to a verified file on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.records import FetchJob, ResultFile, SavedFile
from batchgen.state.steps import move

if TYPE_CHECKING:
    import sqlite3

    from batchgen.downloads.outcomes import VerifiedFile

_SAVED_COLUMNS = (
    "job.id, coalesce(attempt.model, job.model), coalesce(attempt.body, job.body),"
    " attempt.request_id, attempt.cost,"
    " file.path, file.bytes, file.sha256, file.media_type, file.width, file.height,"
    " file.seconds, file.frames"
)
_SAVED_TABLES = (
    "file JOIN attempt ON attempt.job = file.job AND attempt.number = file.attempt"
    " JOIN job ON job.seq = file.job"
)

SAVED_FILES = (
    f"SELECT {_SAVED_COLUMNS} FROM {_SAVED_TABLES}"
    " WHERE file.verified_at IS NOT NULL ORDER BY file.job, file.attempt, file.position"
)
"""Every verified file, in the order of metadata.jsonl when it is written anew."""


def files_to_fetch(db: sqlite3.Connection, seq: int) -> FetchJob | None:
    """What is left to download of a job; None where it is not fetching any more."""
    row = db.execute(
        "SELECT job.seq, job.id, job.model, attempt.number, attempt.request_id"
        " FROM job JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts"
        " WHERE job.seq = ? AND job.state = 'fetching'",
        (seq,),
    ).fetchone()
    if row is None:
        return None
    files = db.execute(
        "SELECT id, position, url, name FROM file"
        " WHERE job = ? AND attempt = ? AND verified_at IS NULL ORDER BY position",
        (seq, row[3]),
    )
    seq, job_id, model, attempt, request_id = row
    results = tuple(ResultFile(*file) for file in files)
    return FetchJob(seq, job_id, model, attempt, request_id, results)


def verified(
    db: sqlite3.Connection, file_id: int, file: VerifiedFile, at: float
) -> tuple[SavedFile, bool]:
    """Record a file that is on the disk under its final name; True where the job is done now."""
    db.execute(
        "UPDATE file SET path = ?, bytes = ?, sha256 = ?, media_type = ?, width = ?, height = ?,"
        " seconds = ?, frames = ?, verified_at = ? WHERE id = ?",
        (
            file.path,
            file.bytes,
            file.sha256,
            file.media_type,
            file.width,
            file.height,
            file.seconds,
            file.frames,
            at,
            file_id,
        ),
    )
    saved = db.execute(
        f"SELECT {_SAVED_COLUMNS} FROM {_SAVED_TABLES} WHERE file.id = ?",
        (file_id,),
    ).fetchone()
    (seq, left) = db.execute(
        "SELECT job, (SELECT count(*) FROM file AS other WHERE other.job = file.job"
        " AND other.attempt = file.attempt AND other.verified_at IS NULL)"
        " FROM file WHERE id = ?",
        (file_id,),
    ).fetchone()
    done = left == 0 and move(db, seq, JobState.DONE)
    return SavedFile(*saved), done
