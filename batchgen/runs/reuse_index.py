"""Keeps the index of results up to date while a run goes on, and makes it anew."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.concurrency import in_thread
from batchgen.engine.events import FileSaved, Warned
from batchgen.errors import BatchgenError, DamagedStateError, MissingFileError, OutputError
from batchgen.runs.append_log import json_line
from batchgen.runs.ownership import known_run_id, recorded_provider
from batchgen.runs.reuse import folder_text
from batchgen.state.database import reading
from batchgen.state.result_index import Entry, work_key
from batchgen.state.reuse import finished_results, latest_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from batchgen.engine.events import Event, Listener
    from batchgen.runs.reuse import Finder
    from batchgen.state.database import Connection
    from batchgen.state.result_index import ResultIndex
    from batchgen.state.store import Store

FLUSH_EVERY = 5.0
"""Seconds between two writes to the index."""
LATEST = 500
"""Files of earlier runs of this state that each run writes to the index once more."""


@dataclass(slots=True)
class _Keeper:
    finder: Finder
    store: Store
    emit: Listener
    _new: set[int] = field(default_factory=set)
    _failed: bool = False

    def on_event(self, event: Event) -> None:
        if isinstance(event, FileSaved):
            self._new.add(event.file.seq)

    async def work(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            await self.flush()

    async def flush(self) -> None:
        new, self._new = self._new, set()
        if not new or self._failed:
            return
        entries = await self.store.run(self._entries, sorted(new))
        try:
            await in_thread(partial(self._add, entries))
        except BatchgenError as exc:
            self._failed = True
            where = self.finder.index.path
            self.emit(
                Warned(
                    f"the index of results cannot be written: {where}: {exc.what};"
                    " `batchgen index` makes it anew"
                )
            )

    def _entries(self, db: Connection, seqs: Sequence[int]) -> list[Entry]:
        return [*_entries_of(db, self.finder.folder, seqs)]

    def _add(self, entries: Sequence[Entry]) -> None:
        _make_folder(self.finder.index)
        self.finder.index.add(entries)


def _make_folder(index: ResultIndex) -> None:
    # Where this fails, opening the index says why.
    with suppress(OSError):
        index.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _entries_of(db: Connection, folder: str, seqs: Sequence[int] | None = None) -> Iterator[Entry]:
    provider, run = recorded_provider(db), known_run_id(db) or ""
    for one in finished_results(db, seqs):
        key = work_key(provider, one.work)
        yield Entry(key, folder, run, one.job, one.attempt, one.key)


@asynccontextmanager
async def index_kept_up(
    finder: Finder | None, store: Store, emit: Listener
) -> AsyncIterator[Listener]:
    """Gives a listener; what it sees saved is in the index a little later, and at the end."""
    if finder is None:
        yield _ignore
        return
    # A run that was killed has not written its last ones.
    latest = await store.run(latest_files, LATEST)
    keeper = _Keeper(finder, store, emit, latest)
    task = asyncio.create_task(keeper.work(), name="index")
    try:
        yield keeper.on_event
    finally:
        task.cancel()
        await asyncio.wait({task})
        # Of a state that has failed nothing can be read.
        with suppress(BatchgenError):
            await keeper.flush()


def _ignore(_: Event) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`runs` were read; `skipped` are folders, each with the reason."""

    results: int
    runs: int
    skipped: tuple[tuple[str, str], ...]


def rebuild_index(index: ResultIndex, memory: Path, folders: Sequence[Path]) -> Rebuilt:
    """Make the index anew, from the runs that are remembered and those in the named folders.

    Raises MissingFileError for a named folder that does not exist, and the tree's errors.
    """
    roots = dict.fromkeys(root for folder in folders for root in _runs_below(folder))
    roots |= dict.fromkeys([*_remembered(memory), *_indexed(index)])
    skipped: list[tuple[str, str]] = []
    runs: list[str] = []
    _make_folder(index)
    try:
        count = index.replace(_all_entries(roots, runs, skipped))
    except OutputError as exc:
        raise OutputError(
            "the index of results cannot be written",
            where=str(index.path),
            next_step="check the folder and its permissions, or set XDG_STATE_HOME",
        ) from exc
    except DamagedStateError:
        # The index itself: what is wrong with a run's state only skips the run.
        index.remove()
        runs.clear()
        skipped.clear()
        count = index.replace(_all_entries(roots, runs, skipped))
    return Rebuilt(count, len(runs), tuple(skipped))


def _all_entries(
    roots: Iterable[str], runs: list[str], skipped: list[tuple[str, str]]
) -> Iterator[Entry]:
    for root in roots:
        try:
            with reading(Path(root) / "state.db") as db:
                yield from _entries_of(db, root)
        except BatchgenError as exc:
            skipped.append((root, exc.what))
        else:
            runs.append(root)


def _runs_below(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise MissingFileError("there is no such folder", where=str(folder))
    for state in sorted(folder.rglob("state.db")):
        if (root := folder_text(state.parent)) is not None:
            yield root


def _indexed(index: ResultIndex) -> list[str]:
    # A broken index is what this is called for.
    with suppress(BatchgenError):
        return index.folders()
    return []


def _remembered(memory: Path) -> Iterator[str]:
    for path in sorted((memory / "runs").glob("*.json")):
        with suppress(OSError):
            row = json_line(path.read_bytes()) or {}
            if isinstance(folder := row.get("folder"), str):
                yield folder
