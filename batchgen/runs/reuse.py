"""Results of other runs on this machine: found for a run.

What the index says is only a hint. The state of the source's run is read before a result is offered
(a person may have rejected it since), and its bytes are compared when they are taken.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from batchgen.concurrency import in_thread
from batchgen.engine.events import Warned
from batchgen.errors import BatchgenError, MissingFileError
from batchgen.jobs import digest_of
from batchgen.runs.ownership import known_run_id, recorded_provider
from batchgen.state.database import reading, translated
from batchgen.state.meta import Meta, get_meta
from batchgen.state.result_index import Entry, ResultIndex, work_key
from batchgen.state.reuse import (
    Source,
    files_to_reuse,
    may_reuse,
    used_keys,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batchgen.downloads.outcomes import VerifiedFile
    from batchgen.engine.events import Listener
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


def index_of(memory: Path | None) -> ResultIndex | None:
    """The index in the user's state folder; None for a user who has none."""
    return None if memory is None else ResultIndex(memory / "results.db")


@dataclass(frozen=True, slots=True)
class Choice:
    """A result for each job that can have one, by its number, and what stood in the way of others.

    `stale` entries lead to nothing any more. `unreadable` says why, by folder.
    """

    sources: Mapping[int, Source]
    stale: Sequence[Entry]
    unreadable: Mapping[str, BatchgenError]


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
    ) -> Choice:
        """A sound result for each job, none of them twice or `used`."""
        chosen: dict[int, Source] = {}
        stale: list[Entry] = []
        left = {key: iter(_by_origin(found).items()) for key, found in entries.items()}
        with _States() as states:
            for seq, work in jobs:
                for origin, copies in left.get(work_key(self.provider, work), iter(())):
                    if origin in used:
                        continue
                    found = [(one, states.source(one, self.provider, work)) for one in copies]
                    stale += [one for one, source in found if source is Refused.GONE]
                    source = _sound([source for _, source in found])
                    if source is not None and source.key not in used:
                        chosen[seq] = source
                        used |= {origin, source.key}
                        break
            return Choice(chosen, stale, states.unreadable)


def _by_origin(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """One result is in several runs where others have reused it."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.origin, []).append(entry)
    return found


class Refused(Enum):
    """Why an entry gives no result."""

    GONE = auto()
    UNREADABLE = auto()
    """Now; perhaps not later."""
    UNSOUND = auto()
    """A person rejected it, or a check found a flaw."""


def _sound(copies: Sequence[Source | Refused]) -> Source | None:
    """The first of these copies of one result; none if it was rejected in any run that has it."""
    if Refused.UNSOUND in copies:
        return None
    return next((one for one in copies if isinstance(one, Source)), None)


class _States(ExitStack):
    """The states of other runs, each opened once, to be read."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[str, Connection | BatchgenError] = {}
        self.unreadable: dict[str, BatchgenError] = {}

    def source(self, entry: Entry, provider: str, work: Work) -> Source | Refused:
        """The result of an entry."""
        db = self._state(entry.folder)
        if isinstance(db, BatchgenError):
            return self._refused(entry, db)
        try:
            # What is damaged there must not keep other runs' results from being found.
            with translated(Path(entry.folder) / "state.db"):
                if (known_run_id(db), recorded_provider(db)) != (entry.run, provider):
                    return Refused.GONE
                found = files_to_reuse(db, work, entry.job, entry.attempt)
                bucket = get_meta(db, Meta.RESULTS) or ""
        except BatchgenError as exc:
            return self._refused(entry, exc)
        if found is None:
            return Refused.GONE
        key, files = found
        if not files:
            return Refused.UNSOUND
        # A bucket is asked once the file is taken.
        if not bucket and not all(_is_there(entry.folder, one.file) for one in files):
            return Refused.GONE
        return Source(entry.folder, entry.run, entry.job, entry.attempt, key, files, bucket)

    def _refused(self, entry: Entry, error: BatchgenError) -> Refused:
        if isinstance(error, MissingFileError):
            return Refused.GONE
        self.unreadable.setdefault(entry.folder, error)
        return Refused.UNREADABLE

    def _state(self, folder: str) -> Connection | BatchgenError:
        if folder not in self._open:
            try:
                self._open[folder] = self.enter_context(reading(Path(folder) / "state.db"))
            except BatchgenError as exc:
                self._open[folder] = exc
        return self._open[folder]


def _is_there(folder: str, file: VerifiedFile) -> bool:
    try:
        return (Path(folder) / file.path).stat().st_size == file.bytes
    except OSError:
        return False


class ReusableResults:
    """The engine's port to the results of other runs. Each kind of trouble is warned of once."""

    def __init__(self, finder: Finder, store: Store, emit: Listener) -> None:
        self._finder = finder
        self._store = store
        self._emit = emit
        self._warned: set[str] = set()

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
            choice = await in_thread(partial(self._finder.choose, wanted, entries, used))
            if choice.stale:
                await in_thread(partial(self._finder.index.drop, choice.stale))
        except BatchgenError as exc:
            self._warn("other runs", f"{self._finder.index.path}: {exc.what}")
            return {}
        for folder, error in choice.unreadable.items():
            self._warn(folder, error.what)
        return choice.sources

    async def drop(self, source: Source) -> None:
        try:
            await in_thread(partial(self._finder.index.drop_job, source.folder, source.job))
        except BatchgenError as exc:
            self._warn("other runs", f"{self._finder.index.path}: {exc.what}")

    def _warn(self, whose: str, why: str) -> None:
        if whose not in self._warned:
            self._warned.add(whose)
            self._emit(Warned(f"results of {whose} are not reused: {why}"))


async def reuse_first(reuse: Reuse, store: Store, workload: Workload) -> int:
    """Before anything is checked or paid: the due jobs take what other runs have. How many."""
    count = 0
    for model in workload.models:
        after = None
        while page := await store.due_page(model, workload.selection, after, PAGE):
            count += len(await reuse.begin(page))
            after = page[-1].due_key
    return count


def finder_of(context: RunContext, db: Connection) -> Finder | None:
    index, folder = index_of(context.world.memory), folder_text(context.folder.root)
    if index is None or folder is None:
        return None
    return Finder(index, context.provider, known_run_id(db), folder)


def folder_text(root: Path) -> str | None:
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
    chosen = finder.choose(wanted, entries, used).sources
    taken |= {source.key for source in chosen.values()}
    for number, model, body in page:
        if number in chosen:
            found.setdefault(model, []).append(body)
