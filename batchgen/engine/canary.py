"""First one job of a sweep, or a few: the others follow once those are done.

A first job that goes wrong holds its own sweep. All else goes on, and the run pauses when nothing
else is left to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.engine.events import Warned
from batchgen.jobs import JobState
from batchgen.pauses import PauseReason, pause_for
from batchgen.state.due import under_way
from batchgen.state.queries import job_numbered

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchgen.engine.control import Control
    from batchgen.state.queries import Selection
    from batchgen.state.records import JobRow
    from batchgen.state.store import Store

BAD_ENDS = {
    JobState.FAILED: "failed",
    JobState.CANCELLED: "was cancelled",
    JobState.LOST: "was lost",
    JobState.BLOCKED: "is blocked",
    JobState.UNKNOWN: "has an outcome that cannot be known",
}
"""Ends that prove nothing, in words."""

MOST_NAMED = 5
"""Sweeps that a pause names."""


@dataclass(slots=True)
class Trial:
    """A sweep of one model that is not proven yet.

    `members` are the jobs that went first, by their numbers; `earlier` are those of them that an
    earlier run sent, `done` those that are done. `failed` says how others ended.
    """

    model: str
    sweep: str
    members: set[int] = field(default_factory=set)
    earlier: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)

    def takes(self, seq: int, most: int) -> bool:
        """Whether this job may go now: as one of the first `most`."""
        return seq in self.members or len(self.members) < most


class Canary:
    """Holds the sweeps of a run that no job of theirs has proven yet. `count` 0: holds none.

    A sweep with fewer jobs than `count` never opens and need not: each of its jobs is a first one.
    `on_change` is called when other jobs may be submitted than before.
    """

    def __init__(
        self,
        count: int,
        store: Store,
        selection: Selection,
        control: Control,
        on_change: Callable[[], None],
    ) -> None:
        self._count = count
        self._store = store
        self._selection = selection
        self._control = control
        self._on_change = on_change
        self._closed: dict[tuple[str, str], Trial] = {}
        self._opened: set[tuple[str, str]] = set()

    async def refresh(self) -> None:
        """Close every sweep that has no result. New ones may come while a run goes on."""
        if not self._count:
            return
        unproven = await self._store.unproven_sweeps()
        new = sorted(unproven - self._opened - self._closed.keys())
        if new:
            self._closed.update((key, Trial(*key)) for key in new)
            self._on_change()

    async def begin(self) -> None:
        """Jobs of an earlier run are on trial already: their results prove a sweep as well."""
        await self.refresh()
        if not self._closed:
            return
        for seq, model, sweep in await self._store.run(under_way):
            if trial := self._closed.get((model, sweep)):
                trial.members.add(seq)
                trial.earlier.add(seq)

    def closed(self, model: str) -> frozenset[str]:
        return frozenset(sweep for of, sweep in self._closed if of == model)

    def holds_back(self, job: JobRow) -> bool:
        """Whether this job has to wait until others of its sweep are done."""
        trial = self._closed.get((job.model, job.sweep))
        return trial is not None and not trial.takes(job.seq, self._count)

    async def first_jobs(self, model: str) -> list[JobRow]:
        """The due jobs of closed sweeps that may go before those are open."""
        found = []
        for trial in [one for one in self._closed.values() if one.model == model]:
            for job in await self._first_due(trial, self._count):
                if trial.takes(job.seq, self._count):
                    trial.members.add(job.seq)
                    found.append(job)
        return found

    async def _first_due(self, trial: Trial, count: int) -> list[JobRow]:
        return await self._store.first_due(trial.model, trial.sweep, self._selection, count)

    async def on_outcome(self, seq: int) -> None:
        """A job ended: that may open its sweep, or hold it for this run."""
        trial = next((one for one in self._closed.values() if seq in one.members), None)
        if trial is None:
            return
        now = await self._store.run(job_numbered, seq)
        trial.failed.pop(seq, None)
        if now.state is JobState.DONE:
            trial.done.add(seq)
            if len(trial.done) >= self._count:
                self._open(trial)
        elif now.state in BAD_ENDS and seq in trial.earlier:
            # No reason to pause: a lost request is asked for by each run, and would halt each.
            trial.members.discard(seq)
            self._on_change()
        elif now.state in BAD_ENDS:
            trial.failed[seq] = self._describe(trial, now)
            if await self._waiting(trial):
                self._control.emit(Warned(f"{trial.failed[seq]}; the others wait"))

    def _open(self, trial: Trial) -> None:
        key = (trial.model, trial.sweep)
        self._opened.add(key)
        self._closed.pop(key, None)
        self._on_change()

    async def pause_if_held(self) -> None:
        """Nothing else is left to do: where first jobs are not done, pause and say which."""
        held = [one for one in tuple(self._closed.values()) if await self._waiting(one)]
        if not held:
            return
        why = [reason for one in held for reason in self._reasons(one)]
        more = [f"and {len(why) - MOST_NAMED} more"] if len(why) > MOST_NAMED else []
        self._control.pause(
            pause_for(PauseReason.CANARY, why="; ".join([*why[:MOST_NAMED], *more]))
        )

    async def _waiting(self, trial: Trial) -> bool:
        """Whether another job of the sweep is due and held."""
        due = await self._first_due(trial, self._count + 1)
        return any(job.seq not in trial.members for job in due)

    def _reasons(self, trial: Trial) -> list[str]:
        undone = f"{self._name(trial)} is not done yet, and the others wait for it"
        return list(trial.failed.values()) or [undone]

    def _describe(self, trial: Trial, now: JobRow) -> str:
        why = f": {now.trouble}" if now.trouble else ""
        return f"{self._name(trial)} {BAD_ENDS[now.state]}{why}"

    def _name(self, trial: Trial) -> str:
        model = trial.model.rsplit("/", 1)[-1]
        first = "the first job" if self._count == 1 else f"one of the first {self._count} jobs"
        return f"{first} of {trial.sweep} ({model})" if trial.sweep else f"{first} of {model}"
