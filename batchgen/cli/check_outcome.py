"""What a check found, as text and as JSON, and the commands to go on with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING

from batchgen.check.kinds import DEFAULTS, NEEDS_REVIEW, CheckOptions, Kind
from batchgen.state.reviews import Pick
from batchgen.text import command_line, format_duration, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from batchgen.check.checking import Changes, Report
    from batchgen.check.judging import Checked
    from batchgen.jobs import JsonValue
    from batchgen.state.selection import Selection

SHOWN = 5
"""Files of each kind; --json has all."""
REJECTABLE = frozenset(Kind) - NEEDS_REVIEW - {Kind.UNREADABLE}
"""What may be rejected unseen. `repair` downloads unreadable ones again, and costs nothing."""


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


def outcome_json(name: str, outcome: Outcome) -> dict[str, JsonValue]:
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


def outcome_lines(outcome: Outcome) -> list[str]:
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
