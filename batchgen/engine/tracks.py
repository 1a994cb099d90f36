"""The models of a run: each with its lane and its due jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.engine.limits import Gate
from batchgen.engine.pending import PendingQueue
from batchgen.engine.trouble import Lane
from batchgen.engine.turns import Head
from batchgen.state.queries import pending_models

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from batchgen.engine.canary import Canary
    from batchgen.engine.expectations import Expectations
    from batchgen.engine.policy import EnginePolicy
    from batchgen.state.queries import Selection
    from batchgen.state.store import Store


@dataclass(frozen=True, slots=True)
class Track:
    """A model's lane together with its due jobs."""

    lane: Lane
    jobs: PendingQueue

    async def head(self, too_dear: Container[str]) -> Head | None:
        """What would start next; None where there is no work, or none that can be paid."""
        if self.lane.refused:
            self.jobs.clear()
        await self.jobs.refill()
        if not self.jobs or self.lane.model in too_dear:
            return None
        return Head(self.lane.gate, self.jobs.priority)


class Tracks:
    """In the order in which they were opened, which decides among equal priorities."""

    def __init__(
        self,
        store: Store,
        policy: EnginePolicy,
        selection: Selection,
        canary: Canary,
        expectations: Expectations,
    ) -> None:
        self._store = store
        self._policy = policy
        self._selection = selection
        self._canary = canary
        self._expectations = expectations
        self._tracks: dict[str, Track] = {}

    def all(self) -> tuple[Track, ...]:
        return tuple(self._tracks.values())

    async def open(self, model: str) -> Track:
        if model not in self._tracks:
            policy = self._policy.lane(model)
            lane = Lane(model, Gate(policy.limit, policy.interval))
            jobs = PendingQueue(lane, self._selection, self._store, self._canary)
            self._tracks[model] = Track(lane, jobs)
            if (seconds := await self._store.expected_seconds(model)) is not None:
                self._expectations.suppose(model, seconds)
        return self._tracks[model]

    async def open_all(self, models: Iterable[str] = ()) -> None:
        """These, and every model of a pending job: it may become due while the run goes on."""
        for model in (*models, *await self._store.run(pending_models)):
            await self.open(model)

    def rewind(self) -> None:
        """Jobs became due behind the readers."""
        for track in self._tracks.values():
            track.jobs.rewind()
