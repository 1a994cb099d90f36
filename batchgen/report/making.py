"""The whole report, in an order that keeps it consistent: thumbnails, data, page, then cleanup."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from batchgen.fs import disk_errors
from batchgen.processes import map_in_processes
from batchgen.report.chunks import JOBS_IN_CHUNK, chunk_script, thumb_name
from batchgen.report.folder import ReportFolder
from batchgen.report.night import night_of
from batchgen.report.page import Facts, advice, causes, rerun_command, write_page
from batchgen.report.thumbnails import ThumbnailTask, make_thumbnails
from batchgen.state.costs import money
from batchgen.state.database import snapshot
from batchgen.state.report_queries import attempt_times, count_visible, reported_jobs, troubled_jobs
from batchgen.storage.locations import BucketLocation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.processes import MapFiles
    from batchgen.report.night import Night
    from batchgen.report.page import RunCommands
    from batchgen.state.database import Connection
    from batchgen.state.records import ReportedJob
    from batchgen.storage.locations import Location


SHOWN_CAUSES = 200


@dataclass(frozen=True, slots=True)
class Subject:
    """The run that a report is about; `made_at` is in epoch seconds."""

    name: str
    results: Location
    commands: RunCommands
    made_at: float


@dataclass(frozen=True, slots=True)
class Made:
    """What was made. `without`: files without a thumbnail, because they cannot be read."""

    page: Path
    jobs: int
    files: int
    new: int
    without: int


def make_report(
    db: Connection,
    subject: Subject,
    out: Path,
    on_progress: Callable[[int, int], None] = lambda _made, _total: None,
    workers: MapFiles = map_in_processes,
) -> Made:
    """Make or update the report. `on_progress` gets the thumbnails made so far, and their total.

    Raises OutputError if `out` is not a report's folder, DiskFullError, StorageError, BucketError.
    """
    folder = ReportFolder(out)
    with disk_errors(out):
        folder.create()
        # Most thumbnails first, without a snapshot: while one is held, a running run's write-ahead
        # log cannot be truncated.
        before = _make_thumbs(db, subject.results, folder, on_progress, workers)
        with snapshot(db):
            rest = _make_thumbs(db, subject.results, folder, on_progress, workers)
            jobs = _write_page(db, subject, folder)
        folder.remove_stale()
    return Made(folder.page, jobs, rest.files, before.new + rest.new, rest.without)


@dataclass(frozen=True, slots=True)
class _Thumbs:
    """Counts: all files, thumbnails made now, and files without one."""

    files: int
    new: int
    without: int


def _make_thumbs(
    db: Connection,
    results: Location,
    folder: ReportFolder,
    on_progress: Callable[[int, int], None],
    workers: MapFiles,
) -> _Thumbs:
    files, tasks = _missing_thumbs(db, results, folder)
    without = 0
    for number, why in enumerate(make_thumbnails(tasks, workers), 1):
        without += why is not None
        on_progress(number, len(tasks))
    return _Thumbs(files, len(tasks) - without, without)


def _write_page(db: Connection, subject: Subject, folder: ReportFolder) -> int:
    chunks, jobs = _write_chunks(db, folder)
    document: JsonValue = {
        **head_document(db, subject.commands, jobs),
        "files": _way_to(subject.results, folder),
        "bucket": bucket_shown(subject.results),
        "chunks": list(chunks),
    }
    head = folder.write_hashed("data", "head.js", head_script(document))
    night = night_of(lambda: attempt_times(db))
    write_page(folder, page_facts(db, subject.name, subject.made_at, night), head)
    return jobs


def _way_to(results: Location, folder: ReportFolder) -> str:
    """Return what leads a browser from the page to the originals; empty if nothing does."""
    if isinstance(results, BucketLocation):
        return ""
    way = os.path.relpath(results.root.absolute(), folder.root.absolute())
    return quote(way.replace(os.sep, "/")) + "/"


def bucket_shown(results: Location) -> str:
    """Return what the page shows before the path of a file in a bucket."""
    return results.of("") if isinstance(results, BucketLocation) else ""


def page_facts(db: Connection, name: str, at: float, night: Night | None) -> Facts:
    """`at` is in epoch seconds."""
    return Facts(name, count_visible(db), money(db), night, at)


def _pages(db: Connection) -> Iterator[list[ReportedJob]]:
    after = 0
    while page := reported_jobs(db, after, JOBS_IN_CHUNK):
        yield page
        after = page[-1].job.seq


def _missing_thumbs(
    db: Connection, results: Location, folder: ReportFolder
) -> tuple[int, list[ThumbnailTask]]:
    """Return the number of files, and the thumbnails that do not exist yet."""
    files, tasks = 0, {}
    results = results.absolute()
    for page in _pages(db):
        for file in (file for job in page for file in job.files):
            files += 1
            target = folder.thumb(thumb_name(file.sha256))
            folder.kept.add(target)
            if target not in tasks and not target.exists():
                tasks[target] = ThumbnailTask(results, file.path, str(target.absolute()))
    return files, list(tasks.values())


def _write_chunks(db: Connection, folder: ReportFolder) -> tuple[list[str], int]:
    names, jobs = [], 0
    for number, page in enumerate(_pages(db)):
        jobs += len(page)
        script = chunk_script(page, lambda sha256: folder.thumb(thumb_name(sha256)).exists())
        names.append(folder.write_hashed("data", f"jobs-{number:04}.js", script))
    return names, jobs


def head_document(db: Connection, commands: RunCommands, jobs: int) -> dict[str, JsonValue]:
    """Return what the page shows about the whole run; not where its parts are."""
    return {
        "jobs": jobs,
        "causes": _causes(db, commands),
        "commands": {
            "check": commands.command("check"),
            "rejected": commands.command("retry", "--state=rejected"),
        },
    }


def head_script(document: JsonValue) -> str:
    """Return the script that starts the page: figures, and where its chunks are."""
    return f"batchgen.begin({json.dumps(document, indent=1)});\n"


def _causes(db: Connection, commands: RunCommands) -> list[JsonValue]:
    found = causes(troubled_jobs(db))
    return [
        {
            "key": cause.key,
            "state": cause.state.value,
            "code": cause.code,
            "words": cause.message,
            "jobs": len(cause.jobs),
            "examples": list(cause.jobs[:5]),
            "command": rerun_command(cause, commands),
            "advice": advice(cause),
        }
        for cause in found[:SHOWN_CAUSES]
    ]
