"""`batchgen approve`: let the jobs start that wait for results to be approved."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from batchgen.cli.completion import complete_jobs
from batchgen.cli.console import print_text
from batchgen.cli.options import MANIFEST
from batchgen.cli.run_lines import waiting_jobs
from batchgen.errors import ExitCode, UsageError
from batchgen.runs.decision_log import Decision, Verb
from batchgen.state.conditions import TO_APPROVE
from batchgen.state.manual_actions import approved_ids, awaiting, released_by, why_not
from batchgen.text import command_line, nearest, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from batchgen.runs.context import OpenRun
    from batchgen.runs.decision_log import Applied
    from batchgen.state.database import Connection
    from batchgen.state.manual_actions import Awaiting

SHOWN = 10
NOTHING_WAITS = "no job waits for approval"


@click.command()
@MANIFEST
@click.argument("names", metavar="[JOB]...", nargs=-1, shell_complete=complete_jobs(TO_APPROVE))
@click.option("--all", "every", is_flag=True, help="Every job that waits for approval.")
def approve(manifest: Path, names: tuple[str, ...], every: bool) -> int:
    """Approve results, so that jobs waiting for them can start.

    JOB is the id of a job behind a gate, or a glob for several. Without JOB, lists the results that
    wait for approval, with their files.
    """
    return approve_jobs(manifest, names, every=every)


def approve_jobs(path: Path, names: Sequence[str], *, every: bool) -> int:
    """Approve the jobs that `names`, ids and globs, mean, or all; without either, list them.

    A result that was rejected is approved only by its exact id. Raises UsageError for a name that
    no waiting job has, MissingFileError.
    """
    from batchgen.runs.context import open_run
    from batchgen.runs.decisions import decide

    if names and every:
        raise UsageError("name jobs or give --all, not both")
    with open_run(path) as run:
        db, folder = run.db, run.folder
        run_again = run.command("run")
        if not names and not every:
            _list(run)
            return ExitCode.DONE
        waiting = {one.id: one for one in awaiting(db)}
        meant = _chosen(run, waiting, names)
        chosen = [one for one in meant if not one.rejected or one.id in names]
        left_out = len(meant) - len(chosen)
        if not chosen:
            raise _all_rejected(left_out, run.command("retry", "--state", "rejected"))
        released = released_by(db, [one.seq for one in chosen])
    at = time.time()
    decisions = [Decision(Verb.APPROVE, one.id, at, attempt=one.attempts) for one in chosen]
    with decide(folder, path, decisions) as decided:
        if decided is None:
            handed = f"{plural(len(chosen), 'approval')} handed to the run in progress"
            print_text(f"{handed}: {_effect(released)}")
            _print_rejected(chosen, left_out)
            return ExitCode.DONE
        applied = decided.applied
    code = _report(applied, len(waiting), released, run_again)
    _print_rejected(chosen, left_out)
    return code


def _list(run: OpenRun) -> None:
    waiting = list(awaiting(run.db))
    for one in waiting:
        print_text(f"{one.id}{' · rejected' * one.rejected}")
        for file in one.files:
            print_text(f"    {run.folder.root / file}")
    if not waiting:
        print_text(NOTHING_WAITS)
        return
    command = f"{command_line('approve', run.manifest.path)} JOB… | --all"
    print_text(f"{waiting_jobs(len(waiting))} for approval\n  → {command}")


def _all_rejected(count: int, retry: str) -> UsageError:
    what = "the only one was" if count == 1 else f"all {count} were"
    return UsageError(
        f"{what} rejected: nothing was approved",
        next_step="--all and globs leave rejected results out; give its exact id, or make it"
        f" again with: {retry}",
    )


def _print_rejected(chosen: Sequence[Awaiting], left_out: int) -> None:
    for one in chosen:
        if one.rejected:
            print_text(f"  {one.id} was rejected; it is approved because you gave its exact id")
    if left_out:
        print_text(
            f"  {plural(left_out, 'rejected result')} left out; to approve one, give its exact id"
        )


def _chosen(run: OpenRun, waiting: Mapping[str, Awaiting], names: Sequence[str]) -> list[Awaiting]:
    """Each job once, however often it is named; without names, all."""
    if not waiting and not names:
        shows = f"{command_line('status', run.manifest.path)} shows how the run is going"
        raise UsageError(NOTHING_WAITS, next_step=shows)
    if not names:
        return list(waiting.values())
    found = {job_id: None for name in names for job_id in _meant(run.db, waiting, name)}
    return [waiting[job_id] for job_id in found]


def _meant(db: Connection, waiting: Mapping[str, Awaiting], name: str) -> list[str]:
    """An exact id wins: as a glob, `img[1]` would mean another job."""
    if name in waiting:
        return [name]
    if why := why_not(db, name):
        raise UsageError(why)
    if found := [job_id for job_id in waiting if fnmatchcase(job_id, name)]:
        return found
    if approved := sum(fnmatchcase(job_id, name) for job_id in approved_ids(db)):
        are = "is" if approved == 1 else "are"
        raise UsageError(
            f"{plural(approved, 'job')} called '{name}' {are} already approved; no other job waits"
        )
    if not waiting:
        raise UsageError(f"no job is called '{name}', and {NOTHING_WAITS}")
    near = nearest(name, waiting)
    example = ", ".join(list(waiting)[:SHOWN])
    raise UsageError(
        f"no job that waits for approval is called '{name}'",
        next_step=f"did you mean '{near}'?" if near else f"waiting: {example}",
    )


def _effect(released: int) -> str:
    return f"{plural(released, 'job')} can start" if released else "no other job becomes ready"


def _report(applied: Sequence[Applied], waiting: int, released: int, run: str) -> int:
    objections = [one for one in applied if one.objection]
    for one in objections:
        print_text(f"{one.decision.job_id}: {one.objection}")
    approved = len(applied) - len(objections)
    if approved:
        left = max(0, waiting - approved)
        still = f"; {left} still to approve" if left else ""
        print_text(f"{plural(approved, 'job')} approved: {_effect(released)}{still}")
        print_text(f"  → {run}")
    return ExitCode.USAGE if objections else ExitCode.DONE
