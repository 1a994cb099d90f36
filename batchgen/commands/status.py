"""`batchgen status`: how a run stands, read from its state without disturbing anyone."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from batchgen.commands.console import (
    cause_lines,
    causes_json,
    counts_line,
    held_lines,
    money_json,
    money_line,
    plural,
    say,
    say_lines,
)
from batchgen.errors import MissingFileError, OutputError
from batchgen.jobs import IN_FLIGHT, JobState
from batchgen.runs.context import find_run
from batchgen.runs.folder import is_locked
from batchgen.runs.lost_state import refuse_where_lost
from batchgen.state.database import snapshot
from batchgen.state.manual_actions import held_back
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
from batchgen.state.reviews import count_marks
from batchgen.state.selection import note_causes
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.header import Manifest
    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection
    from batchgen.state.records import JobStatus, Result
    from batchgen.state.reviews import Marks

SHOWN = 10
SHOWN_TO_PROGRAMS = 1000
MOST_READ = 10_000
"""Jobs whose messages are read in a tenth of a second, as `--watch` does every second."""

WATCH_EVERY = 1.0
"""Seconds between two looks at another process's state, which nothing announces."""

GOING = (JobState.PENDING, JobState.FETCHING, *IN_FLIGHT)


def status(path: Path, selection: Selection, *, as_json: bool) -> int:
    """Show the state once. Raises ManifestError, DamagedStateError, LostStateError."""
    found = find_run(path)
    manifest, folder = found.manifest, found.folder
    try:
        with found.open() as run, snapshot(run.db):
            db = run.db
            selection = note_causes(db, selection)
            if as_json:
                _write_json(db, manifest.name, folder, selection)
            else:
                say_lines(_lines(db, manifest, selection, path))
    except MissingFileError:
        refuse_where_lost(folder)
        _say_not_started(manifest, path, as_json=as_json)
    return 0


def watch(path: Path, selection: Selection, rest: Callable[[float], None] = time.sleep) -> int:
    """Show the state again and again, until nothing is under way or Ctrl-C."""
    watched = find_run(path)
    manifest, folder = watched.manifest, watched.folder
    if not folder.state.exists():
        refuse_where_lost(folder)
        _say_not_started(manifest, path, as_json=False)
        return 0
    while True:
        with watched.open() as run, snapshot(run.db):
            db = run.db
            chosen = note_causes(db, selection)
            lines = _lines(db, manifest, chosen, path, most_read=MOST_READ)
            found = totals(counts(db, chosen))
            held = held_back(db, chosen)
            goes_on = run.command("run")
        under_way = sum(found.get(state, 0) for state in GOING)
        # A job that waits for approval would be watched for ever.
        ended = under_way <= (held.waiting if held.to_approve else 0)
        if not ended and _nobody_runs(folder):
            lines += ["  no runner is at work", f"  → {goes_on}"]
        if sys.stdout.isatty():
            click.clear()
        say_lines(lines)
        if ended:
            return 0
        rest(WATCH_EVERY)


def _nobody_runs(folder: RunFolder) -> bool:
    try:
        return not is_locked(folder)
    except OutputError:
        return False  # who may only read cannot try the lock


def _lines(
    db: Connection,
    manifest: Manifest,
    selection: Selection,
    path: Path,
    *,
    most_read: int | None = None,
) -> list[str]:
    table = counts(db, selection)
    # Money is the whole run's: what was paid is no question of what one looks at.
    whose = "" if selection == Selection() else "the whole run: "
    lines = [
        f"{manifest.name} · {manifest.output.dir}",
        f"  {counts_line(totals(table))} · {whose}{money_line(money(db))}",
    ]
    if len(table) > 1:
        lines += [f"    {model}: {counts_line(row)}" for model, row in table.items()]
    lines += _mark_lines(count_marks(db, selection))
    lines += cause_lines(failures(db, SHOWN, selection, most_read=most_read), path)
    lines += [f"  {line.strip()}" for line in held_lines(held_back(db, selection), path)]
    return lines + _unknown_lines(db, selection, path)


def _mark_lines(marks: Marks) -> list[str]:
    lines = []
    if marks.kept or marks.rejected:
        lines.append(f"  {marks.kept} kept · {marks.rejected} rejected")
    if marks.flaws:
        kinds = " · ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in marks.flaws.items())
        lines.append(f"  flaws: {kinds}")
    return lines


def _unknown_lines(db: Connection, selection: Selection, path: Path) -> list[str]:
    unknown = select_jobs(db, selection, (JobState.UNKNOWN,))
    if not unknown:
        return []
    shown = ", ".join(job_id for _, job_id, _ in unknown[:SHOWN])
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    return [
        f"  {plural(len(unknown), 'submit')} may or may not have been charged: {shown}{more}",
        f"  → {command_line('resolve', path)} JOB --adopt REQUEST_ID | --resubmit | --write-off",
    ]


def _say_not_started(manifest: Manifest, path: Path, *, as_json: bool) -> None:
    if as_json:
        nothing = money_json(Money(0.0, 0.0, 0))
        held: JsonObject = {"to_approve": 0, "waiting": 0, "kept": 0, "rejected": 0, "flaws": {}}
        document: JsonObject = {
            "name": manifest.name,
            "counts": {},
            **held,
            "money": nothing,
            "causes": [],
            "jobs": [],
        }
        say(json.dumps(document))
    else:
        # A folder that vanished looks alike; `run` knows, and says so.
        say(f"{manifest.name} · no run in {manifest.output.dir}")
        say(f"  → start it with: {command_line('run', path)}")


def _write_json(db: Connection, name: str, folder: RunFolder, selection: Selection) -> None:
    """One document, written job by job: a million jobs do not fit into a screen's memory."""
    write = sys.stdout.write
    standing = totals(counts(db, selection))
    found: JsonValue = {state.value: count for state, count in standing.items()}
    held = held_back(db, selection)
    write(f'{{"name": {json.dumps(name)}, "counts": {json.dumps(found)}, ')
    write(f'"to_approve": {held.to_approve}, "waiting": {held.waiting}, ')
    marks = count_marks(db, selection)
    write(f'"kept": {marks.kept}, "rejected": {marks.rejected}, ')
    write(f'"flaws": {json.dumps(dict(marks.flaws))}, ')
    write(f'"money": {json.dumps(money_json(money(db)))}, ')
    causes = causes_json(failures(db, SHOWN_TO_PROGRAMS, selection))
    write(f'"causes": {json.dumps(causes)}, "jobs": [')
    for number, job in enumerate(job_statuses(db, selection)):
        write(",\n" if number else "\n")
        write(json.dumps(_job_json(job, folder)))
    write("\n]}\n")
    sys.stdout.flush()


def _job_json(status: JobStatus, folder: RunFolder) -> dict[str, JsonValue]:
    job = status.job
    error: JsonValue = None
    if job.error_code is not None:
        error = {"code": job.error_code, "message": job.error}
    root = folder.root.absolute()
    return {
        "id": job.id,
        "model": job.model,
        "state": job.state.value,
        "attempts": job.attempts,
        "request_id": status.request_id,
        "files": [_file_json(root, file) for file in status.files],
        "error": error,
    }


def _file_json(root: Path, file: Result) -> JsonObject:
    return {
        "path": str(root / file.path),
        "bytes": file.bytes,
        "sha256": file.sha256,
        "pick": file.pick,
        "flaws": file.flaws,
    }
