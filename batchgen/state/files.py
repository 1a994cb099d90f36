"""Files of a request, from a URL to a verified file, and what is known of input images."""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state import transitions
from batchgen.state.conditions import DUE
from batchgen.state.records import (
    FILE_COLUMNS,
    IMAGE_COLUMNS,
    IS_LATEST,
    RESULT_COLUMNS,
    SENT,
    VERIFIED,
    FetchJob,
    FileRow,
    KnownImage,
    Result,
    Verified,
    result_of,
    verified_values,
)
from batchgen.state.reviews import forget
from batchgen.state.transitions import move

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from batchgen.downloads.outcomes import VerifiedFile
    from batchgen.state.records import LiveRequest
    from batchgen.state.selection import Selection


_RESULTS = (
    f"SELECT {RESULT_COLUMNS} FROM file"
    " JOIN attempt ON attempt.job = file.job AND attempt.number = file.attempt"
    " JOIN job ON job.seq = file.job WHERE file.verified_at IS NOT NULL"
)


def saved_files(db: sqlite3.Connection) -> Iterator[Result]:
    """Every verified file, in the order of metadata.jsonl when it is written again."""
    rows = db.execute(f"{_RESULTS} ORDER BY file.job, file.attempt, file.position")
    return map(result_of, rows)


def result_numbered(db: sqlite3.Connection, file_id: int) -> Result | None:
    """The file of that id, if it is verified."""
    row = db.execute(f"{_RESULTS} AND file.id = ?", (file_id,)).fetchone()
    return result_of(row) if row else None


def count_saved(db: sqlite3.Connection) -> int:
    (count,) = db.execute("SELECT count(*) FROM file WHERE verified_at IS NOT NULL").fetchone()
    return int(count)


def delivered(
    db: sqlite3.Connection,
    request: LiveRequest,
    urls: Sequence[str],
    cost: float | None,
    result: str,
    at: float,
) -> FetchJob | None:
    """The request succeeded: returns what is to be downloaded; None if it is no longer followed."""
    if not transitions.delivered(db, request.seq, request.attempt, urls, cost, result, at):
        return None
    job = files_to_fetch(db, request.seq)
    assert job is not None, "it was delivered a moment ago"
    return replace(job, is_new=True)


def files_to_fetch(db: sqlite3.Connection, seq: int) -> FetchJob | None:
    """What is left to download of a job; None if it is no longer fetching."""
    row = db.execute(
        f"SELECT job.seq, job.id, {SENT['model']}, {SENT['body']}, attempt.number,"
        " attempt.request_id, attempt.reused_from"
        " FROM job JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts"
        " WHERE job.seq = ? AND job.state = 'fetching'",
        (seq,),
    ).fetchone()
    if row is None:
        return None
    files = db.execute(
        f"SELECT {FILE_COLUMNS} FROM file"
        " WHERE job = ? AND attempt = ? AND verified_at IS NULL ORDER BY position",
        (seq, row[4]),
    )
    seq, job_id, model, body, attempt, request_id, reused_from = row
    results = tuple(FileRow(*file) for file in files)
    return FetchJob(seq, job_id, model, body, attempt, request_id, reused_from, results)


def verified(db: sqlite3.Connection, file_id: int, file: VerifiedFile, at: float) -> Verified:
    """Record a file that is on the disk under its final name."""
    _judge_again(db, file_id, file.sha256)
    db.execute(
        f"UPDATE file SET {', '.join(f'{column} = ?' for column in VERIFIED)}, verified_at = ?"
        " WHERE id = ?",
        (*verified_values(file), at, file_id),
    )
    saved = result_numbered(db, file_id)
    assert saved is not None, "it was verified a moment ago"
    (left,) = db.execute(
        "SELECT count(*) FROM file WHERE job = ? AND attempt = ? AND verified_at IS NULL",
        (saved.seq, saved.attempt),
    ).fetchone()
    done = left == 0 and move(db, saved.seq, JobState.DONE)
    return Verified(saved, done, done and _has_due_dependants(db, saved.seq))


