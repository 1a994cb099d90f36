"""`batchgen verify`: compare the files with the state; changes nothing."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Protocol

import click

from batchgen.cli.console import print_text
from batchgen.cli.options import JSON, MANIFEST, ONLY_JOBS, RAY
from batchgen.errors import ExitCode
from batchgen.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.runs.verify import Checked
    from batchgen.state.database import Connection
    from batchgen.state.queries import Selection

SHOWN_ORPHANS = 20


class _Report(Protocol):
    """Prints each problem as it is found: a list of a million files is not kept."""

    def problem(self, job_id: str, path: str | None, what: str) -> None: ...

    def orphan(self, path: str) -> None: ...

    def end(self, checked: int, problems: int) -> None: ...


@click.command()
@MANIFEST
@ONLY_JOBS
@RAY
@click.option("--quick", is_flag=True, help="Compare only sizes; read no files.")
@JSON
def verify(
    manifest: Path, jobs: tuple[str, ...], ray: str | None, quick: bool, as_json: bool
) -> int:
    """Compare the files, on the disk or in the bucket, with the state.

    It changes nothing, and works during a run, too. Exit code 0: all files are sound; 1: something
    is wrong.
    """
    from batchgen.runs.context import open_run
    from batchgen.runs.verify import check_files, orphaned_files
    from batchgen.runs.workers import shared_folders, workers
    from batchgen.state.queries import Selection, not_downloaded
    from batchgen.storage.results import open_results

    selection = Selection(jobs)
    checked = problems = 0
    with open_run(manifest) as run:
        db, results = run.db, open_results(run.results)
        report: _Report = _Document(run.manifest.name) if as_json else _Text(run.command("repair"))
        # Sizes alone are no work.
        seen = shared_folders(run.results)
        opening = workers(None if quick else ray, os.environ, None, *seen, at_once=results.at_once)
        with opening as hands:
            files = check_files(db, results, selection, quick=quick, workers=hands)
            for one in _with_progress(files, db, selection):
                checked += 1
                if one.damage:
                    problems += 1
                    report.problem(one.file.job_id, one.file.path, one.damage.value)
        for job_id, why in not_downloaded(db, selection):
            problems += 1
            report.problem(job_id, None, f"its result was not downloaded: {why}")
        # With --job, other files are not of interest.
        if not selection.jobs:
            for name in orphaned_files(db, results):
                report.orphan(name)
    report.end(checked, problems)
    return ExitCode.SOME_FAILED if problems else ExitCode.DONE


def _with_progress(
    files: Iterator[Checked], db: Connection, selection: Selection
) -> Iterator[Checked]:
    from batchgen.cli.progress import progress_bar
    from batchgen.state.files import count_results

    with progress_bar(count_results(db, selection), "verified") as bar:
        for one in files:
            bar.update()
            yield one


class _Text:
    def __init__(self, repair: str) -> None:
        self._repair = repair
        self._orphans = 0

    def problem(self, job_id: str, path: str | None, what: str) -> None:
        print_text(f"{job_id}: {path}: {what}" if path else f"{job_id}: {what}")

    def orphan(self, path: str) -> None:
        self._orphans += 1
        if self._orphans <= SHOWN_ORPHANS:
            print_text(f"not part of this run: {path}")

    def end(self, checked: int, problems: int) -> None:
        if self._orphans > SHOWN_ORPHANS:
            print_text(f"not part of this run: {self._orphans - SHOWN_ORPHANS} more")
        verdict = plural(problems, "problem") if problems else "all sound"
        print_text(f"{plural(checked, 'file')} verified: {verdict}")
        if problems:
            print_text(f"  → download them again without paying: {self._repair}")


class _Document:
    """One JSON document, written as it comes; orphaned files last, since they are found last."""

    def __init__(self, name: str) -> None:
        sys.stdout.write(f'{{"name": {json.dumps(name)}, "problems": [')
        self._parts = {"problems": 0, "unknown_files": 0}

    def problem(self, job_id: str, path: str | None, what: str) -> None:
        self._item("problems", {"id": job_id, "path": path, "problem": what})

    def orphan(self, path: str) -> None:
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
