"""A missing state does not mean a new run: what else an earlier run left, and what to do then.

Every request id is in the state before it is in run.log. So an id that is only in the log shows
that the state was deleted or emptied, lost its write-ahead log, or was restored from a backup.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NoReturn

from batchgen.downloads.media import EXTENSIONS
from batchgen.errors import LostStateError, MissingFileError
from batchgen.fs import disk_errors
from batchgen.runcomfy.base import usable_request_id
from batchgen.runs.journal import ACCEPTED, SUBMITTED, latest_line, read_requests, rows_of
from batchgen.runs.last_run import LastRunFile, is_lost, is_of, refuse_lost
from batchgen.runs.options import PLAIN
from batchgen.runs.recovery_log import read_recovery_log
from batchgen.state import recovery
from batchgen.state.database import reading, transaction
from batchgen.state.meta import Meta, get_meta, set_meta
from batchgen.storage.locations import FolderLocation
from batchgen.storage.results import open_results
from batchgen.storage.stamps import FILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batchgen.runs.context import RunContext
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.last_run import LastRun
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection
    from batchgen.storage.locations import Location


SHOWN = 5

_OWN = ("state.db", "state.db-wal", "state.db-shm", "files", "metadata.jsonl", "run.log")
_ASIDE = (*_OWN, "receipts.jsonl", "decisions.jsonl", "measures.db", "report")


@dataclass(frozen=True, slots=True)
class Traces:
    """What the state does not know of.

    `requests` are request ids and their jobs, in the order of the log; the submits of `unanswered`
    jobs may have been accepted; `files` is where there are results, but no state at all; `reused`:
    jobs took results of other runs.
    """

    requests: Mapping[str, str] = field(default_factory=dict)
    unanswered: tuple[str, ...] = ()
    files: str = ""
    reused: bool = False

    def __bool__(self) -> bool:
        return self.has_requests or bool(self.files)

    @property
    def has_requests(self) -> bool:
        return bool(self.requests or self.unanswered)


def find_traces(folder: RunFolder, db: Connection | None, results: Location) -> Traces:
    """Look for what the state in `db` (None: there is none) should know but does not.

    `results` is where files go. A state that knows the latest request of the log knows all of them.
    Raises OutputError or StorageError if a trace cannot be read, and BucketError.
    """
    attempted = db is not None and recovery.has_attempts(db)
    start = int(get_meta(db, Meta.LOG_FROM) or 0) if db is not None else 0
    if db is not None and attempted and _knows_the_latest(db, folder.log, start):
        return Traces()
    log = read_requests(folder, start)
    requests = log.requests | {
        one.request_id: one.job_id for one in read_recovery_log(folder.receipts)
    }
    if not attempted and log.is_real:
        # The log's requests keep their order, so the others go before them.
        came = _delivered(folder.metadata)
        requests = {name: job for name, job in came.items() if name not in requests} | requests
    unknown = {
        name: job
        for name, job in requests.items()
        if db is None or not recovery.is_known(db, name, job)
    }
    answered = set(requests.values())
    unanswered = tuple(
        job
        for job in log.unanswered
        if job not in answered and (db is None or not recovery.was_attempted(db, job))
    )
    holds_results = not attempted and log.is_real and _holds_results(results)
    files = _files_in(results) if holds_results else ""
    reused = any(db is None or not recovery.was_attempted(db, job) for job in log.reused)
    return Traces(unknown, unanswered, files, reused)


@contextmanager
def known_state(folder: RunFolder) -> Iterator[Connection | None]:
    """Open the state to read it; None if there is none. Raises as `reading` does.

    An empty file counts as none, and is not opened: SQLite would delete the log that belongs to it.
    """
    if _is_missing(folder):
        yield None
        return
    db: Connection | None = None
    with ExitStack() as held:
        with suppress(MissingFileError):
            db = held.enter_context(reading(folder.state))
        yield db


def _is_missing(folder: RunFolder) -> bool:
    with disk_errors(folder.state):
        return not folder.state.exists() or not folder.state.stat().st_size


def refuse_where_lost(folder: RunFolder, manifest: Path) -> None:
    """Raise LostStateError if there is no state although an earlier run was paid for.

    That is enough for commands that only read: the next run reports an older state.
    """
    if traces := find_traces(folder, None, FolderLocation(folder.root)):
        _refuse_traces(traces, folder, manifest, PLAIN)


def _refuse_traces(
    traces: Traces, folder: RunFolder, manifest: Path, options: RunOptions
) -> NoReturn:
    recovering = ""
    if traces.has_requests:
        # They were sent to the vendor: no rehearsal can follow them.
        command = options.command(manifest, "--recover", emulator=False)
        recovering = f"{command} follows these requests and pays nothing for them; "
    starts = "rehearses all jobs" if options.emulator else "pays for all jobs again"
    # No object is overwritten, and moving a million of them would take the night.
    elsewhere = "" if traces.files in {"", f"{FILES}/"} else "with another output.dir, "
    raise LostStateError(
        f"the state file does not know of {_what(traces)}; nothing was sent",
        where=str(folder.root),
        next_step=f"put state.db back from a backup; or continue without it:"
        f" {recovering}{elsewhere}{options.command(manifest, '--start-over')} {starts}, and moves"
        " what is here to a folder of its own",
    )


def _what(traces: Traces) -> str:
    words = []
    if count := len(traces.requests):
        shown = [f"{name} ({job})" for name, job in list(traces.requests.items())[:SHOWN]]
        more = f" and {count - SHOWN} more, see run.log" if count > SHOWN else ""
        noun = "request that was" if count == 1 else "requests that were"
        words.append(f"{count} {noun} accepted and may be paid for: {', '.join(shown)}{more}")
    if count := len(traces.unanswered):
        noun = "submit" if count == 1 else "submits"
        more = ", …" if count > SHOWN else ""
        words.append(
            f"{count} {noun} without an answer: {', '.join(traces.unanswered[:SHOWN])}{more}"
        )
    if traces.files:
        words.append(f"the results in {traces.files}")
    return "; and of ".join(words)


def set_aside(folder: RunFolder) -> Path | None:
    """Move what an earlier run left into `earlier-N`, so that nothing is overwritten.

    Returns None if there is nothing. The caller holds the lock. Raises OutputError or StorageError.
    """
    left = [folder.root / name for name in _ASIDE if os.path.lexists(folder.root / name)]
    if not left:
        return None
    number = 1
    with disk_errors(folder.root):
        while os.path.lexists(folder.root / f"earlier-{number}"):
            number += 1
        aside = folder.root / f"earlier-{number}"
        aside.mkdir(mode=0o700)
        for path in left:
            path.rename(aside / path.name)
    return aside


def keep_old_log(folder: RunFolder) -> None:
    """Keep the write-ahead log of a state that is gone: SQLite would delete it."""
    if not _is_missing(folder):
        return
    for ending in ("-wal", "-shm"):
        path = folder.state.with_name(folder.state.name + ending)
        with disk_errors(path), suppress(FileNotFoundError):
            path.rename(path.with_name(f"{path.name}.lost"))


def recover(db: Connection, folder: RunFolder, traces: Traces, at: float) -> dict[str, str]:
    """Give the requests back to their jobs, in one transaction; returns those that fit no job.

    A job whose answer is missing becomes unknown. This part of the log is not read again.
    """
    with disk_errors(folder.log):
        size = folder.log.stat().st_size if folder.log.exists() else 0
    with transaction(db):
        left = recovery.give_back(db, traces.requests, traces.unanswered, at)
        set_meta(db, Meta.LOG_FROM, str(size))
    return left


def _knows_the_latest(db: Connection, log: Path, start: int) -> bool:
    accept = latest_line(log, start, ACCEPTED)
    submit = latest_line(log, start, SUBMITTED)
    if accept and not recovery.is_known(db, str(accept["request_id"]), str(accept["job_id"])):
        return False
    # Not by the request id alone: the job may have a new one since.
    return not submit or recovery.was_attempted(db, str(submit["job_id"])) is not False


def _delivered(metadata: Path) -> dict[str, str]:
    """Requests whose files were downloaded, for when the log is gone too."""
    found: dict[str, str] = {}
    for row in rows_of(metadata):
        request_id, job = usable_request_id(row.get("request_id")), row.get("id")
        if request_id is not None and isinstance(job, str):
            found[request_id] = job
    return found


def _files_in(results: Location) -> str:
    return f"{FILES}/" if isinstance(results, FolderLocation) else results.of(FILES)


def _holds_results(results: Location) -> bool:
    names = open_results(results).names()
    return any(PurePosixPath(name).suffix in EXTENSIONS for name in names)


@dataclass(frozen=True, slots=True)
class Lost:
    """What the folder's state does not know of; `last` is a run that it does not have.

    `has_state`: there is a state; `older`: it belongs to that run, from before its last submits.
    """

    traces: Traces
    last: LastRun | None
    has_state: bool
    older: bool
    manifest: Path
    options: RunOptions

    def __bool__(self) -> bool:
        return bool(self.traces) or self.last is not None

    def refuse(self, folder: RunFolder) -> None:
        """Raise LostStateError if something is lost."""
        if self.traces:
            _refuse_traces(self.traces, folder, self.manifest, self.options)
        if self.last is not None:
            refuse_lost(self.last, folder, self.manifest, self.options, older=self.older)


def find_lost(place: RunContext, *, asks_bucket: bool) -> Lost:
    """Find what is lost; changes nothing. Raises as `reading` does, and BucketError."""
    world = place.world
    results = place.results if asks_bucket else FolderLocation(place.folder.root)
    with known_state(place.folder) as db:
        traces = find_traces(place.folder, db, results)
        # A rehearsal pays for nothing again.
        asked = not place.options.emulator
        last = LastRunFile(world.memory, place.manifest.path).last() if asked else None
        older = last is not None and db is not None and is_of(last, db)
        accepted = older and place.options.accept_copy
        lost = None if accepted or not is_lost(last, db) else last
        return Lost(traces, lost, db is not None, older, place.manifest.path, place.options)
