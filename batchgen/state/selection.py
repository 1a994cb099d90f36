"""Which jobs a command is about, as a condition in SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from batchgen.errors import UsageError
from batchgen.jobs import JobState
from batchgen.state.causes import of_cause
from batchgen.state.conditions import Judgement

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from batchgen.state.conditions import Condition


NEGATIVE = "!"
_MEANING = re.compile(r"^!|[*?[]")
"""What says more than itself at its place in an id."""

NOTED = "temp.noted"

JUDGED = tuple(judgement.value for judgement in Judgement)
NAMES = (*(state.value for state in JobState), *JUDGED)
"""What --state takes: the states of a job, and what you decided about its results."""

_TAG = "EXISTS (SELECT 1 FROM json_each(job.tags) WHERE value = ? OR value GLOB ?)"


@dataclass(frozen=True, slots=True)
class Selection:
    """Globs on ids, models (or their short words), tags and states, keys of causes; empty: all.

    A state may also be one of JUDGED, by its whole name: a glob means states alone.

    A name that begins with `!` is negative; where all names are, they leave out of everything. An
    exact name wins over its reading as a glob. `noted`: of those that `note_down` or `note_first`
    wrote down.
    """

    jobs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    noted: bool = False

    def __post_init__(self) -> None:
        names = (self.jobs, self.models, self.tags, self.states, self.causes)
        # A string is a sequence of letters, and the letter * names everything.
        if any(isinstance(one, str) for one in names):
            raise UsageError("a selection takes a tuple of names: write ('girl*',), not 'girl*'")
        if any(name == NEGATIVE for one in names for name in one):
            raise UsageError(
                "! alone excludes nothing", next_step="write what to leave out: '!draft-*'"
            )

    @property
    def is_fleeting(self) -> bool:
        """Whether it is about what a run changes."""
        return bool(self.states or self.causes)

    @property
    def only_leaves_out(self) -> bool:
        """Whether it names nothing that is meant, only what is not."""
        kinds = (self.jobs, self.models, self.tags, self.states, self.causes)
        return all(name.startswith(NEGATIVE) for names in kinds for name in names)

    @property
    def asks_for_rejected(self) -> bool:
        """Whether rejected results are named outright."""
        return Judgement.REJECTED in self.states

    def where(self, names: str = "job") -> Condition:
        """A condition on the table, or alias, `job`. `names`: the table of all ids.

        The connection needs the functions of database.add_functions.
        """
        parts = [
            _chosen(self.jobs, lambda name: _id(name, names)),
            _chosen(self.models, _model),
            _chosen(self.tags, lambda name: (_TAG, (name, name))),
            _chosen(self.states, _state),
            _chosen(self.causes, of_cause),
        ]
        if self.noted:
            parts.append((f"job.seq IN (SELECT seq FROM {NOTED})", ()))
        conditions = " AND ".join(condition for condition, _ in parts)
        return conditions, tuple(value for _, values in parts for value in values)


def note_attempted(db: sqlite3.Connection, selection: Selection) -> None:
    """Before a merge, which may change states and causes: `note_down` then adds to these.

    Of jobs that were never attempted a merge may give the number to another one.
    """
    if selection.is_fleeting:
        _note(db, *attempted(selection))


def attempted(selection: Selection) -> Condition:
    """A query for the selected jobs of the state that were attempted."""
    condition, values = selection.where()
    return f"SELECT seq FROM main.job WHERE attempts > 0 AND {condition}", values


def note_down(db: sqlite3.Connection, selection: Selection) -> Selection:
    """Hold on to jobs that are selected by states or causes which a run is about to change."""
    if not selection.is_fleeting:
        return selection
    condition, values = selection.where()
    query = f"SELECT seq FROM main.job WHERE {condition}"
    if db.execute("SELECT 1 FROM temp.sqlite_schema WHERE name = 'noted'").fetchone():
        query += f" UNION SELECT seq FROM {NOTED}"
    return _note(db, query, values)


def note_first(
    db: sqlite3.Connection, selection: Selection, count: int, again: str | None = None
) -> Selection:
    """Hold on to so many pending jobs: by priority, then in the manifest's order, due ones first.

    What others need has no precedence here: you asked for the first jobs of your manifest.

    `again`: a condition for jobs that are about to be pending.
    """
    condition, values = selection.where()
    pending = "INDEXED BY job_by_state WHERE state = 'pending'"
    if again is not None:
        pending = f"WHERE (state = 'pending' OR {again})"
    return _note(
        db,
        f"SELECT seq FROM main.job {pending} AND listed = 1"
        f" AND {condition} ORDER BY waiting > 0, priority DESC, seq LIMIT ?",
        (*values, count),
    )


def _note(db: sqlite3.Connection, query: str, values: tuple[str | int, ...]) -> Selection:
    # Found first: the query may ask about those that were noted before.
    db.execute("CREATE TEMP TABLE found (seq INTEGER PRIMARY KEY)")
    db.execute(f"INSERT INTO temp.found {query}", values)
    db.execute(f"DROP TABLE IF EXISTS {NOTED}")
    db.execute("ALTER TABLE temp.found RENAME TO noted")
    return Selection(noted=True)


def _chosen(names: tuple[str, ...], one: Callable[[str], Condition]) -> Condition:
    positive = _any_of([one(name) for name in names if not name.startswith(NEGATIVE)])
    negative = _any_of([one(name[1:]) for name in names if name.startswith(NEGATIVE)])
    conditions = [] if positive is None else [positive[0]]
    conditions += [] if negative is None else [f"NOT {negative[0]}"]
    values = (*(positive[1] if positive else ()), *(negative[1] if negative else ()))
    return " AND ".join(conditions) or "1", values


def _any_of(parts: list[Condition]) -> Condition | None:
    if not parts:
        return None
    condition = "(" + " OR ".join(condition for condition, _ in parts) + ")"
    return condition, tuple(value for _, values in parts for value in values)


def _id(name: str, names: str) -> Condition:
    if not _is_glob(name):
        return "job.id = ?", (name,)
    # The id `img[1]` is a glob too, but one that names another job.
    return (
        f"CASE WHEN EXISTS (SELECT 1 FROM {names} AS one WHERE one.id = ?)"
        " THEN job.id = ? ELSE job.id GLOB ? END"
    ), (name, name, name)


def _model(name: str) -> Condition:
    """No model's id is a glob, so no exact one has to win."""
    if not _is_glob(name):
        return "(job.model = ? OR model_alias(job.model) = ?)", (name, name)
    return "(job.model GLOB ? OR model_alias(job.model) GLOB ?)", (name, name)


