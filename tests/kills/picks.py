"""What the person of a round says of results: the books of it, for the judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.kills.memory import Memory


@dataclass(slots=True)
class Picks:
    """`rejected` are jobs whose present result was rejected and that no retry has taken yet.

    `remade` counts the leaves to pay again, by job: each for one result that was rejected when a
    retry asked for such. `said` counts the rejections.
    """

    rejected: set[str] = field(default_factory=set)
    remade: Counter[str] = field(default_factory=Counter)
    said: int = 0
    _granted: dict[str, int] = field(default_factory=dict)

    def reject(self, jobs: Iterable[str]) -> None:
        chosen = set(jobs)
        self.said += len(chosen)
        self.rejected |= chosen

    def keep(self, job: str, memory: Memory) -> None:
        """Nothing was submitted since the retry: what is kept is not made again."""
        self.rejected.discard(job)
        if self._granted.get(job) == memory.latest[job].number:
            del self._granted[job]
            self.remade[job] -= 1

    def may_keep(self, memory: Memory) -> list[str]:
        """Jobs about whose rejected results a word is in time."""
        waiting = (
            job
            for job, number in self._granted.items()
            if memory.states[job] in {"pending", "blocked"} and memory.latest[job].number == number
        )
        return sorted({*self.rejected, *waiting})

    def retried(self, before: Memory, after: Memory) -> None:
        """A retry of the rejected ones has ended, or was killed: these were set going."""
        for job in sorted(self.rejected):
            seen = before.latest[job].number
            if after.states[job] != "done" or after.latest[job].number != seen:
                self.rejected.discard(job)
                self.remade[job] += 1
                self._granted[job] = seen
