"""`batchgen check`: are the results any good? What is found is written to the state."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from batchgen.check.checking import check as look_at_all
from batchgen.check.checking import news
from batchgen.check.kinds import Kind
from batchgen.commands.console import command_for, duration, plural, print_json, say
from batchgen.commands.verify import progress_bar
from batchgen.errors import ExitCode, UsageError
from batchgen.runs.deciding import deciding
from batchgen.runs.decisions import MARKS, Decision, Verb
from batchgen.runs.folder import RunFolder
from batchgen.runs.prepare import read_header
from batchgen.runs.provider import is_rehearsal
from batchgen.state.database import open_for_reading, translated
from batchgen.state.marks import Pick
from batchgen.state.queries import select_any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from batchgen.check.checking import News, Report
    from batchgen.check.judging import Checked
    from batchgen.check.kinds import Asked
    from batchgen.jobs import JsonValue
    from batchgen.state.selection import Selection

SHOWN = 5
"""Of each kind; --json has all."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A check, and what became of it in the state. `handed`: a runner at work writes it down."""

    report: Report
    news: News
    handed: bool
    objections: tuple[str, ...]


def check(path: Path, selection: Selection, asked: Asked, *, dry_run: bool, as_json: bool) -> int:
    """Look, write down what is news, and say it; exit 1 where a file has a flaw.

    Raises MissingFileError where nothing was run, UsageError, CopiedStateError, OutputError,
    StorageError.
    """
    manifest = read_header(path)
    folder = RunFolder(manifest.output.dir)
    began = time.monotonic()
    with closing(open_for_reading(folder.state)) as db, translated(folder.state):
        if not select_any(db, selection):
            names = ", ".join(selection.jobs)
            raise UsageError(f"no job is called {names}", next_step="batchgen status lists them")
        rehearsing = is_rehearsal(db)
        with ExitStack() as stack:
            begin = _progress(stack)
            report = look_at_all(db, folder.root, folder.measures, selection, asked, begin)
    found = news(report.files, asked)
    outcome = _write(folder, report, found, dry_run=dry_run)
    if as_json:
        print_json(_to_json(manifest.name, outcome, dry_run=dry_run))
    else:
        lines = _lines(outcome, duration(time.monotonic() - began), dry_run=dry_run)
        say("\n".join([*lines, *_next_steps(outcome, path, rehearsing=rehearsing)]))
    return ExitCode.SOME_FAILED if report.flawed else ExitCode.DONE


def _progress(stack: ExitStack) -> Callable[[int], Callable[[int], None]]:
    def begin(total: int) -> Callable[[int], None]:
        bar = stack.enter_context(progress_bar(total, "looked at"))
        return lambda number: (bar.update(number - bar.n), None)[1]

    return begin


def _write(folder: RunFolder, report: Report, found: News, *, dry_run: bool) -> _Outcome:
    decisions = list(_decisions(found, time.time()))
    if dry_run or not decisions:
        return _Outcome(report, found, handed=False, objections=())
    with deciding(folder, decisions) as decided:
        if decided is None:
            return _Outcome(report, found, handed=True, objections=())
        # Older decisions of other kinds may be taken up in the same breath.
        ours = [one for one in decided.applied if one.decision.verb in MARKS]
        objections = tuple(one.objection for one in ours if one.objection)
        return _Outcome(report, found, handed=False, objections=objections)


def _decisions(found: News, at: float) -> Iterator[Decision]:
    for file, flaws in found.flaws:
        yield Decision(Verb.FIND, file.job_id, at, None, file.attempt, file.position, flaws)
    for file in found.rejected:
        yield Decision(Verb.REJECT, file.job_id, at, None, file.attempt, file.position)


def _lines(outcome: _Outcome, took: str, *, dry_run: bool) -> list[str]:
    report, found = outcome.report, outcome.news
    lines = [
        f"{plural(len(report.files), 'file')} checked, {report.looked_at} looked at now · {took}"
    ]
    for kind, files in _by_kind(report.flawed):
        lines.append(f"  {len(files)} {kind.value}")
        lines += [f"      {one.job_id}: {one.path}: {one.flaws[kind]}" for one in files[:SHOWN]]
        if len(files) > SHOWN:
            lines.append(f"      … {len(files) - SHOWN} more: --only {kind.value} --json")
    lines += [f"  not written: {objection}" for objection in outcome.objections]
    if not report.flawed:
        lines.append(f"nothing found; {found.gone} gone" if found.gone else "nothing found")
        return lines
    rejected = f"; {plural(len(found.rejected), 'file')} rejected" if found.rejected else ""
    fate = _fate(outcome, dry_run=dry_run)
    count = f"{plural(len(report.flawed), 'file')} with flaws"
    return [*lines, f"{count}: {found.new} new, {found.gone} gone{rejected}{fate}"]


def _fate(outcome: _Outcome, *, dry_run: bool) -> str:
    if dry_run:
        return " (a dry run: nothing was written)"
    return " (handed to the runner at work)" if outcome.handed else ""


def _next_steps(outcome: _Outcome, path: Path, *, rehearsing: bool) -> list[str]:
    flawed, rejected = outcome.report.flawed, outcome.news.rejected
    if not flawed:
        return []
    look = f"  → look at them: {command_for('watch', path)}, or {command_for('report', path)}"
    steps = [look]
    if any(Kind.UNREADABLE in file.flaws for file in flawed):
        repair = command_for("repair", path, emulator=rehearsing)
        steps.append(f"  → fetch unreadable ones again without paying: {repair}")
    if rejected or any(file.pick is Pick.REJECT for file in flawed):
        retry = command_for("retry", path, emulator=rehearsing)
        steps.append(f"  → make rejected ones again, which costs: {retry} --state rejected")
    settled = {id(file) for file in rejected}
    left = (file for file in flawed if file.pick is None and id(file) not in settled)
    kinds = {kind for file in left for kind in file.flaws} - {Kind.UNREADABLE}
    if kinds:
        names = ",".join(kind.value for kind in Kind if kind in kinds)
        steps.append(f"  → reject them: {command_for('check', path)} --reject {names}")
    return steps


def _by_kind(flawed: Sequence[Checked]) -> Iterator[tuple[Kind, list[Checked]]]:
    order = list(Kind)
    pairs = [(order.index(kind), file) for file in flawed for kind in file.flaws]
    for number, group in groupby(sorted(pairs, key=lambda pair: pair[0]), lambda pair: pair[0]):
        yield order[number], [file for _, file in group]


def _to_json(name: str, outcome: _Outcome, *, dry_run: bool) -> dict[str, JsonValue]:
    report, found = outcome.report, outcome.news
    rejected = {id(file) for file in found.rejected}
    return {
        "name": name,
        "checked": len(report.files),
        "looked_at": report.looked_at,
        "counts": {kind.value: len(files) for kind, files in _by_kind(report.flawed)},
        "new": found.new,
        "gone": found.gone,
        "rejected": len(found.rejected),
        "dry_run": dry_run,
        "handed_to_the_runner": outcome.handed,
        "objections": list(outcome.objections),
        "files": [_file(file, is_rejected=id(file) in rejected) for file in report.flawed],
    }


def _file(file: Checked, *, is_rejected: bool) -> dict[str, JsonValue]:
    return {
        "id": file.job_id,
        "position": file.position,
        "path": file.path,
        "flaws": {kind.value: words for kind, words in file.flaws.items()},
        "pick": "reject" if is_rejected else file.pick,
    }