def _state(name: str) -> Condition:
    if name in JUDGED:
        return "job.id IN (SELECT id FROM judged WHERE judgement = ?)", (name,)
    found = tuple(state.value for state in JobState if fnmatchcase(state.value, name))
    return f"job.state IN ({', '.join('?' * len(found))})", found


def _is_glob(name: str) -> bool:
    return any(character in name for character in "*?[")


def exactly(job_id: str) -> str:
    """Write an id so that a command line takes it for itself.

    One that begins with `!` would mean every other job. No manifest may give one today, but an
    older state can have it. Of all others the exact name wins anyway.
    """
    return _MEANING.sub(r"[\g<0>]", job_id) if job_id.startswith(NEGATIVE) else job_id


def names_only(db: sqlite3.Connection, names: Sequence[str]) -> tuple[str, ...]:
    """Names of what is meant, where a `!` is no way to leave out. Raises UsageError.

    Who takes `'!neg'` for the job of that name, or for its rest, would decide about all others.
    """
    return tuple(map(partial(_name_only, db), names))


def _name_only(db: sqlite3.Connection, name: str) -> str:
    if not name.startswith(NEGATIVE):
        return name
    if db.execute("SELECT 1 FROM job WHERE id = ?", (name,)).fetchone():
        return exactly(name)
    raise UsageError(
        f"no job is called '{name}', and in a JOB, ! excludes nothing",
        next_step=f"to leave jobs out, name the others, or add --job '{name}'",
    )
