"""`batchgen resolve`: a person's word on submits whose outcome is unknown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from batchgen.commands.console import plural, say
from batchgen.errors import ExitCode, UsageError
from batchgen.jobs import JobState
from batchgen.runcomfy.base import usable_request_id
from batchgen.runs.context import open_run
from batchgen.runs.decision_log import Decision, Verb
from batchgen.runs.decisions import decide
from batchgen.runs.folder import is_locked
from batchgen.state.manual_actions import has_open_request
from batchgen.state.queries import Selection, attempts_of, open_price, select_jobs
from batchgen.state.selection import exactly, names_only
from batchgen.text import command_line, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from batchgen.runs.decision_log import Applied
    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection

EVERY_JOB = "*"

WHERE_TO_LOOK = "copy it from the page Generations on runcomfy.com: no API call lists requests"

UNDECIDED = (
    JobState.UNKNOWN,
    JobState.SUBMITTING,
    JobState.LOST,
    JobState.FETCHING,
    JobState.FAILED,
)
"""States in which a person's word may be taken."""

_ASKS_FIRST = (
    "the next run asks its request once more, and submits it again, which it pays for, only if that"
    " has ended without files"
)
_NEXT = {
    Verb.ADOPT: "the next run follows its request, and pays nothing",
    Verb.RESUBMIT: "the next run submits it again, and pays for it",
    Verb.WRITE_OFF: "it counts as failed and spent",
}


def resolve_asked(
    path: Path,
    jobs: Sequence[str],
    selection: Selection,
    *,
    every: bool,
    adopt: str | None,
    resubmit: bool,
    write_off: bool,
) -> int:
    """Do what the options mean together. Raises UsageError where that is nothing, or too much."""
    wanted = {Verb.ADOPT: adopt is not None, Verb.RESUBMIT: resubmit, Verb.WRITE_OFF: write_off}
    chosen = [verb for verb, given in wanted.items() if given]
    if len(chosen) != 1:
        raise UsageError("give one of --adopt REQUEST_ID, --resubmit and --write-off")
    selects = selection != Selection()
    if (jobs and every) or not (jobs or every or selects):
        raise UsageError("name the jobs, or give --all for every unknown one")
    if not jobs and chosen[0] is Verb.ADOPT:
        raise UsageError("a request belongs to one job: name it", next_step="leave --all out")
    return resolve(path, jobs or (EVERY_JOB,), chosen[0], adopt, selection)


def resolve(
    path: Path,
    named: Sequence[str],
    verb: Verb,
    request_id: str | None,
    selection: Selection | None = None,
) -> int:
    """Decide about the unknown jobs that `named`, ids and globs, mean. Raises UsageError.

    `selection` leaves some of them out.
    """
    if verb is Verb.ADOPT and usable_request_id(request_id) is None:
        raise UsageError(f"'{request_id}' is not a request id", next_step=WHERE_TO_LOOK)
    with open_run(path) as run:
        db, folder = run.db, run.folder
        jobs = _jobs_to_resolve(db, names_only(db, named), _undecided(folder))
        jobs = _only(db, jobs, selection or Selection())
        seen = {seq: attempts_of(db, seq) for seq in jobs}
        cost = _cost_again(db, jobs) if verb is Verb.RESUBMIT else ""
    if verb is Verb.ADOPT and len(jobs) > 1:
        raise UsageError(
            f"{', '.join(named)} means {len(jobs)} unknown jobs, and a request belongs to one",
            next_step="name one job",
        )
    decisions = [
        Decision(verb, job_id, time.time(), request_id, seen[seq]) for seq, job_id in jobs.items()
    ]
    with decide(folder, decisions) as decided:
        if decided is None:
            say(f"{plural(len(jobs), 'decision')} handed to the runner at work{cost}")
            return ExitCode.DONE
        return _report(decided.applied, path, cost)


def _undecided(folder: RunFolder) -> tuple[JobState, ...]:
    """A submit of a dead runner is unknown too; one of a live runner is on its way, and well."""
    if is_locked(folder):
        return (JobState.UNKNOWN,)
    return (JobState.UNKNOWN, JobState.SUBMITTING)


def _jobs_to_resolve(
    db: Connection, named: Sequence[str], states: tuple[JobState, ...]
) -> dict[int, str]:
    """Job ids by number, each once however often it is named; a name that means none is refused."""
    return {seq: job_id for name in named for seq, job_id in _jobs_named(db, name, states)}


def _only(db: Connection, jobs: dict[int, str], selection: Selection) -> dict[int, str]:
    selected = {seq for seq, _, _ in select_jobs(db, selection, UNDECIDED)}
    kept = {seq: job_id for seq, job_id in jobs.items() if seq in selected}
    if not kept:
        raise UsageError(
            "none of the unknown jobs is selected",
            next_step="check --job, --model, --tag, --state and --cause",
        )
    return kept


def _jobs_named(db: Connection, name: str, states: tuple[JobState, ...]) -> list[tuple[int, str]]:
    found = [(seq, job_id) for seq, job_id, _ in select_jobs(db, Selection((name,)), states)]
    # A request that is lost or set aside, or a result that was never downloaded, only by its exact
    # id: a glob must not give up what is paid and may still be fetched.
    paid = select_jobs(db, Selection((name,)), (JobState.LOST, JobState.FETCHING))
    aside = select_jobs(db, Selection((name,)), (JobState.FAILED,))
    paid += [one for one in aside if has_open_request(db, one[0])]
    found += [(seq, job_id) for seq, job_id, _ in paid if name == exactly(job_id)]
    if found:
        return found
    known = [state for state in JobState if select_jobs(db, Selection((name,)), (state,))]
    if known and name != EVERY_JOB:
        raise UsageError(f"{name} is {known[0].value}, not unknown: there is nothing to resolve")
    unknown = [job_id for _, job_id, _ in select_jobs(db, Selection(), states)]
    raise UsageError(
        "no job is unknown: there is nothing to resolve"
        if name == EVERY_JOB
        else f"no unknown job is called '{name}'",
        next_step=did_you_mean(name, unknown) or "batchgen status lists the unknown ones",
    )


def _cost_again(db: Connection, jobs: Iterable[int]) -> str:
    """What the next run pays for them; a price that nobody knows is never a zero."""
    prices = [open_price(db, seq) for seq in jobs]
    known = [price for price in prices if price is not None]
    unpriced = len(prices) - len(known)
    more = f"{unpriced} without a known price" if unpriced else ""
    usd = f"{sum(known):.2f} USD" if known else ""
    return f" · {' + '.join(filter(None, (usd, more)))}" if prices else ""


def _report(applied: Sequence[Applied], path: Path, cost: str) -> int:
    objections = [one.objection for one in applied if one.objection]
    for one in applied:
        asks_first = one.decision.verb is Verb.RESUBMIT and one.after is JobState.QUEUED
        then = _ASKS_FIRST if asks_first else _NEXT[one.decision.verb]
        say(f"{one.decision.job_id}: {one.objection or then}")
    decided = len(applied) - len(objections)
    if decided:
        verb = applied[0].decision.verb.value.replace("_", " ")
        say(f"{plural(decided, 'job')}: {verb}{cost}")
        say(f"  → {command_line('run', path)}")
    return ExitCode.USAGE if objections else ExitCode.DONE
