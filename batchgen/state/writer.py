"""The one writer: one writing connection, and group commit.

The changes that arrive while one fsync is under way share the next one: a hundred jobs that change
at once cost one fsync, not a hundred. A change is acknowledged only when its group is on the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from batchgen.errors import BatchgenError
from batchgen.state.database import translate, translated

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

T = TypeVar("T")
Change: TypeAlias = Callable[[sqlite3.Connection], T]

LARGEST_GROUP = 512
"""Changes in one commit; keeps the wait of the first one short."""

GATHERING = 0.005
"""Seconds between two commits while changes come from many tasks at once: that costs each of them
little time, and all of them together a third of the commits. A lone change never waits."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    change: Change[Any]
    done: asyncio.Future[Any]


class Writer:
    """Applies changes in the order of their arrival, many per commit.

    `executor` runs the commits, one at a time: a single thread, or the caller's own if a test wants
    no thread. `gathering`: as GATHERING.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        executor: Executor,
        gathering: float = GATHERING,
    ) -> None:
        self._connection = connection
        self._path = path
        self._executor = executor
        self._waiting: deque[_Waiting] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._broken: BatchgenError | None = None
        self._gathering = gathering
        self._gathering_until = 0.0

    async def run(self, change: Change[T]) -> T:
        """Apply `change` in a transaction; returns its value once that is durable.

        The change goes on even if the waiting task is cancelled. Raises what the change raises,
        and StorageError (or DiskFullError, DamagedStateError) if the commit failed: from then on,
        every change is refused, since a failed fsync must not be tried again.
        """
        if self._broken is not None:
            raise self._broken
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(change, done))
        if self._idle.is_set():
            self._idle.clear()
            self._commit_soon()
        return await done

    async def drain(self) -> None:
        """Wait until every change that was handed in is on the disk."""
        await self._idle.wait()

    def _commit_soon(self) -> None:
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= LARGEST_GROUP or loop.time() >= self._gathering_until:
            self._start_commit()
        else:
            loop.call_at(self._gathering_until, self._start_commit)

    def _start_commit(self) -> None:
        size = min(len(self._waiting), LARGEST_GROUP)
        group = [self._waiting.popleft() for _ in range(size)]
        commit = asyncio.get_running_loop().run_in_executor(
            self._executor, self._commit, [waiting.change for waiting in group]
        )
        commit.add_done_callback(partial(self._settle, group))

    def _commit(self, changes: Sequence[Change[Any]]) -> list[tuple[Any, BatchgenError | None]]:
        with translated(self._path):
            outcomes = self._apply_all(changes)
            self._connection.execute("COMMIT")
        return outcomes

    def _apply_all(self, changes: Sequence[Change[Any]]) -> list[tuple[Any, BatchgenError | None]]:
        """Failures are rare: only after one, the group is done again with a way back for each."""
        self._connection.execute("BEGIN IMMEDIATE")
        if len(changes) > 1:
            try:
                return [(change(self._connection), None) for change in changes]
            except (BatchgenError, sqlite3.IntegrityError):
                self._connection.execute("ROLLBACK")
                self._connection.execute("BEGIN IMMEDIATE")
        return [self._apply(change) for change in changes]

    def _apply(self, change: Change[Any]) -> tuple[Any, BatchgenError | None]:
        """Apply one change; if it fails, it alone is undone, and its group's others are kept."""
        self._connection.execute("SAVEPOINT change")
        outcome: tuple[Any, BatchgenError | None]
        try:
            outcome = change(self._connection), None
        except BatchgenError as exc:
            outcome = self._undo(exc)
        except sqlite3.IntegrityError as exc:
            outcome = self._undo(translate(exc, self._path))
        self._connection.execute("RELEASE change")
        return outcome

    def _undo(self, error: BatchgenError) -> tuple[None, BatchgenError]:
        self._connection.execute("ROLLBACK TO change")
        return None, error

    def _settle(
        self,
        group: Sequence[_Waiting],
        commit: asyncio.Future[list[tuple[Any, BatchgenError | None]]],
    ) -> None:
        failure = commit.exception()
        if failure is None:
            for waiting, (value, error) in zip(group, commit.result(), strict=True):
                _resolve(waiting.done, value, error)
        else:
            self._break(failure, group)
        together = len(group) > 1 or len(self._waiting) > 1
        now = asyncio.get_running_loop().time()
        self._gathering_until = now + self._gathering if together else 0.0
        if self._waiting:
            self._commit_soon()
        else:
            self._idle.set()

    def _break(self, failure: BaseException, group: Sequence[_Waiting]) -> None:
        """Nothing of the group is on the disk, and nothing more will be."""
        self._broken = _ours(failure)
        for waiting in (*group, *self._waiting):
            _resolve(waiting.done, None, self._broken)
        self._waiting.clear()


def _ours(failure: BaseException) -> BatchgenError:
    """A bug in one change must reach the others as an error they handle: receipts are kept."""
    if isinstance(failure, BatchgenError):
        return failure
    bug = BatchgenError(f"a change of the state failed unexpectedly: {failure!r}")
    bug.__cause__ = failure
    return bug


def _resolve(done: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(value)
    else:
        done.set_exception(error)
