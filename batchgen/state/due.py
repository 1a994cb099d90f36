"""Which jobs may be submitted, in which order, and which files of other jobs they need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from batchgen.jobs import JobState
from batchgen.state.conditions import DUE, UNDER_WAY, billed
from batchgen.state.records import JOB_COLUMNS, RESULT_COLUMNS, JobRow, Result, job_row, result_of
from batchgen.state.selection import Selection

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Container, Iterator


DueKey: TypeAlias = tuple[int, bool, int]
"""Where a page ended: `JobRow.due_key` of its last job."""

_COLUMNS = f"SELECT {JOB_COLUMNS} FROM job"
_IN_ORDER = "ORDER BY priority DESC, needed DESC, seq LIMIT ?"
_AFTER = (
    "priority = ? AND needed = ? AND seq > ?",
    "priority = ? AND needed < ?",
    "priority < ?",
)
"""The rest after a key, in pieces: one condition with OR would read the index from its start."""
_OPEN_SWEEP = "sweep NOT IN (SELECT value FROM json_each(?))"


def due_page(
    db: sqlite3.Connection,
    model: str,
    selection: Selection,
    after: DueKey | None,
    limit: int,
    closed: frozenset[str] = frozenset(),
) -> list[JobRow]:
    """The next due jobs of a model: the highest priority first, then in the manifest's order.

    Among equals those go first that other jobs need: while these wait, the model that makes them
    stands idle. Jobs of the `closed` sweeps are left out.
    """
    condition, values = selection.where()
    rest = (model, *values, json.dumps(sorted(closed)))

    def page(where: str, key: tuple[int, ...], count: int) -> list[JobRow]:
        rows = db.execute(
            f"{_COLUMNS} WHERE {DUE} AND model = ? AND {condition} AND {_OPEN_SWEEP} AND {where}"
            f" {_IN_ORDER}",
            (*rest, *key, count),
        )
        return [*map(job_row, rows)]

    if after is None:
        return page("1", (), limit)
    found: list[JobRow] = []
    for where in _AFTER:
        if len(found) < limit:
            found += page(where, after[: where.count("?")], limit - len(found))
    return found


def first_due(
    db: sqlite3.Connection, model: str, sweep: str, selection: Selection, count: int
) -> list[JobRow]:
    """The first due jobs of one sweep, in the order in which they are submitted."""
    condition, values = selection.where()
    rows = db.execute(
        f"{_COLUMNS} WHERE {DUE} AND model = ? AND sweep = ? AND {condition} {_IN_ORDER}",
        (model, sweep, *values, count),
    )
    return [*map(job_row, rows)]


def pending_job(db: sqlite3.Connection, seq: int) -> JobRow | None:
    """One job if it is due; otherwise None."""
    row = db.execute(f"{_COLUMNS} WHERE seq = ? AND {DUE}", (seq,)).fetchone()
    return job_row(row) if row else None


def needed_files(db: sqlite3.Connection, seq: int) -> tuple[Result, ...]:
    """Every verified file of the latest attempts of the jobs that this one needs."""
    rows = db.execute(
        f"SELECT {RESULT_COLUMNS} FROM need JOIN job ON job.seq = need.needs"
        " JOIN attempt ON attempt.job = job.seq AND attempt.number = job.attempts"
        " JOIN file ON file.job = attempt.job AND file.attempt = attempt.number"
        " WHERE need.job = ? AND file.verified_at IS NOT NULL"
        " ORDER BY job.seq, file.position",
        (seq,),
    )
    return tuple(map(result_of, rows))


def pending_models(
    db: sqlite3.Connection, selection: Selection | None = None, known: Container[str] = ()
) -> list[str]:
    """Models with selected pending jobs, due or waiting, in the manifest's order.

    Without those that are `known`: to order the others, all of their pending jobs are read.
    """
    condition, values = (selection or Selection()).where()
    firsts: dict[str, int] = {}
    found = models_in(db, JobState.PENDING, listed=True)
    for model in (model for model in found if model not in known):
        (first,) = db.execute(
            "SELECT min(seq) FROM job INDEXED BY job_by_state"
            f" WHERE state = 'pending' AND listed = 1 AND model = ? AND {condition}",
            (model, *values),
        ).fetchone()
        if first is not None:
            firsts[model] = first
    return sorted(firsts, key=firsts.__getitem__)


def pending_work(
    db: sqlite3.Connection, model: str, selection: Selection, *, by_amount: bool
) -> list[tuple[str, int]]:
    """`(an input, jobs)`: the selected pending jobs of a model, due or waiting.

    `by_amount`: a row for each length and number of files, which a price may depend on; otherwise
    one row, with an empty input.
    """
    condition, values = selection.where()
    body, group = "'{}'", ""
    if by_amount:
        body, group = "min(body)", f" GROUP BY {billed('body')}"
    return db.execute(
        f"SELECT {body}, count(*) FROM job INDEXED BY job_by_state"
        f" WHERE state = 'pending' AND listed = 1 AND model = ? AND {condition}{group}",
        (model, *values),
    ).fetchall()


def pending_bodies(
    db: sqlite3.Connection, model: str, selection: Selection
) -> Iterator[tuple[str, str]]:
    """`(id, input)` of the selected pending jobs of a model, due or waiting."""
    condition, values = selection.where()
    return db.execute(
        "SELECT id, body FROM job WHERE state = 'pending' AND listed = 1 AND model = ?"
        f" AND {condition} ORDER BY seq",
        (model, *values),
    )


def pending_urls(
    db: sqlite3.Connection, model: str, key: str, selection: Selection, most_jobs: int
) -> Iterator[tuple[str, str]]:
    """`(id, URL)`: the URL or URLs under a key in the inputs of a model's first pending jobs."""
    condition, values = selection.where()
    # Limited before the bodies are parsed; json_each treats a single URL as a list of one.
    return db.execute(
        "SELECT one.id, url.value FROM (SELECT seq, id, body FROM job"
        f" WHERE state = 'pending' AND model = ? AND listed = 1 AND {condition}"
        " ORDER BY seq LIMIT ?) AS one, json_each(one.body, ?) AS url"
        " WHERE url.type = 'text' ORDER BY one.seq, url.key",
        (model, *values, most_jobs, f'$."{key}"'),
    )


