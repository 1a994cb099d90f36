"""The jobs of a huge first manifest, added in pages while its first jobs are already under way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from batchgen.fs import name_key, safe_name
from batchgen.state.file_names import unique_name
from batchgen.state.records import Origin
from batchgen.state.staged_checks import NeededModel
from batchgen.state.staging import STAGED_COLUMNS, staged_values

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from batchgen.jobs import Job


@dataclass(frozen=True, slots=True)
class Unfit:
    """A job that was not added: its id is taken, or it needs a job that is `missing`.

    Or the model of a needed job, `unlike`, does not make what the job uses.
    """

    job: Job
    missing: str | None = None
    unlike: NeededModel | None = None


Objects: TypeAlias = Callable[[NeededModel], object]
"""Returns something true if the needed job's model does not make what the need asks for."""

_Known: TypeAlias = "Mapping[str, tuple[int, str]]"
"""The number and the model of a job, by its id."""

_INSERT = (
    f"INSERT INTO job (seq, {', '.join(STAGED_COLUMNS)})"
    f" VALUES (?, {', '.join('?' * len(STAGED_COLUMNS))})"
)


def append_jobs(
    db: sqlite3.Connection, jobs: Sequence[Job], objects: Objects | None = None
) -> list[Unfit]:
    """Add new jobs after those of the state, and return those that do not fit.

    The jobs that they need must be in the state, or come before them in `jobs`. What the state
    knows is asked once for all of them: asking for each job takes several times as long.
    """
    (seq,) = db.execute("SELECT coalesce(max(seq), 0) FROM job").fetchone()
    known = _known(db, {one for job in jobs for one in (job.id, *job.needs)})
    names = _FreeNames(db, jobs)
    unfit: list[Unfit] = []
    rows: list[tuple[object, ...]] = []
    needs: list[tuple[int, int]] = []
    for job in jobs:
        if (objection := _objection(job, known, objects)) is not None:
            unfit.append(objection)
            continue
        seq += 1
        rows.append((seq, *staged_values(job, *names.take(job))))
        needs += [(seq, known[need][0]) for need in job.needs]
        known[job.id] = seq, job.model
    db.executemany(_INSERT, rows)
    db.executemany("INSERT INTO need (job, needs) VALUES (?, ?)", needs)
    return unfit


def _known(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, tuple[int, str]]:
    rows = db.execute(
        "SELECT job.id, job.seq, job.model FROM json_each(?) AS one"
        " CROSS JOIN job ON job.id = one.value",
        (json.dumps([*ids]),),
    )
    return {job_id: (seq, model) for job_id, seq, model in rows}


def _objection(job: Job, known: _Known, objects: Objects | None) -> Unfit | None:
    if job.id in known:
        return Unfit(job)
    for need in job.needs:
        if need not in known:
            return Unfit(job, missing=need)
        _, model = known[need]
        one = NeededModel(job.id, job.body, Origin(job.file, job.line), need, model)
        if objects is not None and objects(one):
            return Unfit(job, unlike=one)
    return None


class _FreeNames:
    """Gives each job a name that no file has on any disk."""

    def __init__(self, db: sqlite3.Connection, jobs: Iterable[Job]) -> None:
        self._db = db
        self._given: set[str] = set()
        self._asked = {name_key(safe_name(job.name)) for job in jobs}
        self._taken = self._taken_of(self._asked)

    def take(self, job: Job) -> tuple[str, str]:
        """The name and its key."""
        name = safe_name(job.name)
        while self._is_taken(key := name_key(name)):
            name = unique_name(name, job.id)
        self._given.add(key)
        return name, key

    def _is_taken(self, key: str) -> bool:
        if key in self._given or key in self._taken:
            return True
        return key not in self._asked and bool(self._taken_of([key]))

    def _taken_of(self, keys: Iterable[str]) -> set[str]:
        rows = self._db.execute(
            "SELECT value FROM json_each(?)"
            " WHERE EXISTS (SELECT 1 FROM job WHERE job.name_key = value)"
            " OR EXISTS (SELECT 1 FROM file WHERE file.name_key = value)",
            (json.dumps([*keys]),),
        )
        return {key for (key,) in rows}
