"""`batchgen status`: how a run stands, read from its state without disturbing anyone."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from batchgen.commands.console import (
    cause_line,
    command_for,
    counts_line,
    money_json,
    money_line,
    plural,
    say,
)
from batchgen.errors import MissingFileError
from batchgen.jobs import IN_FLIGHT, JobState
from batchgen.runs.folder import RunFolder
from batchgen.runs.prepare import read_header
from batchgen.state.database import open_for_reading, translated
from batchgen.state.queries import (
    Selection,
    counts,
    failures,
    job_statuses,
    money,
    select_jobs,
    totals,
)
from batchgen.state.records import Money

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.manifest import Manifest
    from batchgen.state.records import JobStatus

SHOWN = 10
WATCH_EVERY = 1.0
"""Seconds between two looks at another process's state, which nothing announces."""

GOING = (JobState.PENDING, JobState.FETCHING, *IN_FLIGHT)


def status(path: Path, *, as_json: bool) -> int:
    """Show the state once. Raises ManifestError, MissingFileError, DamagedStateError."""
    manifest = read_header(path)
    folder = RunFolder(manifest.output.dir)
    try:
        db = open_for_reading(folder.state)
    except MissingFileError:
        _say_not_started(manifest, path, as_json=as_json)
        return 0
    with closing(db), translated(folder.state):
        # One read transaction: all figures are of the same moment.
        db.execute("BEGIN")
        if as_json:
            _write_json(db, manifest.name, folder)
        else:
            say("\n".join(_lines(db, manifest.name, folder, path)))
    return 0


def watch(path: Path) -> int:
    """Show the state again and again, until nothing is under way or Ctrl-C."""
    manifest = read_header(path)
    folder = RunFolder(manifest.output.dir)
    if not folder.state.exists():
        _say_not_started(manifest, path, as_json=False)
        return 0
    while True:
        with closing(open_for_reading(folder.state)) as db, translated(folder.state):
            db.execute("BEGIN")
            lines = _lines(db, manifest.name, folder, path)
            found = totals(counts(db))
        if sys.stdout.isatty():
            click.clear()
        say("\n".join(lines))
        if not any(found.get(state) for state in GOING):
            return 0
        time.sleep(WATCH_EVERY)


def _lines(db: sqlite3.Connection, name: str, folder: RunFolder, path: Path) -> list[str]:
    table = counts(db)
    lines = [f"{name} · {folder.root}", f"  {counts_line(totals(table))} · {money_line(money(db))}"]
    if len(table) > 1:
        lines += [f"    {model}: {counts_line(row)}" for model, row in table.items()]
    lines += [cause_line(cause) for cause in failures(db, SHOWN)]
    return lines + _unknown_lines(db, path)


def _unknown_lines(db: sqlite3.Connection, path: Path) -> list[str]:
    unknown = select_jobs(db, Selection(), (JobState.UNKNOWN,))
    if not unknown:
        return []
    shown = ", ".join(job_id for _, job_id, _ in unknown[:SHOWN])
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    return [
        f"  {plural(len(unknown), 'submit')} may have been charged and may not: {shown}{more}",
        f"  → {command_for('resolve', path)} JOB --adopt REQUEST_ID | --resubmit | --write-off",
    ]


def _say_not_started(manifest: Manifest, path: Path, *, as_json: bool) -> None:
    if as_json:
        nothing = money_json(Money(0.0, 0.0, 0))
        say(json.dumps({"name": manifest.name, "counts": {}, "money": nothing, "jobs": []}))
    else:
        say(f"{manifest.name} · nothing was run yet\n  → start it with: {command_for('run', path)}")


def _write_json(db: sqlite3.Connection, name: str, folder: RunFolder) -> None:
    """One document, written job by job: a million jobs do not fit into a screen's memory."""
    write = sys.stdout.write
    found: JsonValue = {state.value: count for state, count in totals(counts(db)).items()}
    write(f'{{"name": {json.dumps(name)}, "counts": {json.dumps(found)}, ')
    write(f'"money": {json.dumps(money_json(money(db)))}, "jobs": [')
    for number, job in enumerate(job_statuses(db)):
        write(",\n" if number else "\n")
        write(json.dumps(_job_json(job, folder)))
    write("\n]}\n")
    sys.stdout.flush()


def _job_json(job: JobStatus, folder: RunFolder) -> dict[str, JsonValue]:
    error: JsonValue = None
    if job.error_code is not None:
        error = {"code": job.error_code, "message": job.error}
    root = folder.root.absolute()
    return {
        "id": job.id,
        "model": job.model,
        "state": job.state.value,
        "attempts": job.attempts,
        "request_id": job.request_id,
        "files": [
            {"path": str(root / file.path), "bytes": file.bytes, "sha256": file.sha256}
            for file in job.files
        ],
        "error": error,
    }
