"""Results of other runs on this machine: found for a run, and kept findable by it.

What the index says is only a hint. The state of the source's run is read before a result is offered
(a person may have rejected it since), and its bytes are compared when they are taken.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from batchgen.concurrency import in_thread
from batchgen.engine.events import FileSaved, Warned
from batchgen.errors import BatchgenError, MissingFileError
from batchgen.runs.append_log import json_line
from batchgen.runs.ownership import known_run_id, recorded_provider
from batchgen.state.database import reading
from batchgen.state.result_index import Entry, ResultIndex, work_key
from batchgen.state.reuse import (
    Source,
    files_to_reuse,
    finished_results,
    may_reuse,
    used_keys,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

    from batchgen.engine.events import Event, Listener
    from batchgen.engine.reuse import Reuse
    from batchgen.runs.context import RunContext
    from batchgen.runs.workload import Workload
    from batchgen.state.database import Connection
    from batchgen.state.planned import Outlook
    from batchgen.state.records import JobRow
    from batchgen.state.reuse import Work
    from batchgen.state.store import Store

Wanted: TypeAlias = "tuple[int, Work]"
"""The number of a job, and what it asks for."""

PAGE = 200
FLUSH_EVERY = 5.0
"""Seconds between two writes to the index."""


def digest_of(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def index_of(memory: Path | None) -> ResultIndex | None:
    """The index in the user's state folder; None for a user who has none."""
    return None if memory is None else ResultIndex(memory / "results.db")


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds results for one run: its `provider`, the id of its state, and its folder."""

    index: ResultIndex
    provider: str
    run: str | None
    folder: str

    def entries(self, jobs: Iterable[Wanted]) -> dict[str, list[Entry]]:
        """What the index has for these jobs, but not of this very run."""
        found = self.index.find(work_key(self.provider, work) for _, work in jobs)
        return {
            key: [one for one in entries if one.run != self.run and one.folder != self.folder]
            for key, entries in found.items()
        }

    def choose(
        self, jobs: Iterable[Wanted], entries: Mapping[str, Sequence[Entry]], used: set[str]
    ) -> tuple[dict[int, Source], list[Entry]]:
        """A sound result for each job, none of them twice or `used`; and entries that are stale."""
        chosen: dict[int, Source] = {}
        stale: list[Entry] = []
        left = {key: iter(found) for key, found in entries.items()}
        with _States() as states:
            for seq, work in jobs:
                for entry in left.get(work_key(self.provider, work), iter(())):
                    if entry.origin in used:
                        continue
                    source = states.source(entry, self.provider, work)
                    if isinstance(source, Source) and source.key not in used:
                        chosen[seq] = source
                        used |= {entry.origin, source.key}
                        break
                    if source is None:
                        stale.append(entry)
        return chosen, stale


class _States(ExitStack):
    """The states of other runs, each opened once, to be read."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[str, Connection | BatchgenError] = {}

    def source(self, entry: Entry, provider: str, work: Work) -> Source | bool | None:
        """The result of an entry; None: there is none any more; False: not this one, or not now."""
        db = self._state(entry.folder)
        if isinstance(db, BatchgenError):
            return None if isinstance(db, MissingFileError) else False
        try:
            if (known_run_id(db), recorded_provider(db)) != (entry.run, provider):
                return None
            found = files_to_reuse(db, work, entry.job, entry.attempt)
        except BatchgenError:
            return False
        if found is None:
            return None
        key, files = found
        if not files:
            return False
        for one in files:
            try:
                size = (Path(entry.folder) / one.file.path).stat().st_size
            except OSError:
                return None
            if size != one.file.bytes:
                return None
        return Source(entry.folder, entry.run, entry.job, entry.attempt, key, files)

    def _state(self, folder: str) -> Connection | BatchgenError:
        if folder not in self._open:
            try:
                self._open[folder] = self.enter_context(reading(Path(folder) / "state.db"))
            except BatchgenError as exc:
                self._open[folder] = exc
        return self._open[folder]


class ReusableResults:
    """The engine's port to the results of other runs. Trouble with the index is warned of once."""

    def __init__(self, finder: Finder, store: Store, emit: Listener) -> None:
        self._finder = finder
        self._store = store
        self._emit = emit
        self._warned = False

    async def find(self, jobs: Sequence[JobRow]) -> Mapping[int, Source]:
        wanted = [(job.seq, (job.model, digest_of(job.body))) for job in jobs]
        try:
            entries = await in_thread(partial(self._finder.entries, wanted))
            if not entries:
                return {}
            provider = self._finder.provider
            wanted = [one for one in wanted if work_key(provider, one[1]) in entries]
            digests = [(seq, digest) for seq, (_, digest) in wanted]
            allowed = await self._store.run(may_reuse, digests)
            origins = [one.origin for found in entries.values() for one in found]
            used = await self._store.run(used_keys, origins)
            wanted = [one for one in wanted if one[0] in allowed]
            chosen, stale = await in_thread(partial(self._finder.choose, wanted, entries, used))
            if stale:
                await in_thread(partial(self._finder.index.drop, stale))
        except BatchgenError as exc:
            self._warn(exc)
            return {}
        return chosen

    async def drop(self, source: Source) -> None:
        try:
            await in_thread(partial(self._finder.index.drop_job, source.folder, source.job))
        except BatchgenError as exc:
            self._warn(exc)

    def _warn(self, exc: BatchgenError) -> None:
        if not self._warned:
            self._warned = True
            where = self._finder.index.path
            self._emit(Warned(f"results of other runs are not reused: {where}: {exc.what}"))


async def reuse_first(reuse: Reuse, store: Store, workload: Workload) -> int:
    """Before anything is checked or paid: the due jobs take what other runs have. How many."""
    count = 0
    for model in workload.models:
        after = None
        while page := await store.due_page(model, workload.selection, after, PAGE):
            count += len(await reuse.begin(page))
            after = (page[-1].priority, page[-1].seq)
    return count


def finder_of(context: RunContext, db: Connection) -> Finder | None:
    index, folder = index_of(context.world.memory), _folder_text(context.folder.root)
    if index is None or folder is None:
        return None
    return Finder(index, context.provider, known_run_id(db), folder)


def _folder_text(root: Path) -> str | None:
    """None for a name that is no text: it cannot be stored."""
    text = str(root.absolute())
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text


def count_reusable(finder: Finder, outlook: Outlook) -> dict[str, list[str]]:
    """For a plan: by model, the inputs of the jobs that would take a result."""
    found: dict[str, list[str]] = {}
    taken: set[str] = set()
    page: list[tuple[int, str, str]] = []
    for job in outlook.due_for_reuse():
        page.append(job)
        if len(page) == PAGE:
            _count_page(finder, outlook, page, taken, found)
            page = []
    _count_page(finder, outlook, page, taken, found)
    return found


def _count_page(
    finder: Finder,
    outlook: Outlook,
    page: Sequence[tuple[int, str, str]],
    taken: set[str],
    found: dict[str, list[str]],
) -> None:
    wanted: list[Wanted] = [(number, (model, digest_of(body))) for number, model, body in page]
    entries = finder.entries(wanted)
    origins = [one.origin for several in entries.values() for one in several]
    used = used_keys(outlook.db, origins) | taken
    chosen, _ = finder.choose(wanted, entries, used)
    taken |= {source.key for source in chosen.values()}
    for number, model, body in page:
        if number in chosen:
            found.setdefault(model, []).append(body)


# Kept findable.


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
    keeper = _Keeper(finder, store, emit)
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
        if (root := _folder_text(state.parent)) is not None:
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
