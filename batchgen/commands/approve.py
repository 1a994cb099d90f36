"""`batchgen approve`: a person has looked at results, and lets the jobs go on that need them."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from batchgen.commands.console import plural, say
from batchgen.errors import ExitCode, UsageError
from batchgen.runs.context import open_run
from batchgen.runs.decision_log import Decision, Verb
from batchgen.runs.decisions import decide
from batchgen.state.manual_actions import approved_ids, awaiting, released_by, why_not
from batchgen.text import command_line, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from batchgen.runs.decision_log import Applied
    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection
    from batchgen.state.manual_actions import Awaiting

SHOWN = 10
NOTHING_WAITS = "no job waits for approval"


def approve(path: Path, named: Sequence[str], *, every: bool) -> int:
    """Approve the jobs that `named`, ids and globs, mean, or all; without either, list them.

    A result that was rejected is approved only by its exact id. Raises UsageError for a name that
    no waiting job has, MissingFileError.
    """
    if named and every:
        raise UsageError("name the jobs, or give --all for every one that waits")
    with open_run(path) as run:
        db, folder = run.db, run.folder
        run_again = run.command("run")
        if not named and not every:
            _list(db, folder, path)
            return ExitCode.DONE
        waiting = {one.id: one for one in awaiting(db)}
        meant = _chosen(db, waiting, named)
        chosen = [one for one in meant if not one.rejected or one.id in named]
        left_out = len(meant) - len(chosen)
        if not chosen:
            raise _all_rejected(left_out)
        released = released_by(db, [one.seq for one in chosen])
    at = time.time()
    decisions = [Decision(Verb.APPROVE, one.id, at, attempt=one.attempts) for one in chosen]
    with decide(folder, decisions) as decided:
        if decided is None:
            say(f"{plural(len(chosen), 'approval')} handed to the runner at work: {_on(released)}")
            _say_rejected(chosen, left_out)
            return ExitCode.DONE
        applied = decided.applied
    code = _report(applied, len(waiting), released, run_again)
    _say_rejected(chosen, left_out)
    return code


def _list(db: Connection, folder: RunFolder, path: Path) -> None:
    waiting = list(awaiting(db))
    for one in waiting:
        say(f"{one.id}{' · rejected' * one.rejected}")
        for file in one.files:
            say(f"    {folder.root / file}")
    if not waiting:
        say(NOTHING_WAITS)
        return
    wait = "job waits" if len(waiting) == 1 else "jobs wait"
    say(f"{len(waiting)} {wait} for approval\n  → {command_line('approve', path)} JOB… | --all")


def _all_rejected(count: int) -> UsageError:
    what = "the only one was" if count == 1 else f"all {count} were"
    return UsageError(
        f"{what} rejected: nothing is approved",
        next_step="--all and globs leave rejected results out; give its exact id, or make it"
        " again with: batchgen retry MANIFEST --state rejected",
    )


def _say_rejected(chosen: Sequence[Awaiting], left_out: int) -> None:
    for one in chosen:
        if one.rejected:
            say(f"  {one.id} was rejected, and is approved all the same: it was named")
    if left_out:
        say(f"  {plural(left_out, 'rejected result')} left out; an exact id approves one")


def _chosen(
    db: Connection, waiting: Mapping[str, Awaiting], named: Sequence[str]
) -> list[Awaiting]:
    """Each job once, however often it is named; without names, all."""
    if not waiting and not named:
        raise UsageError(NOTHING_WAITS, next_step="batchgen status MANIFEST shows what is going on")
    if not named:
        return list(waiting.values())
    found = {job_id: None for name in named for job_id in _meant(db, waiting, name)}
    return [waiting[job_id] for job_id in found]


def _meant(db: Connection, waiting: Mapping[str, Awaiting], name: str) -> list[str]:
    """An exact id wins: `img[1]` is a glob too, but one that means another job."""
    if name in waiting:
        return [name]
    if why := why_not(db, name):
        raise UsageError(why)
    if found := [job_id for job_id in waiting if fnmatchcase(job_id, name)]:
        return found
    if approved := sum(fnmatchcase(job_id, name) for job_id in approved_ids(db)):
        are = "is" if approved == 1 else "are"
        raise UsageError(
            f"{plural(approved, 'job')} called '{name}' {are} approved already; no other waits"
        )
    if not waiting:
        raise UsageError(f"no job is called '{name}', and {NOTHING_WAITS}")
    near = nearest(name, waiting)
    example = ", ".join(list(waiting)[:SHOWN])
    raise UsageError(
        f"no job that waits for approval is called '{name}'",
        next_step=f"did you mean '{near}'?" if near else f"those that wait: {example}",
    )


def _on(released: int) -> str:
    return (
        f"{plural(released, 'job')} can go on" if released else "no other job becomes ready by it"
    )


def _report(applied: Sequence[Applied], waiting: int, released: int, run: str) -> int:
    objections = [one for one in applied if one.objection]
    for one in objections:
        say(f"{one.decision.job_id}: {one.objection}")
    approved = len(applied) - len(objections)
    if approved:
        left = max(0, waiting - approved)
        still = f"; {left} still to approve" if left else ""
        say(f"{plural(approved, 'job')} approved: {_on(released)}{still}")
        say(f"  → {run}")
    return ExitCode.USAGE if objections else ExitCode.DONE
