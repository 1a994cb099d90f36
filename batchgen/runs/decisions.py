"""A person's decisions, from a command: handed to the run in progress, or applied here."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from batchgen.errors import LockedError
from batchgen.runs.decision_log import (
    Applied,
    Decision,
    append_decisions,
    apply_page,
    has_new,
)
from batchgen.runs.folder import locked
from batchgen.runs.ownership import refuse_copy
from batchgen.runs.recovery_log import settle_dead_run
from batchgen.state.database import open_for_writing, reading, transaction, translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection


PATIENCE = 0.2
"""Seconds to wait for the lock. Another decision, or a check for an active runner, may hold it for
a moment, and neither would apply this decision."""


class Counted:
    """Passes decisions on and counts them, so that nobody has to keep a million of them."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._decisions = decisions
        self.count = 0

    def __iter__(self) -> Iterator[Decision]:
        for one in self._decisions:
            self.count += 1
            yield one


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of the decisions, as they are applied; what is left is applied at the end.

    The state may be written while the lock is held.
    """

    db: Connection
    applied: Iterator[Applied]


@contextmanager
def decide(
    folder: RunFolder, manifest: Path, decisions: Iterable[Decision], at: float | None = None
) -> Iterator[Decided | None]:
    """Write the decisions down and apply them; None if the active runner will apply them.

    They are written first: whatever happens here, they take effect with the next run at the latest.
    A copied state is refused with CopiedStateError: it may not know the request in question. Older
    decisions are applied as well; only the given ones are returned. `at` is now, in epoch seconds:
    give it if there are no `decisions`, to apply only older ones.
    """
    with reading(folder.state) as known:
        refuse_copy(known, folder, manifest)
    written = append_decisions(folder.decisions, decisions)
    with ExitStack() as held:
        try:
            held.enter_context(runner_lock(folder, PATIENCE))
        except LockedError:
            yield None
            return
        db = held.enter_context(closing(open_for_writing(folder.state)))
        with translated(folder.state):
            with transaction(db):
                # No runner is active: submits that the last one left unfinished are unknown.
                settle_dead_run(db, folder, written.latest if at is None else at)
            ours = (one for one in _apply_all(db, folder) if written.has(one))
            first = next(ours, None)
            if first is None and written.count:
                # Another command has just applied them with its own.
                yield None
                return
            try:
                yield Decided(db, ours if first is None else chain((first,), ours))
            finally:
                _finish(ours)


def settle(db: Connection, folder: RunFolder, at: float) -> None:
    """Settle what a dead run left, then apply the decisions, in the caller's transaction."""
    settle_dead_run(db, folder, at)
    while apply_page(db, folder.decisions).more:
        pass


def _apply_all(db: Connection, folder: RunFolder) -> Iterator[Applied]:
    more = True
    while more:
        with transaction(db):
            page = apply_page(db, folder.decisions)
        yield from page.applied
        more = page.more


def _finish(applied: Iterator[Applied]) -> None:
    deque(applied, maxlen=0)


@contextmanager
def runner_lock(folder: RunFolder, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock, and afterwards apply decisions that were handed over at the last moment.

    A command writes its decisions first and then tries the lock. If it finds the lock held, its
    decisions were written before the release, so they are seen here. Raises LockedError,
    OutputError.
    """
    with locked(folder, patience):
        yield
    with translated(folder.state):
        _take_up_rest(folder)


def _take_up_rest(folder: RunFolder) -> None:
    with reading(folder.state) as known:
        if not has_new(known, folder.decisions):
            return
    with ExitStack() as held:
        held.enter_context(suppress(LockedError))  # the next runner applies it
        held.enter_context(locked(folder, PATIENCE))
        db = held.enter_context(closing(open_for_writing(folder.state)))
        _finish(_apply_all(db, folder))
