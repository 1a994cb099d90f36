"""Which model starts its next job: equal priorities take turns, so that none starves. Pure."""

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
    """The model of the highest priority that may start now; among equals the next after `last`.

    `heads` are of all models in a fixed order, None for a model without work; `last` is the index
    that started last. Each waits for its own limiter only: a place is never kept free for a job of
    higher priority whose own limiter is closed.
    """
    if not any(heads) or (general := overall.opens_at(now)) is None:
        return Wait(None)
    earliest: float | None = None
    best: tuple[int, Start] | None = None
    for step in range(1, len(heads) + 1):
        index = (last + step) % len(heads)
        head = heads[index]
        opening = head.limiter.opens_at(now) if head else None
        if head is None or opening is None:
            continue
        opening = max(opening, general)
        if opening > now:
            earliest = opening if earliest is None else min(earliest, opening)
        elif best is None or head.priority > best[0]:
            best = head.priority, Start(index)
    return best[1] if best else Wait(earliest)
