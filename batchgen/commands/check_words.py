"""What a check says: in words, with commands that can be copied, or as one document."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby
from typing import TYPE_CHECKING

from batchgen.check.kinds import NEEDS_REVIEW, CheckOptions, Kind
from batchgen.commands.console import format_duration, plural, print_json, say
from batchgen.state.reviews import Pick
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from batchgen.check.checking import Changes, Report
    from batchgen.check.judging import Checked
    from batchgen.jobs import JsonValue
    from batchgen.state.selection import Selection

SHOWN = 5
"""Of each kind; --json has all."""
REJECTABLE = frozenset(Kind) - NEEDS_REVIEW - {Kind.UNREADABLE}
"""What may be rejected without a look. `repair` mends unreadable ones, and costs nothing."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked: commands that are suggested must reach no further."""

    path: Path
    selection: Selection
    asked: CheckOptions
    rehearsing: bool


class Fate(Enum):
    """What became of the news in the state."""

    WRITTEN = auto()
    HANDED = auto()
    """A runner at work writes it down."""
    DRY = auto()
    FAILED = auto()


_FATES = {
    Fate.WRITTEN: "",
    Fate.HANDED: " (handed to the runner at work)",
    Fate.DRY: " (a dry run: nothing was written)",
    Fate.FAILED: " (not written, as said below)",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A check, what of it is news, and what became of that."""

    report: Report
    news: Changes
    seconds: float
    fate: Fate
    objections: tuple[str, ...] = ()


def say_words(question: Question, outcome: Outcome) -> None:
    say("\n".join([*_lines(outcome), *next_steps(question, outcome)]))


def say_document(name: str, outcome: Outcome) -> None:
    report, found = outcome.report, outcome.news
    rejected = {id(file) for file in found.rejected}
    print_json(
        {
            "name": name,
            "checked": len(report.files),
            "looked_at": report.examined,
            "counts": {kind.value: len(files) for kind, files in _by_kind(report.flawed)},
            "new": found.new,
            "gone": found.gone,
            "rejected": len(found.rejected),
            "dry_run": outcome.fate is Fate.DRY,
            "handed_to_the_runner": outcome.fate is Fate.HANDED,
            "written": outcome.fate is Fate.WRITTEN,
            "objections": list(outcome.objections),
            "files": [_file(file, is_rejected=id(file) in rejected) for file in report.flawed],
        }
    )


def _file(file: Checked, *, is_rejected: bool) -> dict[str, JsonValue]:
    return {
        "id": file.job_id,
        "position": file.position,
        "path": file.path,
        "flaws": {kind.value: words for kind, words in file.flaws.items()},
        "pick": "reject" if is_rejected else file.pick,
    }


def _lines(outcome: Outcome) -> list[str]:
    report, found = outcome.report, outcome.news
    checked = f"{plural(len(report.files), 'file')} checked, {report.examined} looked at now"
    lines = [f"{checked} · {format_duration(outcome.seconds)}"]
    for kind, files in _by_kind(report.flawed):
        lines.append(f"  {len(files)} {kind.value}")
        lines += [f"      {one.job_id}: {one.path}: {one.flaws[kind]}" for one in files[:SHOWN]]
        if len(files) > SHOWN:
            lines.append(f"      … {len(files) - SHOWN} more: --only {kind.value} --json")
    lines += [f"  not written: {objection}" for objection in outcome.objections]
    fate = _FATES[outcome.fate]
    if not report.flawed:
        return [
            *lines,
            f"nothing found; {found.gone} gone{fate}" if found.gone else "nothing found",
        ]
    rejected = f"; {plural(len(found.rejected), 'file')} rejected" if found.rejected else ""
    count = f"{plural(len(report.flawed), 'file')} with flaws"
    return [*lines, f"{count}: {found.new} new, {found.gone} gone{rejected}{fate}"]


def _by_kind(flawed: Sequence[Checked]) -> Iterator[tuple[Kind, list[Checked]]]:
    order = list(Kind)
    pairs = [(order.index(kind), file) for file in flawed for kind in file.flaws]
    for number, group in groupby(sorted(pairs, key=lambda pair: pair[0]), lambda pair: pair[0]):
        yield order[number], [file for _, file in group]


def next_steps(question: Question, outcome: Outcome) -> list[str]:
    """Pure. None after a failure, which has a next step of its own."""
    flawed, is_kept = outcome.report.flawed, outcome.fate in {Fate.WRITTEN, Fate.HANDED}
    if not flawed or outcome.fate is Fate.FAILED:
        return []
    path, rehearsing, selection = question.path, question.rehearsing, question.selection
    rejected = {id(file) for file in outcome.news.rejected} if is_kept else set()
    open_kinds = {
        kind
        for file in flawed
        if file.pick is None and id(file) not in rejected
        for kind in file.flaws
    }
    steps = [_look(path, open_kinds & NEEDS_REVIEW)]
    if any(Kind.UNREADABLE in file.flaws for file in flawed):
        repair = command_line("repair", path, emulator=rehearsing)
        words = _joined(repair, _named("--job", selection.jobs))
        steps.append(f"  → fetch unreadable ones again without paying: {words}")
    if rejected or any(file.pick is Pick.REJECT for file in flawed):
        words = _retry(command_line("retry", path, emulator=rehearsing), selection)
        steps.append(f"  → make rejected ones again, which costs: {words}")
    if kinds := open_kinds & (REJECTABLE | question.asked.rejected):
        steps.append(f"  → reject them: {_reject(question, kinds)}")
    return steps


def _look(path: Path, kinds: Iterable[Kind]) -> str:
    watch = command_line("watch", path)
    if names := _listed(kinds):
        return f"  → look at them, and keep or reject what is {names} yourself: {watch}"
    return f"  → look at them: {watch}, or {command_line('report', path)}"


def _retry(command: str, selection: Selection) -> str:
    """States are left out: no kept result is rejected, and one that is not done was not judged."""
    chosen = [
        *_named("--job", selection.jobs),
        *_named("--model", selection.models),
        *_named("--tag", selection.tags),
    ]
    return _joined(command, [*chosen, "--state rejected"])


def _reject(question: Question, kinds: Iterable[Kind]) -> str:
    selection, asked, default = question.selection, question.asked, CheckOptions()
    words = [
        *_named("--job", selection.jobs),
        *_named("--model", selection.models),
        *_named("--tag", selection.tags),
        *_named("--state", selection.states),
    ]
    if left_out := default.kinds - asked.kinds:
        shorter = (
            ("--skip", left_out) if len(left_out) < len(asked.kinds) else ("--only", asked.kinds)
        )
        words.append(f"{shorter[0]} {_listed(shorter[1])}")
    if asked.distance != default.distance:
        words.append(f"--distance {asked.distance}")
    if asked.blank != default.blank:
        words.append(f"--blank {asked.blank}")
    return _joined(command_line("check", question.path), [*words, f"--reject {_listed(kinds)}"])


def _named(option: str, names: Iterable[str]) -> list[str]:
    return [f"{option} {shlex.quote(name)}" for name in names]


def _joined(command: str, words: Iterable[str]) -> str:
    return " ".join([command, *words])


def _listed(kinds: Iterable[Kind]) -> str:
    chosen = frozenset(kinds)
    return ",".join(kind.value for kind in Kind if kind in chosen)
