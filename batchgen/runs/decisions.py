"""A person's decisions, from a command: handed to the run in progress, or applied here."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.errors import LockedError
from batchgen.runs.decision_log import (
    Applied,
    Decision,
    append_decisions,
    apply_new,
    apply_page,
    has_new,
)
from batchgen.runs.folder import locked
from batchgen.runs.ownership import refuse_copy
from batchgen.runs.recovery_log import settle_dead_run
from batchgen.state.database import open_for_writing, reading, transaction, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection


PATIENCE = 0.2
"""Seconds to wait for the lock. Another decision, or a check for an active runner, may hold it for
a moment, and neither would apply this decision."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of the decisions; the state may be written while the lock is held."""

    db: Connection
    applied: tuple[Applied, ...]


@contextmanager
def decide(
    folder: RunFolder, manifest: Path, decisions: Sequence[Decision], at: float | None = None
) -> Iterator[Decided | None]:
    """Write the decisions down and apply them; None if the active runner will apply them.

    They are written first: whatever happens here, they take effect with the next run at the latest.
    A copied state is refused with CopiedStateError: it may not know the request in question. Older
    decisions are applied as well; only the given ones are returned. `at` is now, in epoch seconds:
    give it if there are no `decisions`, to apply only older ones.
    """
    now = max((one.at for one in decisions), default=0.0) if at is None else at
    with reading(folder.state) as known:
        refuse_copy(known, folder, manifest)
    append_decisions(folder.decisions, decisions)
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
                settle_dead_run(db, folder, now)
            applied = _apply_all(db, folder)
            yield _told_of(db, decisions, applied)


def settle(db: Connection, folder: RunFolder, at: float) -> None:
    """Settle what a dead run left, then apply the decisions, in the caller's transaction."""
    settle_dead_run(db, folder, at)
    apply_new(db, folder.decisions)


def _apply_all(db: Connection, folder: RunFolder) -> list[Applied]:
    applied: list[Applied] = []
    more = True
    while more:
        with transaction(db):
            page = apply_page(db, folder.decisions)
        applied += page.applied
        more = page.more
    return applied


def _told_of(
    db: Connection, decisions: Sequence[Decision], applied: Sequence[Applied]
) -> Decided | None:
    """None if another command has just applied them with its own."""
    wanted = {_key(one) for one in decisions}
    found = tuple(one for one in applied if _key(one.decision) in wanted)
    return Decided(db, found) if found or not decisions else None


def _key(one: Decision) -> tuple[float, str, str, int | None]:
    return one.at, one.verb, one.job_id, one.position


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
        _apply_all(db, folder)
