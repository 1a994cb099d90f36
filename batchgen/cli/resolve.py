"""`batchgen resolve`: decide about submits whose outcome is unknown."""

from __future__ import annotations

import re
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.completion import complete_jobs
from batchgen.cli.console import print_text
from batchgen.cli.options import JOBS, MANIFEST, all_of
from batchgen.cli.run_lines import unknown_command
from batchgen.errors import ExitCode, UsageError
from batchgen.jobs import JobState
from batchgen.runs.decision_log import Decision, Verb
from batchgen.state.conditions import UNDECIDED
from batchgen.state.manual_actions import is_uploading
from batchgen.state.queries import (
    Selection,
    attempts_of,
    job_named,
    latest_requests,
    only_selected,
    open_price,
    paid_for,
    select_jobs,
)
from batchgen.state.results import MOST_COMPARED
from batchgen.state.selection import exactly, names_only
from batchgen.text import command_line, did_you_mean, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from batchgen.runs.context import OpenRun
    from batchgen.runs.decision_log import Applied
    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection

EVERY_JOB = "*"
SHOWN = 5

WHERE_TO_LOOK = "copy it from the page Generations on runcomfy.com: no API call lists requests"

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
COMPARED = 50
"""Request ids of a run, the latest."""

SHORTEST_ID = 8
"""Characters. Ids that are made for everyone's requests are longer; `x` was mistyped."""

_ASKS_FIRST = (
    "the next run asks for its request once more, and pays to submit it again only if that request"
    " has ended without files"
)
_NEXT = {
    Verb.ADOPT: "the next run follows its request, and pays nothing",
    Verb.RESUBMIT: "the next run submits it again, and pays for it",
    Verb.WRITE_OFF: "it counts as failed and spent",
}


@click.command()
@MANIFEST
@click.argument("names", metavar="[JOB]...", nargs=-1, shell_complete=complete_jobs(UNDECIDED))
@click.option("--all", "every", is_flag=True, help="Every unknown job; not with --adopt.")
@click.option("--adopt", metavar="REQUEST_ID", help="It was accepted, with this request id.")
@click.option("--resubmit", is_flag=True, help="Submit it again, although it may be charged twice.")
@click.option("--write-off", is_flag=True, help="Give it up: it counts as failed and spent.")
@all_of(*JOBS)
def resolve(
    manifest: Path,
    names: tuple[str, ...],
    every: bool,
    adopt: str | None,
    resubmit: bool,
    write_off: bool,
    **selected: Any,
) -> int:
    """Decide about submits whose outcome is unknown.

    The page Generations on runcomfy.com shows whether a request was accepted, and its id; no API
    call does.

    JOB is the id of an unknown job, or a glob for several; the other options narrow them down. An
    exact id may also name a job that is lost, or that failed while its request was still
    open (timeout, no_files): then --resubmit asks the vendor first, and pays only if the request
    has ended without files.
    """
    selection = Selection(**selected)
    wanted = {Verb.ADOPT: adopt is not None, Verb.RESUBMIT: resubmit, Verb.WRITE_OFF: write_off}
    chosen = [verb for verb, given in wanted.items() if given]
    if len(chosen) != 1:
        raise UsageError("give one of --adopt REQUEST_ID, --resubmit and --write-off")
    selects = selection != Selection()
    if (names and every) or not (names or every or selects):
        raise UsageError("name the jobs, or give --all for every unknown one")
    if not names and chosen[0] is Verb.ADOPT:
        raise UsageError("a request belongs to one job: name it", next_step="leave --all out")
    return resolve_jobs(manifest, names or (EVERY_JOB,), chosen[0], adopt, selection)


def resolve_jobs(
    path: Path,
    names: Sequence[str],
    verb: Verb,
    request_id: str | None,
    selection: Selection | None = None,
) -> int:
    """Decide about the unknown jobs that `names`, ids and globs, mean. Raises UsageError.

    `selection` leaves some of them out.
    """
    from batchgen.runcomfy.base import usable_request_id
    from batchgen.runs.context import open_run
    from batchgen.runs.decisions import decide

    if verb is Verb.ADOPT:
        given, request_id = request_id, usable_request_id(request_id)
        if request_id is None:
            raise UsageError(f"'{given}' is not a request id", next_step=WHERE_TO_LOOK)
    with open_run(path) as run:
        db, folder = run.db, run.folder
        if request_id is not None:
            _refuse_odd_request_id(db, request_id)
        jobs = _jobs_to_resolve(run, names_only(db, names))
        jobs = _only(db, jobs, selection or Selection())
        seen = {seq: attempts_of(db, seq) for seq in jobs}
        cost = _cost_again(db, jobs) if verb is Verb.RESUBMIT else ""
        run_again = run.command("run")
    if verb is Verb.ADOPT and len(jobs) > 1:
        raise UsageError(
            f"{', '.join(names)} means {len(jobs)} unknown jobs, and a request belongs to one",
            next_step="name one job",
        )
    decisions = [
        Decision(verb, job_id, time.time(), request_id, seen[seq]) for seq, job_id in jobs.items()
    ]
    with decide(folder, path, decisions) as decided:
        if decided is None:
            print_text(f"{plural(len(jobs), 'decision')} handed to the run in progress{cost}")
            return ExitCode.DONE
        return _report(decided.applied, run_again, cost)


