"""`batchgen check`: find bad results. What is found is written to the state."""

from __future__ import annotations

import math
import os
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from batchgen.check.kinds import DEFAULTS, HASH_BITS, MEANINGS, CheckOptions, Kind
from batchgen.cli.check_outcome import (
    Outcome,
    Recorded,
    Request,
    next_steps,
    outcome_json,
    outcome_lines,
)
from batchgen.cli.completion import complete_words
from batchgen.cli.console import print_json, print_text
from batchgen.cli.options import JSON, MANIFEST, RAY, SELECTION, all_of
from batchgen.concurrency import unwind_on_signals
from batchgen.errors import BatchgenError, ExitCode, UsageError
from batchgen.runs.decision_log import Decision, Verb
from batchgen.state.queries import select_any
from batchgen.state.selection import Selection
from batchgen.text import command_line, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchgen.check.checking import Changes, Report
    from batchgen.cli.options import F
    from batchgen.runs.context import OpenRun
    from batchgen.runs.folder import RunFolder


def read_kinds(
    _context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> frozenset[Kind]:
    """Read kinds of flaws, with commas between them. Raises UsageError for an unknown one."""
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if name not in set(Kind):
            raise UsageError(
                f"there is no kind of flaw '{name}'",
                where=option.opts[0],
                next_step=did_you_mean(name, list(Kind)),
            )
    return frozenset(map(Kind, names))


def read_finite(_context: click.Context, option: click.Parameter, number: float) -> float:
    """Pass on a number. Raises UsageError for `nan`, which is in every range."""
    if not math.isfinite(number):
        raise UsageError(f"'{number}' is not a number", where=option.opts[0])
    return number


def _kinds(flag: str, name: str, text: str) -> Callable[[F], F]:
    return click.option(
        flag,
        name,
        multiple=True,
        metavar="KIND,…",
        callback=read_kinds,
        shell_complete=complete_words(lambda: Kind, listed=True),
        help=text,
    )


KINDS = "\b\nKIND is one of\n" + "\n".join(
    f"  {kind.value:<15} {meaning}" for kind, meaning in MEANINGS.items()
)
"""For --help. The backspace keeps click from filling the lines."""


@click.command(epilog=KINDS)
@MANIFEST
@_kinds("--only", "only", "Look only for these kinds; may be given several times.")
@_kinds("--skip", "skip", "Do not look for these kinds; may be given several times.")
@_kinds("--reject", "rejected", "Also reject results of these kinds, except those you kept.")
@click.option(
    "--distance",
    type=click.IntRange(0, HASH_BITS // 4),
    default=DEFAULTS.distance,
    metavar="N",
    help="near_duplicate: at most N of 256 bits differ; 0 finds only the closest copies,"
    f" a higher N also finds what merely looks alike. Default {DEFAULTS.distance}.",
)
@click.option(
    "--blank",
    type=click.FloatRange(0.5, 1),
    default=DEFAULTS.blank,
    callback=read_finite,
    metavar="F",
    help="near_blank: at least this share of the picture has one colour."
    f" Default {DEFAULTS.blank}.",
)
@all_of(*SELECTION)
@RAY
@click.option("--dry-run", is_flag=True, help="Show what is found, and leave the state as it is.")
@JSON
def check(
    manifest: Path,
    jobs: tuple[str, ...],
    models: tuple[str, ...],
    tags: tuple[str, ...],
    states: tuple[str, ...],
    ray: str | None,
    dry_run: bool,
    as_json: bool,
    **asked: Any,
) -> int:
    """Find blank, damaged, wrong or duplicate results.

    Looks at the results of done jobs, also while a run goes on, and writes what it finds to the
    state. A second check looks only at new results. Exit code 0: nothing found; 1: flaws found.
    """
    selection = Selection(jobs, models, tags, states)
    options = check_asked(manifest, **asked)
    return check_results(manifest, selection, options, ray=ray, dry_run=dry_run, as_json=as_json)


def check_asked(
    path: Path,
    only: frozenset[Kind],
    skip: frozenset[Kind],
    rejected: frozenset[Kind],
    **others: Any,
) -> CheckOptions:
    """What was asked for. Raises UsageError if the kinds contradict each other."""
    kinds = (only or frozenset(Kind)) - skip
    if not kinds:
        raise UsageError("every kind is left out: there is nothing to look for")
    if Kind.UNREADABLE in rejected:
        raise UsageError(
            "unreadable cannot be rejected: making such a result again would cost",
            where="--reject",
            next_step=f"{command_line('repair', path)} downloads it again, for free",
        )
    if missed := [kind.value for kind in Kind if kind in rejected - kinds]:
        raise UsageError(
            f"{', '.join(missed)} cannot be rejected, since it is not looked for",
            next_step="leave it out of --skip, or name it in --only",
        )
    return CheckOptions(kinds, rejected, **others)


@unwind_on_signals()
def check_results(
    path: Path,
    selection: Selection,
    asked: CheckOptions,
    *,
    ray: str | None = None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Check, write the changes to the state, and print the outcome; exit 1 if a file has a flaw.

    Raises MissingFileError before the first run, UsageError, CopiedStateError, OutputError,
    StorageError.
    """
    from batchgen.check import checking
    from batchgen.runs.context import open_run
    from batchgen.runs.ownership import refuse_copy

    began = time.monotonic()
    with open_run(path) as run:
        db, folder = run.db, run.folder
        if not dry_run:
            # It could not be written to: refused now, not after minutes of checking.
            refuse_copy(db, folder, path)
        if not select_any(db, selection):
            raise _nothing_selected(path)
        request = Request(path, selection, asked, run.is_rehearsal)
        report = _report(run, request, ray)
    seconds = time.monotonic() - began
    changes = checking.changes(report.files, asked)

    def show(recorded: Recorded, objections: tuple[str, ...] = ()) -> None:
        outcome = Outcome(report, changes, seconds, recorded, objections)
        if as_json:
            print_json(outcome_json(run.manifest.name, outcome))
        else:
            print_text("\n".join([*outcome_lines(outcome), *next_steps(request, outcome)]))

    try:
        written = (Recorded.DRY_RUN, ()) if dry_run else _write(folder, path, changes)
    except BatchgenError:
        # What took so long to find must not be lost because the disk is full.
        show(Recorded.FAILED)
        raise
    show(*written)
    return ExitCode.SOME_FAILED if report.flawed else ExitCode.DONE


def _report(run: OpenRun, request: Request, ray: str | None) -> Report:
    from batchgen.check import checking
    from batchgen.processes import map_in_processes
    from batchgen.runs.workers import shared_folders, workers

    with ExitStack() as stack:
        seen = shared_folders(run.results)
        hands = stack.enter_context(workers(ray, os.environ, map_in_processes, *seen))
        return checking.check(
            run.db,
            run.results,
            run.folder.measures,
            run.manifest.catalog,
            request.selection,
            request.asked,
            partial(_begin, stack),
            hands,
        )


def _nothing_selected(path: Path) -> UsageError:
    return UsageError(
        "no job is selected",
        next_step="check --job, --model, --tag and --state;"
        f" {command_line('status', path, '--json')} lists the jobs",
    )


def _begin(stack: ExitStack, total: int) -> Callable[[int], object]:
    from batchgen.cli.progress import progress_bar

    bar = stack.enter_context(progress_bar(total, "checked"))
    return lambda number: bar.update(number - bar.n)


def _write(folder: RunFolder, path: Path, changes: Changes) -> tuple[Recorded, tuple[str, ...]]:
    """Whether the changes were recorded, and objections of the state."""
    from batchgen.runs.decisions import decide

    decisions = list(_decisions(changes, time.time()))
    if not decisions:
        return Recorded.WRITTEN, ()
    with decide(folder, path, decisions) as decided:
        if decided is None:
            return Recorded.HANDED, ()
        return Recorded.WRITTEN, tuple(one.objection for one in decided.applied if one.objection)


def _decisions(changes: Changes, at: float) -> Iterator[Decision]:
    for file, flaws in changes.flaws:
        yield Decision(Verb.FIND, file.job_id, at, None, file.attempt, file.position, flaws)
    for file in changes.rejected:
        yield Decision(Verb.REJECT, file.job_id, at, None, file.attempt, file.position)
