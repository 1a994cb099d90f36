"""Which model starts its next job. Among equal priorities models take turns: none starves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchgen.engine.limits import Gate


@dataclass(frozen=True, slots=True)
class Head:
    """The next job of a model: its priority, and the gate that it has to pass."""

    gate: Gate
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """The lane with this index may start a job now."""

    lane: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody may start before the loop's time `until`; None: before something ends."""

    until: float | None


Turn: TypeAlias = Start | Wait


def next_turn(lanes: Sequence[Head | None], overall: Gate, now: float, last: int) -> Turn:
    """The open lane of the highest priority; among equals the first after `last`.

    `lanes` are the heads of all models in a fixed order, None for a model without work; `last` is
    the one that started last. Each waits for its own opening only: a place is never kept free for
    a job of higher priority whose own gate is shut.
    """
    if not any(lanes) or (general := overall.opening(now)) is None:
        return Wait(None)
    earliest: float | None = None
    best: tuple[int, Start] | None = None
    for step in range(1, len(lanes) + 1):
        index = (last + step) % len(lanes)
        head = lanes[index]
        opening = head.gate.opening(now) if head else None
        if head is None or opening is None:
            continue
        opening = max(opening, general)
        if opening > now:
            earliest = opening if earliest is None else min(earliest, opening)
        elif best is None or head.priority > best[0]:
            best = head.priority, Start(index)
    return best[1] if best else Wait(earliest)
