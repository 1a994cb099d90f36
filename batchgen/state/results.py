"""Jobs one by one with their attempts, and the results that a dataset is made of."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from itertools import starmap
from typing import TYPE_CHECKING, Any

from batchgen.input_files import HOST, files_in
from batchgen.jobs import JobState
from batchgen.state.records import (
    ATTEMPT_COLUMNS,
    FILE_COLUMNS,
    JOB_COLUMNS,
    RESULT_COLUMNS,
    Attempt,
    FileRow,
    JobHistory,
    Result,
    job_row,
    result_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from batchgen.state.conditions import Condition
    from batchgen.state.planned import Outlook
    from batchgen.state.selection import Selection


PAGE = 500
"""Jobs that are read at once, so that a million need no more memory than these."""

MOST_COMPARED = 10_000
"""Ids that a misspelt one is compared with."""


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job of today's manifest, or one that the state remembers.

    `body` is the input as JSON text. `to_do`: a run would submit it, `waiting`: once the jobs that
    it needs are done. `changed`: it may have been paid, and had another input then. `listed`: it is
    in the manifest, at `file` and `line`, where those are known. `seq` is its number in the state;
    None where that does not know it.
    """

    id: str
    model: str
    body: str
    tags: tuple[str, ...]
    needs: tuple[str, ...]
    file: str
    line: int
    state: JobState
    changed: bool
    to_do: bool
    waiting: bool
    listed: bool
    seq: int | None


_NEEDED = "(SELECT json_group_array(needed.id) FROM need JOIN job AS needed ON needed.seq = needs"
_OF_STATE = (
    "SELECT job.id, job.model, job.body, job.tags,"
    f" {_NEEDED} WHERE need.job = job.seq), '', 0, job.state, 0,"
    " job.listed AND job.state = 'pending', job.waiting > 0, job.listed, job.seq"
)


def foreseen_jobs(outlook: Outlook, *, only_due: bool = False) -> Generator[ListedJob]:
    """The selected jobs of today's manifest in its order; `only_due`: those to be submitted."""
    yield from _all_listed(
        outlook.db,
        "SELECT today.id, today.model, today.body, today.tags,"
        " (SELECT json_group_array(needs) FROM incoming.need AS need WHERE need.job = today.seq),"
        " today.file, today.line,"
        " iif(planned.own IN ('pending', 'blocked'), planned.state, planned.own),"
        " planned.changed, planned.due, planned.waiting, 1, coalesce(planned.seq, diff.moved)"
        " FROM temp.planned JOIN incoming.job AS today ON today.seq = planned.today"
        " JOIN temp.difference AS diff ON diff.today = planned.today"
        f" WHERE planned.selected AND {'planned.due' if only_due else '1'} ORDER BY planned.today",
        (),
    )


def gone_jobs(outlook: Outlook) -> Generator[ListedJob]:
    """The selected jobs that the state remembers and the manifest has no longer."""
    condition, values = outlook.selection.where("main.job")
    yield from _all_listed(
        outlook.db,
        f"{_OF_STATE.replace('job.listed', '0')} FROM temp.gone JOIN main.job AS job USING (seq)"
        f" WHERE {condition} ORDER BY job.seq",
        values,
    )


def remembered_jobs(db: sqlite3.Connection, condition: Condition) -> Generator[ListedJob]:
    """Jobs of a state that was made from just the manifest of today."""
    words, values = condition
    yield from _all_listed(db, f"{_OF_STATE} FROM job WHERE {words} ORDER BY job.seq", values)


def paths_to_send(outlook: Outlook, reused: Iterable[str]) -> Iterator[str]:
    """The user's own files in the inputs to be submitted: a path of each distinct content.

    `reused` are the inputs of jobs that take a result of another run instead.
    """
    db, left_out = outlook.db, Counter(reused)
    db.execute("CREATE TEMP TABLE own_file (sha256 TEXT PRIMARY KEY, path TEXT) WITHOUT ROWID")
    rows = db.execute(
        "SELECT job.body FROM temp.planned JOIN incoming.job AS job ON job.seq = planned.today"
        f" WHERE planned.due AND instr(job.body, '//{HOST}/')"
    )
    for (body,) in rows:
        if left_out[body]:
            left_out[body] -= 1
            continue
        files = [(file.sha256, file.path) for file in files_in(body)]
        db.executemany("INSERT OR IGNORE INTO temp.own_file VALUES (?, ?)", files)
    return (path for (path,) in db.execute("SELECT path FROM temp.own_file"))


def any_selected(db: sqlite3.Connection, selection: Selection, tables: Sequence[str]) -> bool:
    """Whether one of these tables of jobs has a job that is selected."""
    condition, values = selection.where(tables[0])
    queries = (f"SELECT 1 FROM {table} AS job WHERE {condition} LIMIT 1" for table in tables)
    return any(db.execute(query, values).fetchone() for query in queries)


def some_ids(db: sqlite3.Connection, table: str) -> list[str]:
    """Ids among which a misspelt one is looked for."""
    rows = db.execute(f"SELECT id FROM {table} LIMIT {MOST_COMPARED}")
    return [job_id for (job_id,) in rows]


