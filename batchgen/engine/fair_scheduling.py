"""Which model starts its next job: among equals the one that has least in flight. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchgen.engine.limits import RateLimiter


@dataclass(frozen=True, slots=True)
class Head:
    """The next job of a model: its priority, and the limiter of its model."""

    limiter: RateLimiter
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """The model with this index may start a job now."""

    index: int


@dataclass(frozen=True, slots=True)
class Wait:
    """No job may start before the loop's time `until`; None: before something ends."""

    until: float | None


Turn: TypeAlias = Start | Wait


def next_turn(heads: Sequence[Head | None], overall: RateLimiter, now: float, last: int) -> Turn:
    """The model of the highest priority that may start now.

    Among equals it is the one with the smallest share of its own ceiling in flight, and among those
    the next after `last`: so each model has work in proportion to what it may have, however long
    its requests take. One in turn would not do: a place is held for as long as a request takes, so
    the slow ones would fill all of them.

    `heads` are of all models in a fixed order, None for a model without work; `last` is the index
    that started last. Each waits for its own limiter only: a place is never kept free for a job of
    higher priority whose own limiter is closed. Nobody starves: a model with nothing in flight has
    the smallest share there is, so at most one job of each other model goes before its next one.

    `overall` is asked last, once a model is open: of limits that runs of an account share, every
    run gets those of its models first, so no two runs wait for what the other keeps.
    """
    earliest: float | None = None
    best: tuple[tuple[int, float], Start] | None = None
    for step in range(1, len(heads) + 1):
        index = (last + step) % len(heads)
        head = heads[index]
        opening = head.limiter.opens_at(now) if head else None
        if head is None or opening is None:
            continue
        rank = head.priority, -head.limiter.share
        if opening > now:
            earliest = opening if earliest is None else min(earliest, opening)
        elif best is None or rank > best[0]:
            best = rank, Start(index)
    if best is None:
        return Wait(earliest)
    general = overall.opens_at(now)
    return best[1] if general is not None and general <= now else Wait(general)
