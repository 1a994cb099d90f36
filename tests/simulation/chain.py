"""A chain of sweeps: stills, perhaps behind a gate, into edits, into clips. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulation.vendor import PICTURE, PRICES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from random import Random

STEPS = ("still", "edit", "clip")
"""The sweeps, in the order of the vendor's price list: a step needs the one before it."""

CELL = "{{ hour }}{{ '-' ~ repeat if repeat > 1 else '' }}"
"""As the suffix of an id is made, so that a prompt is its job's id: the ledger is read by it."""

TAKES = (0.2, 0.3, 0.4)
"""What the stills' input says; another one is another input."""

NOT_DONE_ANY_MORE = frozenset({"failed", "cancelled", "lost", "blocked"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """`gates` are the steps behind a gate, `canary` is the manifest's.

    Likelihoods of what a person does between two lives: `picks`, for each result, to approve it;
    `retakes` to give the stills another input; `retries` to try again what failed. `looks_in_after`
    is the second of each life at which a person approves while the run is at work.
    """

    hours: int
    repeat: int = 1
    gates: frozenset[str] = frozenset()
    priorities: tuple[int, int, int] = (0, 0, 0)
    canary: int = 0
    picks: float = 1.0
    retakes: float = 0.0
    retries: float = 0.0
    looks_in_after: float | None = None

    def items(self) -> list[dict[str, Any]]:
        """The manifest's `jobs`; they need its variable `take`."""
        return [self._item(*one) for one in zip(STEPS, PRICES, self.priorities, strict=True)]

    def _item(self, step: str, model: str, priority: int) -> dict[str, Any]:
        return {
            "id": step,
            "model": model,
            "matrix": {"hour": [f"h{number}" for number in range(self.hours)]},
            "repeat": self.repeat,
            "priority": priority,
            "gate": step in self.gates,
            "input": {"prompt": f"{step}-{CELL}", **_INPUTS[step]},
            **({} if step == STEPS[0] else {"needs": [_before(step)]}),
        }

    def needed_by(self, job: str) -> str | None:
        """The one job that a job needs."""
        step, _, cell = job.partition("-")
        return None if step == STEPS[0] else f"{_before(step)}-{cell}"

    def has_gate(self, job: str) -> bool:
        return step_of(job) in self.gates

    def held(self, states: Mapping[str, str], to_approve: Collection[str]) -> set[str]:
        """Pending jobs that nothing but a person's word can set going."""
        return {
            job
            for job, state in states.items()
            if state == "pending" and self._waits_for_a_person(job, states, to_approve)
        }

    def _waits_for_a_person(
        self, job: str, states: Mapping[str, str], to_approve: Collection[str]
    ) -> bool:
        needed = self.needed_by(job)
        if needed is None or states[needed] in NOT_DONE_ANY_MORE:
            return False
        if states[needed] == "pending":
            return self._waits_for_a_person(needed, states, to_approve)
        return states[needed] == "unknown" or needed in to_approve

    def misplaced(self, states: Mapping[str, str]) -> Iterator[str]:
        """Jobs that are blocked by nothing, or wait for what will not come."""
        for job, state in states.items():
            needed = self.needed_by(job)
            fails = needed is not None and states[needed] in NOT_DONE_ANY_MORE
            if (state == "blocked" and not fails) or (state == "pending" and fails):
                yield f"{job} is {state}, and {needed} is {states.get(needed or '')}"


_INPUTS: Mapping[str, Mapping[str, Any]] = {
    "still": {"scale": "{{ take }}"},
    "edit": {"image_urls": ["{{ jobs.still.image }}", PICTURE]},
    "clip": {"image_urls": ["{{ jobs.edit.image }}"], "seed": "{{ index }}"},
}


def step_of(job: str) -> str:
    return job.partition("-")[0]


def _before(step: str) -> str:
    return STEPS[STEPS.index(step) - 1]


def chain_of(dice: Random, jobs: int) -> Chain:
    """About so many jobs."""
    repeat = dice.choice((1, 2))
    return Chain(
        hours=max(1, jobs // (3 * repeat)),
        repeat=repeat,
        gates=frozenset(dice.choice(((), ("still",), ("still",), ("still", "edit")))),
        priorities=dice.choice(((0, 0, 0), (0, 5, 10), (10, 5, 0))),
        canary=dice.choice((0, 0, 1)),
        picks=dice.choice((0.4, 0.7, 1.0)),
        retakes=dice.choice((0.0, 0.0, 0.5)),
        retries=dice.choice((0.0, 0.5)),
        looks_in_after=dice.choice((None, dice.uniform(5.0, 40.0))),
    )
