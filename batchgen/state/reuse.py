"""Results of other runs: which of this state's can be reused, and jobs that take one.

A job takes a result in two durable steps. It is recorded with the names of the files and where they
come from, and the job is fetching; then each file is taken like a downloaded one (files.py).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from batchgen.downloads.outcomes import VerifiedFile
from batchgen.jobs import JobState
from batchgen.state.conditions import ASKED_FOR_ANEW, DUE
from batchgen.state.file_names import claim_file_names
from batchgen.state.files import lost_content
from batchgen.state.records import VERIFIED
from batchgen.storage.locations import BucketLocation, FolderLocation

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from batchgen.jobs import JsonObject
    from batchgen.storage.locations import Location

Work: TypeAlias = tuple[str, str]
"""A model, and the SHA-256 of an input: results of the same work can stand in for each other."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`url` is the vendor's; `file.path` is below the folder of the source's run."""

    url: str
    file: VerifiedFile


@dataclass(frozen=True, slots=True)
class Source:
    """A result of another run. `run` is the id of its state; its files may be in a `bucket`.

    `key` names the result itself: a run that reused it has the same one, not another.
    """

    folder: str
    run: str
    job: str
    attempt: int
    key: str
    files: tuple[SourceFile, ...]
    bucket: str = ""

    @property
    def location(self) -> Location:
        return BucketLocation(self.bucket) if self.bucket else FolderLocation(Path(self.folder))

    @property
    def origin(self) -> str:
        return f"job {self.job} of {self.folder}"

    def to_text(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def source_of(text: str) -> Source:
    """Read what `to_text` wrote."""
    fields = json.loads(text)
    files = tuple(SourceFile(one["url"], VerifiedFile(**one["file"])) for one in fields["files"])
    return Source(**{**fields, "files": files})


def reused_json(text: str | None) -> JsonObject | None:
    """Where a result comes from, as documents show it; None for one of this run's own."""
    if text is None:
        return None
    fields = json.loads(text)
    return {name: fields[name] for name in ("folder", "job", "attempt")}


_MAY_REUSE = (
    "NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND body_sha256 = ?"
    f" AND {ASKED_FOR_ANEW})"
)


def may_reuse(db: sqlite3.Connection, digests: Iterable[tuple[int, str]]) -> set[int]:
    """Which jobs may take a result of another run; `digests` are their inputs', by number."""
    query = f"SELECT 1 FROM job WHERE seq = ? AND {DUE} AND {_MAY_REUSE}"
    return {seq for seq, digest in digests if db.execute(query, (seq, digest)).fetchone()}


def used_keys(db: sqlite3.Connection, keys: Sequence[str]) -> set[str]:
    """Which of these results serve a job of this run already."""
    rows = db.execute(
        "SELECT reused_key FROM attempt WHERE reused_key IN (SELECT value FROM json_each(?))",
        (json.dumps(keys),),
    )
    return {key for (key,) in rows}


def is_an_input(db: sqlite3.Connection, seq: int) -> bool:
    """Whether other jobs need this one, and may take its result as an input."""
    return bool(db.execute("SELECT 1 FROM need WHERE needs = ? LIMIT 1", (seq,)).fetchone())


def begin_reuse(
    db: sqlite3.Connection, seq: int, body_sha256: str, source: Source, at: float
) -> bool:
    """Record that a job takes this result; False where it may not, or the result is taken."""
    if not may_reuse(db, [(seq, body_sha256)]) or used_keys(db, [source.key]):
        return False
    # Approval is for one result, and this is another one.
    (number,) = db.execute(
        "UPDATE job SET state = 'fetching', error_code = NULL, error = NULL, approved = 0,"
        " attempts = attempts + 1, again_asked = 0 WHERE seq = ? RETURNING attempts",
        (seq,),
    ).fetchone()
    db.execute(
        "INSERT INTO attempt (job, number, body_sha256, price, submitted_at, cost, ended_at,"
        " outcome, reused_from, reused_key) VALUES (?, ?, ?, 0, ?, 0, ?, 'reused', ?, ?)",
        (seq, number, body_sha256, at, at, source.to_text(), source.key),
    )
    names = claim_file_names(db, seq, number, len(source.files))
    db.executemany(
        "INSERT INTO file (job, attempt, position, url, name, name_key) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (seq, number, position, one.url, name, key)
            for position, (one, (name, key)) in enumerate(
                zip(source.files, names, strict=True), start=1
            )
        ],
    )
    return True


