"""`batchgen pick`: a person's word about results, kept or rejected."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.commands.console import plural, print_json, say
from batchgen.errors import ExitCode, UsageError
from batchgen.jobs import JobState
from batchgen.runs.context import open_run
from batchgen.runs.decision_log import MOST_FILES, Decision, Verb
from batchgen.runs.decisions import decide
from batchgen.state.queries import Selection, select_any, select_jobs
from batchgen.state.reviews import results_to_pick
from batchgen.state.selection import names_only
from batchgen.text import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from batchgen.jobs import JsonObject
    from batchgen.runs.decisions import Decided
    from batchgen.state.database import Connection

DONE_TO = {Verb.KEEP: "kept", Verb.REJECT: "rejected", Verb.UNPICK: "not picked any more"}


def pick_asked(
    path: Path,
    names: Sequence[str],
    selection: Selection,
    position: int | None,
    *,
    keep: bool,
    reject: bool,
    unpick: bool,
    as_json: bool = False,
) -> int:
    """Do what the options ask for. Raises UsageError where they ask for nothing, or for two."""
    asked = {Verb.KEEP: keep, Verb.REJECT: reject, Verb.UNPICK: unpick}
    chosen = [verb for verb, is_asked in asked.items() if is_asked]
    if len(chosen) != 1:
        raise UsageError("say what to do with them: --keep, --reject or --unpick, one of the three")
    if position is not None and position > MOST_FILES:
        raise UsageError(f"no result has more than {MOST_FILES} files", where="--file")
    if not names and selection == Selection():
        raise UsageError(
            "name the jobs: ids, globs, or --model, --tag, --state", next_step="'*' means all"
        )
    return pick(path, selection, chosen[0], position, names=names, as_json=as_json)


def pick(
    path: Path,
    selection: Selection,
    verb: Verb,
    position: int | None = None,
    *,
    names: Sequence[str] = (),
    as_json: bool = False,
) -> int:
    """Judge the selected results, or of each the file at `position`, from 1.

    `names` are ids and globs besides those of the selection, all of them positive. Raises
    UsageError where nothing that is selected has a result, MissingFileError.
    """
    with open_run(path) as run:
        db = run.db
        selection = replace(selection, jobs=(*names_only(db, names), *selection.jobs))
        found = results_to_pick(db, selection, position)
        if not found:
            raise _nothing(db, selection, position)
        again = run.command("retry")
    at = time.time()
    words = [
        Decision(verb, job_id, at, attempt=attempt, position=position) for job_id, attempt in found
    ]
    with decide(run.folder, words) as decided:
        outcome = _outcome(verb, len(words), decided)
    if as_json:
        print_json(_to_json(outcome))
    else:
        say("\n".join(_lines(outcome, again)))
    return ExitCode.USAGE if outcome.objections else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How many jobs were picked, and how many words a runner at work was told instead.

    `objections` are (job's id, why not).
    """

    verb: Verb
    picked: int
    handed: int
    objections: tuple[tuple[str, str], ...]


def _outcome(verb: Verb, count: int, decided: Decided | None) -> _Outcome:
    if decided is None:
        return _Outcome(verb, 0, count, ())
    found = decided.applied
    objections = tuple((one.decision.job_id, one.objection) for one in found if one.objection)
    return _Outcome(verb, len(found) - len(objections), 0, objections)


def _nothing(db: Connection, selection: Selection, position: int | None) -> UsageError:
    if select_any(db, selection):
        file = "" if position is None else f" number {position}"
        return UsageError(
            f"no job that is selected has a result{file} to pick",
            next_step="batchgen status MANIFEST shows what is done",
        )
    known = [job_id for _, job_id, _ in select_jobs(db, Selection(), tuple(JobState))]
    near = next((found for name in selection.jobs if (found := nearest(name, known))), None)
    return UsageError("no job is selected", next_step=near and f"did you mean '{near}'?")


def _lines(outcome: _Outcome, again: str) -> Iterator[str]:
    """`again`: the command that makes them anew."""
    if outcome.handed:
        yield f"{plural(outcome.handed, 'pick')} handed to the runner at work"
        return
    for job_id, why in outcome.objections:
        yield f"{job_id}: {why}"
    if outcome.picked:
        yield f"{plural(outcome.picked, 'result')} {DONE_TO[outcome.verb]}"
    if outcome.picked and outcome.verb is Verb.REJECT:
        yield f"  → make them again, which may cost: {again} --state rejected"


def _to_json(outcome: _Outcome) -> JsonObject:
    return {
        "verb": outcome.verb.value,
        "picked": outcome.picked,
        "handed": outcome.handed,
        "objections": [{"id": job_id, "why": why} for job_id, why in outcome.objections],
    }
