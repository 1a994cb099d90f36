"""`batchgen resolve`: a person's word on submits whose outcome is unknown."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from batchgen.commands.console import command_for, plural, say
from batchgen.errors import ExitCode, UsageError
from batchgen.jobs import JobState
from batchgen.models.nearest import did_you_mean
from batchgen.runcomfy.request_id import usable_request_id
from batchgen.runs.deciding import deciding
from batchgen.runs.decisions import Decision, Verb
from batchgen.runs.folder import RunFolder
from batchgen.runs.prepare import read_header
from batchgen.state.database import open_for_reading, translated
from batchgen.state.queries import Selection, select_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batchgen.runs.decisions import Applied

_NEXT = {
    Verb.ADOPT: "the next run follows its request, and pays nothing",
    Verb.RESUBMIT: "the next run submits it again, and pays for it",
    Verb.WRITE_OFF: "it counts as failed and spent",
}


def resolve(path: Path, job: str, verb: Verb, request_id: str | None) -> int:
    """Decide about the unknown jobs that `job`, an id or a glob, names. Raises UsageError."""
    folder = RunFolder(read_header(path).output.dir)
    if verb is Verb.ADOPT and usable_request_id(request_id) is None:
        raise UsageError(f"'{request_id}' is no request id", next_step="copy it from your account")
    jobs = _unknown_jobs(folder, job)
    if verb is Verb.ADOPT and len(jobs) > 1:
        raise UsageError(
            f"'{job}' names {len(jobs)} unknown jobs, and a request belongs to one",
            next_step="name one job",
        )
    decisions = [Decision(verb, job_id, time.time(), request_id) for job_id in jobs]
    with deciding(folder, decisions) as decided:
        if decided is None:
            say(f"{plural(len(jobs), 'decision')} handed to the runner at work")
            return ExitCode.DONE
        return _report(decided.applied, path)


def _unknown_jobs(folder: RunFolder, glob: str) -> list[str]:
    with closing(open_for_reading(folder.state)) as db, translated(folder.state):
        # Those being submitted are unknown too, if their runner died; the writer sees to that.
        states = (JobState.UNKNOWN, JobState.SUBMITTING)
        named = [job_id for _, job_id, _ in select_jobs(db, Selection((glob,)), states)]
        # A request that is lost, or a result that never comes home, by its very id only: a glob
        # must not give up what is paid and may still be fetched.
        paid = select_jobs(db, Selection((glob,)), (JobState.LOST, JobState.FETCHING))
        named += [job_id for _, job_id, _ in paid if job_id == glob]
        if named:
            return named
        known = [state for state in JobState if select_jobs(db, Selection((glob,)), (state,))]
        unknown = [job_id for _, job_id, _ in select_jobs(db, Selection(), states)]
    if known:
        raise UsageError(f"{glob} is {known[0].value}, not unknown: there is nothing to resolve")
    raise UsageError(
        f"no unknown job is called '{glob}'",
        next_step=did_you_mean(glob, unknown) or "batchgen status lists the unknown ones",
    )


def _report(applied: Sequence[Applied], path: Path) -> int:
    objections = [one.objection for one in applied if one.objection]
    for one in applied:
        say(f"{one.decision.job_id}: {one.objection or _NEXT[one.decision.verb]}")
    if len(objections) < len(applied):
        say(f"  → {command_for('run', path)}")
    return ExitCode.USAGE if objections else ExitCode.DONE
