"""`batchgen status`: how a run is going, read from its state without disturbing it."""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.console import print_lines, print_text
from batchgen.cli.options import JOBS, JSON, MANIFEST, all_of
from batchgen.cli.run_lines import (
    SHOWN_TO_PROGRAMS,
    cause_lines,
    causes_json,
    held_lines,
    lost_lines,
    money_json,
    unknown_lines,
)
from batchgen.errors import MissingFileError, UsageError
from batchgen.jobs import IN_FLIGHT, JobState, counts_line
from batchgen.manifest.tuning import limits_line
from batchgen.state.approvals import held_back
from batchgen.state.costs import money_line
from batchgen.state.database import snapshot
from batchgen.state.meta import Meta, get_meta, limits_in_force
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
from batchgen.state.reuse import count_reused, reused_json
from batchgen.state.reviews import count_reviews
from batchgen.storage.locations import BucketLocation
from batchgen.text import command_line, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.header import Manifest
    from batchgen.runs.context import OpenRun
    from batchgen.state.database import Connection
    from batchgen.state.records import JobStatus, Result
    from batchgen.state.reviews import ReviewCounts
    from batchgen.storage.locations import Location

SHOWN = 10
MOST_READ = 10_000
"""Jobs whose messages are read in a tenth of a second, as `--watch` does every second."""

WATCH_EVERY = 1.0
"""Seconds between two reads of another process's state, which announces no changes."""

GOING = (JobState.PENDING, JobState.FETCHING, *IN_FLIGHT)


@click.command()
@MANIFEST
@all_of(*JOBS, JSON)
@click.option("--watch", is_flag=True, help="Keep showing it until nothing is under way.")
def status(manifest: Path, as_json: bool, watch: bool, **selected: Any) -> int:
    """Show how a run is going.

    It reads a snapshot of the state and never disturbs a run.
    """
    if watch and as_json:
        raise UsageError("--watch is for people, --json for programs: give only one")
    selection = Selection(**selected)
    if watch:
        return keep_showing(manifest, selection)
    return show_once(manifest, selection, as_json=as_json)


def show_once(path: Path, selection: Selection, *, as_json: bool) -> int:
    """Raises ManifestError, DamagedStateError, LostStateError."""
    from batchgen.runs.context import find_run
    from batchgen.runs.lost_state import refuse_where_lost
    from batchgen.runs.tuning import is_running

    found = find_run(path)
    manifest, folder = found.manifest, found.folder
    try:
        with found.open() as run, snapshot(run.db):
            db = run.db
            limits = limits_in_force(db)
            if limits and not is_running(folder):
                limits = None  # those of a run that died
            if as_json:
                _write_json(db, manifest.name, run.results.absolute(), selection, limits)
            else:
                print_lines(_lines(run, selection, limits))
    except MissingFileError:
        refuse_where_lost(folder, path)
        _print_not_started(manifest, path, as_json=as_json)
    return 0


def keep_showing(
    path: Path, selection: Selection, wait: Callable[[float], None] = time.sleep
) -> int:
    """Show the state again and again, until nothing is under way or Ctrl-C."""
    from batchgen.runs.context import find_run
    from batchgen.runs.lost_state import refuse_where_lost
    from batchgen.runs.tuning import is_running

    watched = find_run(path)
    manifest, folder = watched.manifest, watched.folder
    if not folder.state.exists():
        refuse_where_lost(folder, path)
        _print_not_started(manifest, path, as_json=False)
        return 0
    while True:
        running = is_running(folder)
        with watched.open() as run, snapshot(run.db):
            db = run.db
            limits = limits_in_force(db) if running else None
            lines = _lines(run, selection, limits, most_read=MOST_READ)
            found = totals(counts(db, selection))
            held = held_back(db, selection)
            run_again = run.command("run")
        under_way = sum(found.get(state, 0) for state in GOING)
        # A job that waits for approval would be watched for ever.
        ended = under_way <= (held.waiting if held.to_approve else 0)
        if not ended and not running:
            lines += ["  no run is in progress", f"  → {run_again}"]
        if sys.stdout.isatty():
            click.clear()
        print_lines(lines)
        if ended:
            return 0
        wait(WATCH_EVERY)


