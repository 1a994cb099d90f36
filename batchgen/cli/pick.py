"""`batchgen pick`: keep or reject results."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.completion import complete_jobs
from batchgen.cli.console import print_json, print_text
from batchgen.cli.options import JSON, MANIFEST, SELECTION, all_of
from batchgen.errors import ExitCode, UsageError
from batchgen.runs.decision_log import MOST_FILES, Decision, Verb
from batchgen.state.conditions import WITH_RESULT
from batchgen.state.queries import Selection, select_any
from batchgen.state.results import some_ids
from batchgen.state.reviews import results_to_pick
from batchgen.state.selection import names_only
from batchgen.text import command_line, nearest, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from batchgen.jobs import JsonObject
    from batchgen.runs.context import OpenRun
    from batchgen.runs.decisions import Counted, Decided

DONE_TO = {Verb.KEEP: "kept", Verb.REJECT: "rejected", Verb.UNPICK: "no longer picked"}


@click.command()
@MANIFEST
@click.argument("names", metavar="[JOB]...", nargs=-1, shell_complete=complete_jobs(WITH_RESULT))
@click.option("--keep", is_flag=True, help="Keep them.")
@click.option(
    "--reject",
    is_flag=True,
    help="Reject them; `batchgen retry MANIFEST --state rejected` makes them again.",
)
@click.option("--unpick", is_flag=True, help="Take back an earlier pick.")
@click.option(
    "--file",
    "position",
    type=click.IntRange(1),
    metavar="N",
    help="Pick only the Nth file of results with several files.",
)
@all_of(*SELECTION, JSON)
def pick(
    manifest: Path,
    names: tuple[str, ...],
    keep: bool,
    reject: bool,
    unpick: bool,
    position: int | None,
    as_json: bool,
    **selected: Any,
) -> int:
    """Keep or reject results.

    JOB is the id of a job with a result, or a glob for several. `batchgen watch` does the same in
    the browser.
    """
    selection = Selection(**selected)
    asked = {Verb.KEEP: keep, Verb.REJECT: reject, Verb.UNPICK: unpick}
    chosen = [verb for verb, is_asked in asked.items() if is_asked]
    if len(chosen) != 1:
        raise UsageError("choose one: --keep, --reject or --unpick")
    if position is not None and position > MOST_FILES:
        raise UsageError(f"no result has more than {MOST_FILES} files", where="--file")
    if not names and selection == Selection():
        raise UsageError(
            "name the jobs: ids, globs, or --model, --tag, --state", next_step="'*' means all"
        )
    return pick_results(manifest, selection, chosen[0], position, names=names, as_json=as_json)


def pick_results(
    path: Path,
    selection: Selection,
    verb: Verb,
    position: int | None = None,
    *,
    names: Sequence[str] = (),
    as_json: bool = False,
) -> int:
    """Pick the selected results, or the file at `position` of each, counted from 1.

    `names` are ids and globs besides those of the selection, all of them positive. Raises
    UsageError if nothing selected has a result, MissingFileError.
    """
    from batchgen.runs.context import open_run
    from batchgen.runs.decisions import Counted, decide

    with open_run(path) as run:
        db = run.db
        selection = replace(selection, jobs=(*names_only(db, names), *selection.jobs))
        found = results_to_pick(db, selection, position)
        first = next(found, None)
        if first is None:
            raise _nothing(run, selection, position)
        again = run.command("retry", "--state", "rejected")
        at = time.time()
        decisions = Counted(
            Decision(verb, job_id, at, attempt=attempt, position=position)
            for job_id, attempt in chain((first,), found)
        )
        with decide(run.folder, path, decisions) as decided:
            outcome = _outcome(verb, decisions, decided)
    if as_json:
        print_json(_to_json(outcome))
    else:
        print_text("\n".join(_lines(outcome, again)))
    return ExitCode.USAGE if outcome.objections else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How many jobs were picked, and how many picks were handed to the run in progress instead.

    `objections` are (job's id, why not).
    """

    verb: Verb
    picked: int
    handed: int
    objections: tuple[tuple[str, str], ...]


def _outcome(verb: Verb, decisions: Counted, decided: Decided | None) -> _Outcome:
    if decided is None:
        return _Outcome(verb, 0, decisions.count, ())
    picked, objections = 0, []
    for one in decided.applied:
        if one.objection:
            objections.append((one.decision.job_id, one.objection))
        else:
            picked += 1
    return _Outcome(verb, picked, 0, tuple(objections))


def _nothing(run: OpenRun, selection: Selection, position: int | None) -> UsageError:
    if select_any(run.db, selection):
        what = "result" if position is None else f"file {position}"
        return UsageError(
            f"none of the selected jobs has a {what} to pick",
            next_step=f"{command_line('status', run.manifest.path)} shows what is done",
        )
    known = some_ids(run.db, "job")
    near = next((found for name in selection.jobs if (found := nearest(name, known))), None)
    return UsageError("no job is selected", next_step=near and f"did you mean '{near}'?")


def _lines(outcome: _Outcome, again: str) -> Iterator[str]:
    """`again`: the command that makes rejected ones again."""
    if outcome.handed:
        yield f"{plural(outcome.handed, 'pick')} handed to the run in progress"
        return
    for job_id, why in outcome.objections:
        yield f"{job_id}: {why}"
    if outcome.picked:
        yield f"{plural(outcome.picked, 'result')} {DONE_TO[outcome.verb]}"
    if outcome.picked and outcome.verb is Verb.REJECT:
        yield f"  → make them again, which may cost: {again}"


def _to_json(outcome: _Outcome) -> JsonObject:
    return {
        "verb": outcome.verb.value,
        "picked": outcome.picked,
        "handed": outcome.handed,
        "objections": [{"id": job_id, "why": why} for job_id, why in outcome.objections],
    }