def give_back_reused(db: sqlite3.Connection, seq: int, number: int, reason: str, at: float) -> bool:
    """The result is gone before the job has taken it: nothing was paid, so the job is pending.

    False, changing nothing, where it was taken once and lost: only a person may pay for that.
    """
    files = [
        file
        for (file,) in db.execute(
            "SELECT id FROM file WHERE job = ? AND attempt = ?", (seq, number)
        )
    ]
    keys = json.dumps([lost_content(file) for file in files])
    (was_taken,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM meta WHERE key IN (SELECT value FROM json_each(?)))"
        " OR NOT EXISTS (SELECT 1 FROM job JOIN attempt ON attempt.job = seq AND number = attempts"
        " WHERE seq = ? AND number = ? AND state = 'fetching' AND outcome = 'reused')",
        (keys, seq, number),
    ).fetchone()
    if was_taken:
        return False
    db.execute(
        "UPDATE attempt SET outcome = 'not_sent', ended_at = ?, error = ?, reused_from = NULL,"
        " reused_key = NULL WHERE job = ? AND number = ?",
        (at, reason, seq, number),
    )
    # Their names are the next attempt's. What was published of several files is overwritten by it.
    db.execute(
        "DELETE FROM flaw WHERE file IN (SELECT id FROM file WHERE job = ? AND attempt = ?)",
        (seq, number),
    )
    db.execute("DELETE FROM file WHERE job = ? AND attempt = ?", (seq, number))
    # Not a step of jobs.LEGAL_TARGETS: what was paid never goes this way.
    db.execute(
        "UPDATE job SET state = 'pending', error_code = NULL, error = NULL WHERE seq = ?", (seq,)
    )
    return True


def count_reused(db: sqlite3.Connection, state: JobState = JobState.DONE) -> int:
    """Jobs of the manifest in this state whose latest result is another run's."""
    (count,) = db.execute(
        "SELECT count(*) FROM attempt INDEXED BY attempt_money"
        " CROSS JOIN job ON job.seq = attempt.job AND job.attempts = attempt.number"
        " WHERE outcome = 'reused' AND job.state = ? AND job.listed = 1",
        (state.value,),
    ).fetchone()
    return int(count)


# Of this state, for other runs.

# By number: a job may get another id.
_KEY = (
    "coalesce(reused_key, (SELECT value FROM meta WHERE key = 'run_id')"
    " || '/' || job.seq || '/' || number)"
)
_FINISHED = (
    f"SELECT coalesce(attempt.model, job.model), body_sha256, job.id, number, {_KEY}"
    " FROM {jobs} JOIN attempt ON attempt.job = job.seq"
    " WHERE outcome IN ('succeeded', 'reused')"
    " AND EXISTS (SELECT 1 FROM file WHERE file.job = job.seq AND file.attempt = number)"
    " AND NOT EXISTS (SELECT 1 FROM file WHERE file.job = job.seq AND file.attempt = number"
    " AND verified_at IS NULL)"
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole result of this state; `key` as Source has it."""

    work: Work
    job: str
    attempt: int
    key: str


def finished_results(
    db: sqlite3.Connection, seqs: Sequence[int] | None = None
) -> Iterator[Finished]:
    """The results of these jobs, or of all."""
    if seqs is None:
        rows = db.execute(_FINISHED.format(jobs="job"))
    else:
        jobs = "json_each(?) AS wanted JOIN job ON job.seq = wanted.value"
        rows = db.execute(_FINISHED.format(jobs=jobs), (json.dumps(seqs),))
    for model, digest, job, number, key in rows:
        yield Finished((model, digest), job, number, key)


def latest_files(db: sqlite3.Connection, count: int) -> set[int]:
    """The jobs of the latest files, downloaded or not."""
    return {job for (job,) in db.execute("SELECT job FROM file ORDER BY id DESC LIMIT ?", (count,))}


def files_to_reuse(
    db: sqlite3.Connection, work: Work, job: str, attempt: int
) -> tuple[str, tuple[SourceFile, ...]] | None:
    """The key and the files of a result that another run may take; None if there is none such.

    No files if a person rejected one of them, or a check found a flaw.
    """
    rows = db.execute(
        f"SELECT {_KEY}, file.url, file.pick IS 'reject'"
        " OR EXISTS (SELECT 1 FROM flaw WHERE flaw.file = file.id),"
        f" {', '.join(f'file.{name}' for name in VERIFIED)}"
        " FROM job JOIN attempt ON attempt.job = job.seq JOIN file ON file.job = job.seq"
        " AND file.attempt = number WHERE job.id = ? AND number = ?"
        " AND coalesce(attempt.model, job.model) = ? AND body_sha256 = ?"
        " AND outcome IN ('succeeded', 'reused') ORDER BY position",
        (job, attempt, *work),
    ).fetchall()
    if not rows or any(row[3] is None for row in rows):
        return None
    key = rows[0][0]
    if any(bad for _, _, bad, *_ in rows):
        return key, ()
    return key, tuple(SourceFile(url, VerifiedFile(*columns)) for _, url, _, *columns in rows)