def lost_content(file_id: int) -> str:
    """Key in `meta`: the hash of a file's content that is to be fetched again."""
    return f"sha256 of lost file {file_id}"


def _judge_again(db: sqlite3.Connection, file_id: int, sha256: str) -> None:
    """A review is about the very picture that a person saw: other content ends it."""
    row = db.execute(
        "DELETE FROM meta WHERE key = ? RETURNING value", (lost_content(file_id),)
    ).fetchone()
    if row is not None and row[0] != sha256:
        forget(db, file_id)
        db.execute(
            "UPDATE job SET approved = 0 WHERE approved"
            " AND seq = (SELECT job FROM file WHERE id = ?)",
            (file_id,),
        )


def _has_due_dependants(db: sqlite3.Connection, seq: int) -> bool:
    return bool(
        db.execute(
            # In this order: SQLite would rather go through all jobs that are due.
            "SELECT 1 FROM need CROSS JOIN job ON job.seq = need.job"
            f" WHERE need.needs = ? AND {DUE} LIMIT 1",
            (seq,),
        ).fetchone()
    )


def count_results(db: sqlite3.Connection, selection: Selection) -> int:
    """How many verified files the selected jobs have, of all their attempts."""
    condition, values = selection.where()
    (count,) = db.execute(
        "SELECT count(*) FROM file JOIN job ON job.seq = file.job"
        f" WHERE verified_at IS NOT NULL AND {condition}",
        values,
    ).fetchone()
    return int(count)


def results_after(
    db: sqlite3.Connection, selection: Selection, after: int, limit: int
) -> list[Result]:
    """The next verified files of the selected jobs, after the one of id `after`.

    In pages: reading through a night's files must not hold one snapshot all the while, since the
    state's log could not be emptied meanwhile.
    """
    condition, values = selection.where()
    rows = db.execute(
        f"{_RESULTS} AND file.id > ? AND {condition} ORDER BY file.id LIMIT ?",
        (after, *values, limit),
    )
    return [*map(result_of, rows)]


def claimed_path(db: sqlite3.Connection, key: str) -> tuple[str | None] | None:
    """The path of the file whose name has this key, `(None,)` before its download; None if free."""
    row: tuple[str | None] | None = db.execute(
        "SELECT path FROM file WHERE name_key = ?", (key,)
    ).fetchone()
    return row


def fetch_again(db: sqlite3.Connection, file: Result) -> bool:
    """A verified file is not on the disk any more: its job is fetching, by the saved request.

    False, changing nothing, where the file belongs to no result that could be asked for.
    """
    cleared = db.execute(
        f"UPDATE file SET {', '.join(f'{column} = NULL' for column in VERIFIED)},"
        " verified_at = NULL WHERE id = ? AND verified_at IS NOT NULL"
        f" AND EXISTS (SELECT 1 FROM job WHERE seq = file.job AND {IS_LATEST})",
        (file.id,),
    ).rowcount
    if cleared:
        db.execute(
            "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
            (lost_content(file.id), file.sha256),
        )
        # Of several files the second one finds its job fetching already.
        move(db, file.seq, JobState.FETCHING)
    return bool(cleared)


def known_images(db: sqlite3.Connection, urls: Iterable[str]) -> dict[str, KnownImage]:
    """What was seen at these URLs; one that was never looked at is not among them."""
    rows = db.execute(
        f"SELECT {IMAGE_COLUMNS} FROM image WHERE url IN (SELECT value FROM json_each(?))",
        (json.dumps(list(urls)),),
    )
    return {row[0]: KnownImage(*row) for row in rows}


def remember_image(db: sqlite3.Connection, image: KnownImage) -> None:
    """The last look is the one that counts."""
    values = astuple(image)
    db.execute(f"INSERT OR REPLACE INTO image VALUES ({', '.join('?' * len(values))})", values)
