"""`batchgen approve`: let the jobs start that wait for results to be approved."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING

import click

from batchgen.cli.completion import complete_jobs
from batchgen.cli.console import print_text
from batchgen.cli.options import MANIFEST
from batchgen.cli.run_lines import waiting_jobs
from batchgen.errors import ExitCode, UsageError
from batchgen.runs.decision_log import Decision, Verb
from batchgen.state.approvals import (
    approved_ids,
    awaiting,
    choose,
    chosen_jobs,
    waiting_ids,
    waits,
    why_not,
)
from batchgen.state.conditions import TO_APPROVE
from batchgen.state.results import MOST_COMPARED
from batchgen.text import command_line, nearest, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from batchgen.runs.context import OpenRun
    from batchgen.runs.decision_log import Applied
    from batchgen.state.approvals import Chosen
    from batchgen.state.database import Connection

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
        db = run.db
        if not names and not every:
            _list(run)
            return ExitCode.DONE
        wanted = _Wanted.of(run, names)
        chosen = choose(db, wanted.is_meant)
        wanted.refuse_unmatched(db)
        if not chosen.count:
            raise _all_rejected(wanted.left_out, run.command("retry", "--state", "rejected"))
        at = time.time()
        decisions = (
            Decision(Verb.APPROVE, job_id, at, attempt=attempt)
            for job_id, attempt in chosen_jobs(db)
        )
        with decide(run.folder, path, decisions) as decided:
            if decided is None:
                handed = f"{plural(chosen.count, 'approval')} handed to the run in progress"
                print_text(f"{handed}: {_effect(chosen.released)}")
                code = ExitCode.DONE
            else:
                code = _report(decided.applied, chosen, run.command("run"))
    _print_rejected(wanted)
    return code


@dataclass(slots=True)
class _Wanted:
    """Which jobs are named: without names, all. An exact id wins over its reading as a glob."""

    exact: frozenset[str]
    globs: tuple[str, ...]
    every: bool
    matched: set[str] = field(default_factory=set)
    rejected: list[str] = field(default_factory=list)
    left_out: int = 0

    @classmethod
    def of(cls, run: OpenRun, names: Sequence[str]) -> _Wanted:
        """Raises UsageError for the id of a job that does not wait."""
        if not names and next(waiting_ids(run.db), None) is None:
            shows = f"{command_line('status', run.manifest.path)} shows how the run is going"
            raise UsageError(NOTHING_WAITS, next_step=shows)
        exact = frozenset(name for name in names if waits(run.db, name))
        globs = tuple(dict.fromkeys(name for name in names if name not in exact))
        for name in globs:
            if why := why_not(run.db, name):
                raise UsageError(why)
        return cls(exact, globs, every=not names)

    def is_meant(self, job_id: str, rejected: bool) -> bool:
        """Whether to approve a waiting job; rejected ones only by their exact ids."""
        if job_id in self.exact:
            self.rejected += [job_id] * rejected
            return True
        matching = [glob for glob in self.globs if fnmatchcase(job_id, glob)]
        self.matched.update(matching)
        if not (matching or self.every):
            return False
        self.left_out += rejected
        return not rejected

    def refuse_unmatched(self, db: Connection) -> None:
        """Raise UsageError for a name that no waiting job has."""
        for name in self.globs:
            if name not in self.matched:
                raise _matches_none(db, name)


def _list(run: OpenRun) -> None:
    waiting = 0
    for one in awaiting(run.db):
        waiting += 1
        print_text(f"{one.id}{' · rejected' * one.rejected}")
        for file in one.files:
            print_text(f"    {run.results.of(file)}")
    if not waiting:
        print_text(NOTHING_WAITS)
        return
    command = f"{command_line('approve', run.manifest.path)} JOB… | --all"
    print_text(f"{waiting_jobs(waiting)} for approval\n  → {command}")


def _all_rejected(count: int, retry: str) -> UsageError:
    what = "the only one was" if count == 1 else f"all {count} were"
    return UsageError(
        f"{what} rejected: nothing was approved",
        next_step="--all and globs leave rejected results out; give its exact id, or make it"
        f" again with: {retry}",
    )


def _print_rejected(wanted: _Wanted) -> None:
    for job_id in wanted.rejected:
        print_text(f"  {job_id} was rejected; it is approved because you gave its exact id")
    if left_out := wanted.left_out:
        print_text(
            f"  {plural(left_out, 'rejected result')} left out; to approve one, give its exact id"
        )


def _matches_none(db: Connection, name: str) -> UsageError:
    if approved := sum(fnmatchcase(job_id, name) for job_id in approved_ids(db)):
        are = "is" if approved == 1 else "are"
        return UsageError(
            f"{plural(approved, 'job')} called '{name}' {are} already approved; no other job waits"
        )
    waiting = list(islice(waiting_ids(db), MOST_COMPARED))
    if not waiting:
        return UsageError(f"no job is called '{name}', and {NOTHING_WAITS}")
    near = nearest(name, waiting)
    example = ", ".join(waiting[:SHOWN])
    return UsageError(
        f"no job that waits for approval is called '{name}'",
        next_step=f"did you mean '{near}'?" if near else f"waiting: {example}",
    )


def _effect(released: int) -> str:
    return f"{plural(released, 'job')} can start" if released else "no other job becomes ready"


def _report(applied: Iterable[Applied], chosen: Chosen, run: str) -> ExitCode:
    approved = objected = 0
    for one in applied:
        if one.objection:
            objected += 1
            print_text(f"{one.decision.job_id}: {one.objection}")
        else:
            approved += 1
    if approved:
        left = max(0, chosen.waiting - approved)
        still = f"; {left} still to approve" if left else ""
        print_text(f"{plural(approved, 'job')} approved: {_effect(chosen.released)}{still}")
        print_text(f"  → {run}")
    return ExitCode.USAGE if objected else ExitCode.DONE
