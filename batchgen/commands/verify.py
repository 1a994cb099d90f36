"""`batchgen verify`: the files on the disk against the state; changes nothing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Never, Protocol

from tqdm import tqdm

from batchgen.commands.console import plural, say
from batchgen.errors import ExitCode
from batchgen.runs.context import open_run
from batchgen.runs.verify import check_files, orphaned_files
from batchgen.state.files import count_results
from batchgen.state.queries import not_home
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.runs.verify import Checked
    from batchgen.state.database import Connection
    from batchgen.state.queries import Selection

SHOWN_STRAYS = 20


class _Report(Protocol):
    """Hears of what is found as it is found: of a million files, no list is kept."""

    def problem(self, job_id: str, path: str | None, what: str) -> None: ...

    def stray(self, path: str) -> None: ...

    def end(self, checked: int, problems: int) -> None: ...


def verify(path: Path, selection: Selection, *, quick: bool, as_json: bool) -> int:
    """Compare; exit 1 where something is wrong. Raises MissingFileError where nothing was run."""
    checked = problems = 0
    with open_run(path) as run:
        db, folder = run.db, run.folder
        report: _Report = _Document(run.manifest.name) if as_json else _Words(path)
        for one in _shown(check_files(db, folder, selection, quick=quick), db, selection):
            checked += 1
            if one.damage:
                problems += 1
                report.problem(one.file.job_id, one.file.path, one.damage.value)
        for job_id, why in not_home(db, selection):
            problems += 1
            report.problem(job_id, None, f"its result did not come home: {why}")
        # Of other jobs' files nobody asked.
        if not selection.jobs:
            for name in orphaned_files(db, folder):
                report.stray(name)
    report.end(checked, problems)
    return ExitCode.SOME_FAILED if problems else ExitCode.DONE


def _shown(files: Iterator[Checked], db: Connection, selection: Selection) -> Iterator[Checked]:
    with progress_bar(count_results(db, selection), "verified") as bar:
        for one in files:
            bar.update()
            yield one


def progress_bar(total: int | None, word: str) -> tqdm[Never]:
    """A line for people on stderr; None of it where that is no terminal."""
    return tqdm(total=total, desc=word, unit=" files", file=sys.stderr, disable=None, leave=False)


class _Words:
    """For people."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._strays = 0

    def problem(self, job_id: str, path: str | None, what: str) -> None:
        say(f"{job_id}: {path}: {what}" if path else f"{job_id}: {what}")

    def stray(self, path: str) -> None:
        self._strays += 1
        if self._strays <= SHOWN_STRAYS:
            say(f"not of this run: {path}")

    def end(self, checked: int, problems: int) -> None:
        if self._strays > SHOWN_STRAYS:
            say(f"not of this run: {self._strays - SHOWN_STRAYS} more")
        verdict = plural(problems, "problem") if problems else "all sound"
        say(f"{plural(checked, 'file')} verified: {verdict}")
        if problems:
            say(f"  → fetch them again without paying: {command_line('repair', self._path)}")


class _Document:
    """One JSON document, written as it comes; strays last, since they are looked for last."""

    def __init__(self, name: str) -> None:
        sys.stdout.write(f'{{"name": {json.dumps(name)}, "problems": [')
        self._parts = {"problems": 0, "unknown_files": 0}

    def problem(self, job_id: str, path: str | None, what: str) -> None:
        self._item("problems", {"id": job_id, "path": path, "problem": what})

    def stray(self, path: str) -> None:
        if not self._parts["unknown_files"]:
            sys.stdout.write('], "unknown_files": [')
        self._item("unknown_files", path)

    def end(self, checked: int, problems: int) -> None:
        if not self._parts["unknown_files"]:
            sys.stdout.write('], "unknown_files": [')
        sound = json.dumps(not problems)
        sys.stdout.write(f'], "checked": {checked}, "sound": {sound}}}\n')
        sys.stdout.flush()

    def _item(self, part: str, value: JsonValue) -> None:
        sys.stdout.write((",\n" if self._parts[part] else "\n") + json.dumps(value))
        self._parts[part] += 1