def visible_models(db: sqlite3.Connection) -> list[str]:
    """Every model that a run may submit to, now or after a retry or a person's decision."""
    found = {model for state in JobState for model in models_in(db, state, listed=True)}
    found.update(model for state in UNDER_WAY for model in models_in(db, state, listed=False))
    return sorted(found)


def unproven_sweeps(db: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """`(model, sweep)` of listed jobs where some are pending and none is done yet."""
    pending, done = (
        {
            (model, sweep)
            for model in models_in(db, state, listed=True)
            for sweep in _steps(
                db,
                "sweep",
                "state = ? AND listed = 1 AND model = ?",
                (state.value, model),
            )
        }
        for state in (JobState.PENDING, JobState.DONE)
    )
    return frozenset(pending - done)


def models_in(db: sqlite3.Connection, state: JobState, *, listed: bool) -> Iterator[str]:
    """The models that have jobs in a state."""
    return _steps(db, "model", "state = ? AND listed = ?", (state.value, listed))


def _steps(
    db: sqlite3.Connection, column: str, where: str, values: tuple[str | int, ...]
) -> Iterator[str]:
    """The distinct texts of a column, one lookup each: DISTINCT would read a million equal rows."""
    query = f"SELECT min({column}) FROM job INDEXED BY job_by_state WHERE {where} AND {column}"
    (found,) = db.execute(f"{query} >= ''", values).fetchone()
    while found is not None:
        yield found
        (found,) = db.execute(f"{query} > ?", (*values, found)).fetchone()


def under_way(db: sqlite3.Connection) -> list[tuple[int, str, str]]:
    """`(seq, model, sweep)` of jobs that an earlier run left with the vendor or to download."""
    return db.execute(
        "SELECT seq, model, sweep FROM job WHERE listed = 1"
        " AND state IN ('queued', 'running', 'fetching') ORDER BY seq"
    ).fetchall()


def blocked_jobs(db: sqlite3.Connection) -> dict[str, int]:
    """Blocked jobs of the manifest by model; the index alone is read."""
    return dict(
        db.execute(
            "SELECT model, count(*) FROM job WHERE state = 'blocked' AND listed = 1 GROUP BY model"
        )
    )
