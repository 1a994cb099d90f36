"""`batchgen check`: find bad results. What is found is written to the state."""

from __future__ import annotations

import math
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from batchgen.check.kinds import HASH_BITS, MEANINGS, NEEDS_REVIEW, CheckOptions, Kind
from batchgen.cli.completion import complete_words
from batchgen.cli.console import print_json, print_text
from batchgen.cli.options import JSON, MANIFEST, RAY, SELECTION, all_of
from batchgen.concurrency import unwind_on_signals
from batchgen.errors import BatchgenError, ExitCode, UsageError
from batchgen.runs.decision_log import Decision, Verb
from batchgen.state.queries import select_any
from batchgen.state.reviews import Pick
from batchgen.state.selection import Selection
from batchgen.text import command_line, did_you_mean, format_duration, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from batchgen.check.checking import Changes, Report
    from batchgen.check.judging import Checked
    from batchgen.cli.options import F
    from batchgen.jobs import JsonValue
    from batchgen.runs.folder import RunFolder

SHOWN = 5
"""Files of each kind; --json has all."""
REJECTABLE = frozenset(Kind) - NEEDS_REVIEW - {Kind.UNREADABLE}
"""What may be rejected unseen. `repair` downloads unreadable ones again, and costs nothing."""


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


DEFAULTS = CheckOptions()
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


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: the commands that are suggested must reach no further."""

    path: Path
    selection: Selection
    asked: CheckOptions
    is_rehearsal: bool


class Recorded(Enum):
    """Whether the changes are in the state; the value follows the last line of the text."""

    WRITTEN = ""
    HANDED = " (handed to the run in progress)"
    DRY_RUN = " (a dry run: nothing was written)"
    FAILED = " (not written, see below)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A check, its changes, and whether they are recorded."""

    report: Report
    changes: Changes
    seconds: float
    recorded: Recorded
    objections: tuple[str, ...] = ()


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
    from batchgen.processes import map_in_processes
    from batchgen.runs.context import open_run
    from batchgen.runs.ownership import refuse_copy
    from batchgen.runs.workers import shared_folders, workers

    began = time.monotonic()
    with open_run(path) as run:
        db, folder = run.db, run.folder
        if not dry_run:
            # It could not be written to: refused now, not after minutes of checking.
            refuse_copy(db, folder, path)
        if not select_any(db, selection):
            raise _nothing_selected(path)
        request = Request(path, selection, asked, run.is_rehearsal)
        with ExitStack() as stack:
            begin = partial(_begin, stack)
            seen = shared_folders(run.results)
            hands = stack.enter_context(workers(ray, os.environ, map_in_processes, *seen))
            report = checking.check(
                db,
                run.results,
                folder.measures,
                run.manifest.catalog,
                selection,
                asked,
                begin,
                hands,
            )
    seconds = time.monotonic() - began
    changes = checking.changes(report.files, asked)

    def show(recorded: Recorded, objections: tuple[str, ...] = ()) -> None:
        outcome = Outcome(report, changes, seconds, recorded, objections)
        if as_json:
            print_json(_to_json(run.manifest.name, outcome))
        else:
            print_text("\n".join([*_lines(outcome), *next_steps(request, outcome)]))

    try:
        written = (Recorded.DRY_RUN, ()) if dry_run else _write(folder, path, changes)
    except BatchgenError:
        # What took so long to find must not be lost because the disk is full.
        show(Recorded.FAILED)
        raise
    show(*written)
    return ExitCode.SOME_FAILED if report.flawed else ExitCode.DONE


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


def _to_json(name: str, outcome: Outcome) -> dict[str, JsonValue]:
    report, changes = outcome.report, outcome.changes
    rejected = {id(file) for file in changes.rejected}
    return {
        "name": name,
        "checked": len(report.files),
        "looked_at": report.examined,
        "counts": {kind.value: len(files) for kind, files in _by_kind(report.flawed)},
        "new": changes.new,
        "gone": changes.gone,
        "rejected": len(changes.rejected),
        "dry_run": outcome.recorded is Recorded.DRY_RUN,
        "handed_to_the_runner": outcome.recorded is Recorded.HANDED,
        "written": outcome.recorded is Recorded.WRITTEN,
        "objections": list(outcome.objections),
        "files": [_file_json(file, is_rejected=id(file) in rejected) for file in report.flawed],
    }


def _file_json(file: Checked, *, is_rejected: bool) -> dict[str, JsonValue]:
    return {
        "id": file.job_id,
        "position": file.position,
        "path": file.path,
        "flaws": {kind.value: message for kind, message in file.flaws.items()},
        "pick": "reject" if is_rejected else file.pick,
    }


