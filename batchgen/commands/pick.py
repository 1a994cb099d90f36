"""`batchgen pick`: a person's word about results, kept or rejected."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from batchgen.commands.console import command_for, plural, say
from batchgen.errors import ExitCode, UsageError
from batchgen.jobs import JobState
from batchgen.models.nearest import nearest
from batchgen.runs.deciding import deciding
from batchgen.runs.decisions import PICKS, Decision, Verb
from batchgen.runs.folder import RunFolder
from batchgen.runs.prepare import read_header
from batchgen.runs.provider import is_rehearsal
from batchgen.state.database import open_for_reading, translated
from batchgen.state.marks import results_to_pick
from batchgen.state.queries import Selection, select_any, select_jobs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from batchgen.runs.decisions import Applied

DONE_TO = {Verb.KEEP: "kept", Verb.REJECT: "rejected", Verb.UNPICK: "not picked any more"}


def pick_asked(
    path: Path,
    selection: Selection,
    position: int | None,
    *,
    keep: bool,
    reject: bool,
    unpick: bool,
) -> int:
    """Do what the options ask for. Raises UsageError where they ask for nothing, or for two."""
    asked = {Verb.KEEP: keep, Verb.REJECT: reject, Verb.UNPICK: unpick}
    chosen = [verb for verb, is_asked in asked.items() if is_asked]
    if len(chosen) != 1:
        raise UsageError("say what to do with them: --keep, --reject or --unpick, one of the three")
    if selection == Selection():
        raise UsageError(
            "name the jobs: ids, globs, or --model, --tag, --state", next_step="'*' means all"
        )
    return pick(path, selection, chosen[0], position)


def pick(path: Path, selection: Selection, verb: Verb, position: int | None = None) -> int:
    """Judge the selected results, or of each the file at `position`, from 1.

    Raises UsageError where nothing that is selected has a result, MissingFileError.
    """
    folder = RunFolder(read_header(path).output.dir)
    with closing(open_for_reading(folder.state)) as db, translated(folder.state):
        found = results_to_pick(db, selection, position)
        if not found:
            raise _nothing(db, selection, position)
        rehearsal = is_rehearsal(db)
    at = time.time()
    words = [
        Decision(verb, job_id, at, attempt=attempt, position=position) for job_id, attempt in found
    ]
    with deciding(folder, words) as decided:
        if decided is None:
            say(f"{plural(len(words), 'pick')} handed to the runner at work")
            return ExitCode.DONE
        return _report(decided.applied, verb, path, rehearsal=rehearsal)


def _nothing(db: sqlite3.Connection, selection: Selection, position: int | None) -> UsageError:
    if select_any(db, selection):
        file = "" if position is None else f" number {position}"
        return UsageError(
            f"no job that is selected has a result{file} to pick",
            next_step="batchgen status MANIFEST shows what is done",
        )
    known = [job_id for _, job_id, _ in select_jobs(db, Selection(), tuple(JobState))]
    near = next((found for name in selection.jobs if (found := nearest(name, known))), None)
    return UsageError("no job is selected", next_step=near and f"did you mean '{near}'?")


def _report(applied: Sequence[Applied], verb: Verb, path: Path, *, rehearsal: bool) -> int:
    """Only of the picks: older decisions of other kinds may be taken up in the same breath."""
    ours = [one for one in applied if one.decision.verb in PICKS]
    objections = [one for one in ours if one.objection]
    for one in objections:
        say(f"{one.decision.job_id}: {one.objection}")
    if len(ours) > len(objections):
        say(f"{plural(len(ours) - len(objections), 'result')} {DONE_TO[verb]}")
    if verb is Verb.REJECT:
        again = command_for("retry", path, emulator=rehearsal)
        say(f"  → make them again, which may cost: {again} --state rejected")
    return ExitCode.USAGE if objections else ExitCode.DONE
