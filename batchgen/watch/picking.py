"""What people say in the page → decisions. Many keys in a row become one: each costs an fsync."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchgen.errors import BatchgenError, UsageError
from batchgen.state.files import result_numbered
from batchgen.state.report_queries import numbers_of, rejected_among
from batchgen.watch.events import rows_document
from batchgen.watch.ports import Said, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchgen.jobs import JsonValue
    from batchgen.state.database import Connection
    from batchgen.watch.ports import Heard, Ports
    from batchgen.watch.watching import Watching

MOST_WORDS = 10_000
PATIENCE = 15.0
"""Seconds between two looks at a view that does not change."""
MOST_KEY = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Pick:
    """A word about the file that the page knows by this key."""

    word: Word
    file: int


@dataclass(frozen=True, slots=True)
class Approval:
    """A word about a job's latest result, as the page saw it."""

    job_id: str
    attempt: int


def parse_words(document: Any) -> list[Pick | Approval]:
    """Read what a page sent. Raises UsageError for what no page of ours sends."""
    try:
        words = [_parse(one) for one in document["words"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise UsageError("these are no picks") from exc
    if not 0 < len(words) <= MOST_WORDS:
        raise UsageError(f"1 to {MOST_WORDS} picks can be taken at once")
    return words


def _parse(one: Any) -> Pick | Approval:
    word = Word(one["word"])
    key, number = ("job", "attempt") if word is Word.APPROVE else (None, "file")
    if type(one[number]) is not int or not 0 < one[number] <= MOST_KEY:
        raise ValueError(number)
    if key is None:
        return Pick(word, one[number])
    if not isinstance(one[key], str):
        raise TypeError(key)
    # A text that no state can hold is nobody's id: a lone surrogate raises here.
    one[key].encode()
    return Approval(one[key], one[number])


def resolve(db: Connection, words: Sequence[Pick | Approval]) -> tuple[list[Said], list[str]]:
    """Name each by job, attempt and position; and say which files are no more.

    An approval sets going what is paid for, and a key asks nothing: not of a rejected result.
    """
    said, objections = [], []
    approved = [one.job_id for one in words if isinstance(one, Approval)]
    rejected = rejected_among(db, approved) if approved else ()
    for one in words:
        if isinstance(one, Approval):
            if one.job_id in rejected:
                objections.append(f"{one.job_id} is rejected: keep it first, then approve it")
                continue
            said.append(Said(Word.APPROVE, one.job_id, one.attempt, None))
        elif (file := result_numbered(db, one.file)) is None:
            objections.append(f"file {one.file} is not there any more")
        else:
            said.append(Said(one.word, file.job_id, file.attempt, file.position))
    return said, objections


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a page's decisions: `rows` are those of the jobs, read after the decision."""

    handed: bool
    objections: list[str]
    rows: dict[str, JsonValue] | None = None


class Picking:
    """Takes words from all pages, and decides them together, in the order in which they came."""

    def __init__(self, watching: Watching, ports: Ports) -> None:
        self._watching = watching
        self._ports = ports
        self._waiting: list[tuple[Sequence[Said], asyncio.Future[Heard]]] = []
        self._bell = asyncio.Event()
        self._handed = asyncio.Event()

    async def take(self, words: Sequence[Pick | Approval]) -> Answer:
        """Give back what became of them once it is on the disk. Raises BatchgenError."""
        said, unknown = await self._watching.reader.ask(resolve, words)
        if not said:
            return Answer(False, unknown)
        future: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        self._waiting.append((said, future))
        self._bell.set()
        # A page that leaves takes nothing back.
        heard = await asyncio.shield(future)
        mine = set(said)
        objections = [why for one, why in heard.objections if one in mine]
        rows = None if heard.handed else await self._rows({one.job_id for one in said})
        return Answer(heard.handed, objections + unknown, rows)

    async def _rows(self, job_ids: set[str]) -> dict[str, JsonValue] | None:
        """The jobs as they are now; None where they cannot be read: the look tells why."""
        # Of a look before this reading: what changes from now on is sent again.
        moment = self._watching.view.moment
        try:
            return await self._watching.reader.ask(
                lambda db: rows_document(db, numbers_of(db, job_ids), moment)
            )
        except BatchgenError:
            return None

    async def run(self) -> None:
        """Decide, until cancelled; what was taken up is finished first."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            batch, self._waiting = self._waiting, []
            deciding = asyncio.create_task(self._decide(batch), name="decide what was picked")
            try:
                await asyncio.shield(deciding)
            except asyncio.CancelledError:
                await deciding
                raise

    async def _decide(self, batch: Sequence[tuple[Sequence[Said], asyncio.Future[Heard]]]) -> None:
        said = [one for words, _ in batch for one in words]
        # What is said here is on the disk first: where it is not done, the next run does it.
        try:
            async with self._watching.doors_lock:
                heard = await asyncio.to_thread(self._ports.decide, said)
        except BatchgenError as exc:
            for _, future in batch:
                future.set_exception(exc)
                # The page may have left: then nobody asks for it.
                future.exception()
            return
        for _, future in batch:
            future.set_result(heard)
        if heard.handed:
            self._handed.set()
        self._watching.look_soon()

    async def settle(self) -> None:
        """Do what a runner was handed in its last moment and did not do; until the server ends."""
        while True:
            await self._handed.wait()
            while (view := self._watching.view).at_work is not False:
                await self._watching.turned(view, PATIENCE)
                # From then on nobody is kept waiting; the next run takes up what was said.
                if self._watching.stopped:
                    return
            self._handed.clear()
            await self._decide([])