def _lines(outcome: Outcome) -> list[str]:
    report, changes = outcome.report, outcome.changes
    checked = f"{plural(len(report.files), 'file')} checked, {report.examined} examined now"
    lines = [f"{checked} · {format_duration(outcome.seconds)}"]
    for kind, files in _by_kind(report.flawed):
        lines.append(f"  {len(files)} {kind.value}")
        lines += [f"      {one.job_id}: {one.path}: {one.flaws[kind]}" for one in files[:SHOWN]]
        if len(files) > SHOWN:
            lines.append(f"      … {len(files) - SHOWN} more: --only {kind.value} --json")
    lines += [f"  not written: {objection}" for objection in outcome.objections]
    recorded = outcome.recorded.value
    if not report.flawed:
        gone = f"; {changes.gone} gone{recorded}" if changes.gone else ""
        return [*lines, f"nothing found{gone}"]
    rejected = f"; {plural(len(changes.rejected), 'file')} rejected" if changes.rejected else ""
    count = f"{plural(len(report.flawed), 'file')} with flaws"
    return [*lines, f"{count}: {changes.new} new, {changes.gone} gone{rejected}{recorded}"]


def _by_kind(flawed: Sequence[Checked]) -> Iterator[tuple[Kind, list[Checked]]]:
    order = list(Kind)
    pairs = [(order.index(kind), file) for file in flawed for kind in file.flaws]
    for number, group in groupby(sorted(pairs, key=lambda pair: pair[0]), lambda pair: pair[0]):
        yield order[number], [file for _, file in group]


def next_steps(request: Request, outcome: Outcome) -> list[str]:
    """Pure. None after a failure, which has a next step of its own."""
    flawed, recorded = outcome.report.flawed, outcome.recorded
    if not flawed or recorded is Recorded.FAILED:
        return []
    path, selection, emulator = request.path, request.selection, request.is_rehearsal
    is_recorded = recorded in {Recorded.WRITTEN, Recorded.HANDED}
    rejected = {id(file) for file in outcome.changes.rejected} if is_recorded else set()
    open_kinds = {
        kind
        for file in flawed
        if file.pick is None and id(file) not in rejected
        for kind in file.flaws
    }
    steps = [_look(path, open_kinds & NEEDS_REVIEW)]
    if any(Kind.UNREADABLE in file.flaws for file in flawed):
        jobs = _options("--job", selection.jobs)
        repair = command_line("repair", path, *jobs, emulator=emulator)
        steps.append(f"  → download unreadable ones again without paying: {repair}")
    if rejected or any(file.pick is Pick.REJECT for file in flawed):
        # Without states: no kept result is rejected, and only done jobs are checked.
        chosen = [*_without_states(selection), "--state", "rejected"]
        retry = command_line("retry", path, *chosen, emulator=emulator)
        steps.append(f"  → make rejected ones again, which costs: {retry}")
    if kinds := open_kinds & (REJECTABLE | request.asked.rejected):
        steps.append(f"  → reject them: {_reject(request, kinds)}")
    return steps


def _look(path: Path, kinds: Iterable[Kind]) -> str:
    watch = command_line("watch", path)
    if names := _listed(kinds):
        return f"  → look at them, and keep or reject what is {names} yourself: {watch}"
    return f"  → look at them: {watch}, or {command_line('report', path)}"


def _reject(request: Request, kinds: Iterable[Kind]) -> str:
    """Build the command that finds the same flaws, and rejects these kinds."""
    selection, asked = request.selection, request.asked
    options = [*_without_states(selection), *_options("--state", selection.states)]
    if left_out := DEFAULTS.kinds - asked.kinds:
        is_shorter = len(left_out) < len(asked.kinds)
        options += ["--skip", _listed(left_out)] if is_shorter else ["--only", _listed(asked.kinds)]
    if asked.distance != DEFAULTS.distance:
        options += ["--distance", str(asked.distance)]
    if asked.blank != DEFAULTS.blank:
        options += ["--blank", str(asked.blank)]
    return command_line("check", request.path, *options, "--reject", _listed(kinds))


def _without_states(selection: Selection) -> list[str]:
    return [
        *_options("--job", selection.jobs),
        *_options("--model", selection.models),
        *_options("--tag", selection.tags),
    ]


def _options(flag: str, names: Iterable[str]) -> list[str]:
    return [part for name in names for part in (flag, name)]


def _listed(kinds: Iterable[Kind]) -> str:
    chosen = frozenset(kinds)
    return ",".join(kind.value for kind in Kind if kind in chosen)