def _refuse_odd_request_id(db: Connection, request_id: str) -> None:
    """Raise UsageError for an id that was surely mistyped.

    The vendor does not document how its ids are made, so only those of this run show it.
    """
    known = latest_requests(db, COMPARED)
    if request_id in known:
        return
    if job_named(db, request_id):
        raise UsageError(
            f"'{request_id}' is the id of a job, not of a request", next_step=WHERE_TO_LOOK
        )
    if not known:
        is_odd = len(request_id) < SHORTEST_ID
    else:
        is_odd = all(map(UUID.fullmatch, known)) and not UUID.fullmatch(request_id)
    if is_odd:
        example = f" such as {known[0]}" if known else ""
        raise UsageError(f"'{request_id}' is not a request id{example}", next_step=WHERE_TO_LOOK)


def _undecided(folder: RunFolder) -> tuple[JobState, ...]:
    """A submit of a dead runner is unknown, too; one of a live runner is only on its way."""
    from batchgen.runs.folder import is_locked

    if is_locked(folder):
        return (JobState.UNKNOWN,)
    return (JobState.UNKNOWN, JobState.SUBMITTING)


def _jobs_to_resolve(run: OpenRun, names: Sequence[str]) -> dict[int, str]:
    """Job ids by number, each once however often it is named; a name that means none is refused."""
    states = _undecided(run.folder)
    return {seq: job_id for name in names for seq, job_id in _jobs_named(run, name, states)}


def _only(db: Connection, jobs: dict[int, str], selection: Selection) -> dict[int, str]:
    selected = only_selected(db, jobs, selection)
    kept = {seq: job_id for seq, job_id in jobs.items() if seq in selected}
    if not kept:
        raise UsageError(
            "none of the unknown jobs is selected",
            next_step="check --job, --model, --tag, --state and --cause",
        )
    return kept


def _jobs_named(run: OpenRun, name: str, states: tuple[JobState, ...]) -> list[tuple[int, str]]:
    db = run.db
    found = _unknown(db, Selection((name,)), states)
    # A lost request, one set aside and a result that was never downloaded need the exact id: a glob
    # must not give up what is paid and may still be downloaded.
    paid = paid_for(db, Selection((name,)))
    found += [(seq, job_id) for seq, job_id in paid if name == exactly(job_id)]
    if found:
        return found
    ids = [job_id for _, job_id in islice(paid_for(db, Selection((name,))), SHOWN + 1)]
    if ids:
        more = ", …" if len(ids) > SHOWN else ""
        raise UsageError(
            f"no job is unknown{'' if name == EVERY_JOB else f' among {name}'}; jobs that are lost,"
            f" set aside or not downloaded need their exact id: {', '.join(ids[:SHOWN])}{more}",
            next_step=unknown_command(run.manifest.path),
        )
    known = [state for state in JobState if any(select_jobs(db, Selection((name,)), (state,)))]
    if known and name != EVERY_JOB:
        raise UsageError(f"{name} is {known[0].value}, not unknown: there is nothing to resolve")
    unknown = [job_id for _, job_id in _unknown(db, Selection(), states)[:MOST_COMPARED]]
    shows = f"{command_line('status', run.manifest.path)} lists the unknown ones"
    raise UsageError(
        "no job is unknown: there is nothing to resolve"
        if name == EVERY_JOB
        else f"no unknown job is called '{name}'",
        next_step=did_you_mean(name, unknown) or shows,
    )


def _unknown(
    db: Connection, selection: Selection, states: tuple[JobState, ...]
) -> list[tuple[int, str]]:
    """A submit of a dead runner that was still being uploaded is not unknown: nothing was sent."""
    found = select_jobs(db, selection, states)
    return [(seq, job_id) for seq, job_id, _ in found if not is_uploading(db, seq)]


def _cost_again(db: Connection, jobs: Iterable[int]) -> str:
    """What the next run pays for them; an unknown price is never shown as 0."""
    prices = [open_price(db, seq) for seq in jobs]
    known = [price for price in prices if price is not None]
    unpriced = len(prices) - len(known)
    more = f"{unpriced} without a known price" if unpriced else ""
    usd = f"{sum(known):.2f} USD" if known else ""
    return f" · {' + '.join(filter(None, (usd, more)))}" if prices else ""


def _report(applied: Iterable[Applied], run_again: str, cost: str) -> int:
    decided = objected = 0
    verb = ""
    for one in applied:
        verb = one.decision.verb.value.replace("_", " ")
        asks_first = one.decision.verb is Verb.RESUBMIT and one.after is JobState.QUEUED
        then = _ASKS_FIRST if asks_first else _NEXT[one.decision.verb]
        print_text(f"{one.decision.job_id}: {one.objection or then}")
        if one.objection:
            objected += 1
        else:
            decided += 1
    if decided:
        print_text(f"{plural(decided, 'decision')} recorded: {verb}{cost}")
        print_text(f"  → {run_again}")
    return ExitCode.USAGE if objected else ExitCode.DONE
