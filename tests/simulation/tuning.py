"""The person who changes limits while a run goes on, and the judge's book of what was in force."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from batchgen.manifest.tuning import Tuning
from batchgen.manifest.units import parse_rate
from tests.simulation.vendor import PRICES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tests.simulation.scenario import Scenario

TAKEN_UP_WITHIN = 3.0
"""Seconds. A run looks every second, and what is being prepared then goes out as it was begun."""

MOST_AUTO = 64
RATES = (None, "300/min", "120/min", "30/min")


@dataclass(frozen=True, slots=True)
class Tune:
    """`after` so many seconds of each life."""

    after: float
    change: Tuning


def tunes_of(dice: Random, budget: float | None) -> tuple[Tune, ...]:
    return tuple(
        Tune(dice.uniform(0.3, 5.0), _change(dice, budget)) for _ in range(dice.randint(1, 4))
    )


def _change(dice: Random, budget: float | None) -> Tuning:
    kinds = ["concurrency", "rate", "models"] + ["budget"] * 2 * (budget is not None)
    match dice.choice(kinds):
        case "concurrency":
            return Tuning({"concurrency": dice.choice(("1", "2", "8", "24", "auto"))})
        case "rate":
            return Tuning({"rate": dice.choice(RATES)})
        case "budget":
            assert budget is not None
            share = dice.choice((0.2, 0.3, 0.5, 1.2, None))
            return Tuning({"budget": None if share is None else f"{budget * share:.2f}"})
        case _:
            rate = dice.choice((None, "120/min", "12/min"))
            values = {"concurrency": dice.choice((None, "1", "4")), "rate": rate}
            return Tuning(values, tuple(dice.sample(tuple(PRICES), dice.randint(1, len(PRICES)))))


@dataclass(frozen=True, slots=True)
class InForce:
    """By "all" or a model: how many at once, seconds between two submits. USD."""

    concurrency: Mapping[str, float]
    interval: Mapping[str, float]
    budget: float

    def tuned(self, change: Tuning) -> InForce:
        names, found = change.models or ("all",), self
        for key, text in change.values.items():
            if key == "budget":
                found = replace(found, budget=inf if text is None else float(text))
            if key == "rate":
                found = replace(found, interval={**found.interval, **_all(names, _interval(text))})
            if key == "concurrency":
                at_once = most_at_once(text)
                found = replace(found, concurrency={**found.concurrency, **_all(names, at_once)})
        return found


def most_at_once(text: str | None) -> float:
    """What is never exceeded, also where the run finds its concurrency by itself."""
    if text is None:
        return inf
    return MOST_AUTO if text == "auto" else int(text)


def _all(names: tuple[str, ...], value: float) -> dict[str, float]:
    return dict.fromkeys(names, value)


def _interval(rate: str | None) -> float:
    return parse_rate(rate).interval if rate else 0.0


@dataclass(slots=True)
class Limits:
    """What was in force when, by the manifest and the person. `calm`: nothing more changes."""

    scenario: Scenario
    calm: bool = False
    _book: list[tuple[float, InForce]] = field(default_factory=list)

    def begin(self, now: float) -> None:
        """A life begins, with the limits of the manifest."""
        lanes = {name: self.scenario.lanes.get(name, {}) for name in PRICES}
        at_once = {name: lane.get("concurrency", inf) for name, lane in lanes.items()}
        apart = {name: _interval(lane.get("rate")) for name, lane in lanes.items()}
        budget = self.scenario.budget
        found = InForce(
            {"all": most_at_once(str(self.scenario.concurrency)), **at_once},
            {"all": _interval(self.scenario.rate), **apart},
            inf if budget is None else budget,
        )
        self._book.append((now, found))

    def tune(self, now: float, change: Tuning, *, sure: bool) -> None:
        """Not `sure`: the disk failed, and the line may be in the file or not."""
        (_, before), after = self._book[-1], self._book[-1][1].tuned(change)
        self._book.append((now, after))
        if not sure:
            self._book.append((inf, before))
            self.calm = True

    def around(self, now: float) -> list[InForce]:
        """All that may have been in force for a submit of that time."""
        known = [one for at, one in self._book if now - TAKEN_UP_WITHIN < at <= now]
        earlier = [one for at, one in self._book if at <= now - TAKEN_UP_WITHIN]
        return [*earlier[-1:], *known, *(one for at, one in self._book if at == inf)]