def _lines(
    run: OpenRun,
    selection: Selection,
    limits: Mapping[str, Any] | None,
    *,
    most_read: int | None = None,
) -> list[str]:
    db, manifest, path, results = run.db, run.manifest, run.manifest.path, run.results
    table = counts(db, selection)
    # Money is always the whole run's, whatever is selected.
    whose = "" if selection == Selection() else "the whole run: "
    lines = [
        f"{manifest.name} · {manifest.output.dir}",
        f"  {counts_line(totals(table))} · {whose}{money_line(money(db))}",
    ]
    if isinstance(results, BucketLocation):
        lines.append(f"  results: {results}")
    if len(table) > 1:
        lines += [f"    {model}: {counts_line(row)}" for model, row in table.items()]
    if reused := count_reused(db):
        lines.append(f"  {plural(reused, 'job')} reused results of other runs")
    if limits:
        if cluster := get_meta(db, Meta.CLUSTER):
            lines.append(f"  ray: {cluster}")
        lines.append(f"  limits: {limits_line(limits)}")
        if limits["refused"]:
            lines.append(f"    the last change was refused: {limits['refused']}")
    lines += _mark_lines(count_reviews(db, selection))
    lines += cause_lines(failures(db, SHOWN, selection, most_read=most_read), path)
    steps = held_lines(held_back(db, selection), path)
    steps += _unknown_lines(db, selection, path)
    steps += lost_lines(totals(table).get(JobState.LOST, 0), path)
    return [*lines, *(f"  {line.strip()}" for line in steps)]


def _mark_lines(marks: ReviewCounts) -> list[str]:
    lines = []
    if marks.kept or marks.rejected:
        lines.append(f"  {marks.kept} kept · {marks.rejected} rejected")
    if marks.flaws:
        kinds = " · ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in marks.flaws.items())
        lines.append(f"  flaws: {kinds}")
    return lines


def _unknown_lines(db: Connection, selection: Selection, path: Path) -> list[str]:
    from batchgen.runs.ownership import is_rehearsal

    unknown = select_jobs(db, selection, (JobState.UNKNOWN,))
    shown = [job_id for _, job_id, _ in islice(unknown, SHOWN)]
    others = sum(1 for _ in unknown)
    words = f"{', '.join(shown)} and {others} more" if others else ", ".join(shown)
    return unknown_lines(len(shown) + others, path, words, rehearsal=is_rehearsal(db))


def _print_not_started(manifest: Manifest, path: Path, *, as_json: bool) -> None:
    if as_json:
        nothing = money_json(Money(0.0, 0.0, 0))
        held: JsonObject = {"to_approve": 0, "waiting": 0, "kept": 0, "rejected": 0, "flaws": {}}
        document: JsonObject = {
            "name": manifest.name,
            "results": manifest.output.bucket or str(manifest.output.dir.absolute()),
            "counts": {},
            **held,
            "reused": 0,
            "money": nothing,
            "limits": None,
            "ray": None,
            "causes": [],
            "jobs": [],
        }
        print_text(json.dumps(document))
    else:
        # A folder that vanished looks the same; `run` knows, and reports it.
        print_text(f"{manifest.name} · no run in {manifest.output.dir}")
        print_text(f"  → start it with: {command_line('run', path)}")


def _write_json(
    db: Connection,
    name: str,
    results: Location,
    selection: Selection,
    limits: Mapping[str, Any] | None,
) -> None:
    """One document, written job by job: a million jobs do not fit in memory."""
    write = sys.stdout.write
    by_state = totals(counts(db, selection))
    found: JsonValue = {state.value: count for state, count in by_state.items()}
    held = held_back(db, selection)
    write(f'{{"name": {json.dumps(name)}, "results": {json.dumps(str(results))}, ')
    write(f'"counts": {json.dumps(found)}, ')
    write(f'"to_approve": {held.to_approve}, "waiting": {held.waiting}, ')
    marks = count_reviews(db, selection)
    write(f'"kept": {marks.kept}, "rejected": {marks.rejected}, ')
    write(f'"reused": {count_reused(db)}, ')
    write(f'"flaws": {json.dumps(dict(marks.flaws))}, ')
    write(f'"money": {json.dumps(money_json(money(db)))}, ')
    write(f'"limits": {json.dumps(limits)}, ')
    cluster = limits and get_meta(db, Meta.CLUSTER)
    write(f'"ray": {json.dumps(cluster or None)}, ')
    causes = causes_json(failures(db, SHOWN_TO_PROGRAMS, selection))
    write(f'"causes": {json.dumps(causes)}, "jobs": [')
    for number, job in enumerate(job_statuses(db, selection)):
        write(",\n" if number else "\n")
        write(json.dumps(_job_json(job, results)))
    write("\n]}\n")
    sys.stdout.flush()


def _job_json(job: JobStatus, results: Location) -> dict[str, JsonValue]:
    error: JsonValue = None
    if job.error_code is not None:
        error = {"code": job.error_code, "message": job.error}
    return {
        "id": job.id,
        "model": job.model,
        "state": job.state.value,
        "attempts": job.attempts,
        "request_id": job.request_id,
        "reused": reused_json(_reused_from(job)),
        "files": [_file_json(results, file) for file in job.files],
        "error": error,
    }


def _reused_from(job: JobStatus) -> str | None:
    """Of the latest result."""
    return next((file.reused_from for file in job.files if file.is_latest), None)


def _file_json(results: Location, file: Result) -> JsonObject:
    return {
        "path": results.of(file.path),
        "bytes": file.bytes,
        "sha256": file.sha256,
        "pick": file.pick,
        "flaws": file.flaws,
    }