def _all_listed(
    db: sqlite3.Connection, query: str, values: tuple[str | int, ...]
) -> Generator[ListedJob]:
    # Closed with the generator: while a cursor has rows to give, no table can be dropped.
    with closing(db.execute(query, values)) as rows:
        for row in rows:
            yield _listed(row)


def _listed(row: tuple[Any, ...]) -> ListedJob:
    job_id, model, body, tags, needs, file, line, state, *said, seq = row
    lists = (tuple(json.loads(tags)), tuple(json.loads(needs)))
    changed, to_do, waiting, listed = map(bool, said)
    values = (job_id, model, body, *lists, file, line, JobState(state))
    return ListedJob(*values, changed, to_do, waiting, listed, seq)


def job_histories(db: sqlite3.Connection, condition: Condition) -> Generator[JobHistory]:
    """Jobs of the state with their attempts and files, in the manifest's order, as a stream."""
    words, values = condition
    after = -1
    while rows := db.execute(
        f"SELECT {JOB_COLUMNS} FROM job WHERE seq > ? AND {words} ORDER BY seq LIMIT {PAGE}",
        (after, *values),
    ).fetchall():
        jobs = [*map(job_row, rows)]
        after = jobs[-1].seq
        attempts = _attempts(db, [job.seq for job in jobs])
        for job in jobs:
            yield JobHistory(job, tuple(attempts.get(job.seq, ())))


def _attempts(db: sqlite3.Connection, seqs: list[int]) -> dict[int, list[Attempt]]:
    wanted = json.dumps(seqs)
    files: dict[tuple[int, int], list[FileRow]] = {}
    for file in starmap(
        FileRow,
        db.execute(
            f"SELECT {FILE_COLUMNS} FROM json_each(?) AS wanted"
            " CROSS JOIN file ON file.job = wanted.value"
            " ORDER BY file.job, file.attempt, file.position",
            (wanted,),
        ),
    ):
        files.setdefault((file.job, file.attempt), []).append(file)
    attempts: dict[int, list[Attempt]] = {}
    for job, number, *columns in db.execute(
        f"SELECT {ATTEMPT_COLUMNS} FROM json_each(?) AS wanted"
        " CROSS JOIN attempt ON attempt.job = wanted.value"
        " CROSS JOIN job ON job.seq = attempt.job ORDER BY attempt.job, attempt.number",
        (wanted,),
    ):
        values = (job, number, *columns, tuple(files.get((job, number), ())))
        attempts.setdefault(job, []).append(Attempt(*values))
    return attempts


class Picked(StrEnum):
    """Which files, by a person's pick."""

    KEPT = "kept"
    NOT_REJECTED = "not rejected"
    ALL = "all"


_PICKED = {
    Picked.KEPT: "file.pick = 'keep'",
    Picked.NOT_REJECTED: "file.pick IS NOT 'reject'",
    Picked.ALL: "1",
}


# CROSS JOIN keeps to the order in which it is written: the jobs' own, so nothing is sorted.
_TABLES = (
    "job CROSS JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts"
    " CROSS JOIN file ON file.job = job.seq AND file.attempt = job.attempts"
)
_VERIFIED = "job.listed = 1 AND file.verified_at IS NOT NULL"
_IN_ORDER = "ORDER BY job.seq, file.position"


def results(db: sqlite3.Connection, selection: Selection, picked: Picked) -> Iterator[Result]:
    """Results of the selected jobs in the manifest's order, as a stream.

    Of done jobs only, unless the selection says itself which states it wants.
    """
    condition, values = selection.where()
    finished = "1" if selection.states else "job.state = 'done'"
    rows = db.execute(
        f"SELECT {RESULT_COLUMNS} FROM {_TABLES}"
        f" WHERE {_VERIFIED} AND {finished} AND {_PICKED[picked]} AND {condition} {_IN_ORDER}",
        values,
    )
    return map(result_of, rows)


def count_rejected(db: sqlite3.Connection, selection: Selection) -> int:
    """Files of the selected jobs that NOT_REJECTED leaves out."""
    condition, values = selection.where()
    (count,) = db.execute(
        "SELECT count(*) FROM file INDEXED BY file_by_pick"
        " CROSS JOIN job ON job.seq = file.job AND job.attempts = file.attempt"
        f" WHERE file.pick = 'reject' AND job.listed = 1 AND {condition}",
        values,
    ).fetchone()
    return int(count)


def all_results(db: sqlite3.Connection, selection: Selection) -> Iterator[tuple[Result, bool]]:
    """Every result of done jobs, and whether its job is selected: any two may be alike."""
    condition, values = selection.where()
    rows = db.execute(
        f"SELECT {RESULT_COLUMNS}, ({condition}) FROM {_TABLES}"
        f" WHERE {_VERIFIED} AND job.state = 'done' {_IN_ORDER}",
        values,
    )
    return ((result_of(columns), bool(is_selected)) for *columns, is_selected in rows)
