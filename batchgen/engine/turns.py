"""Which model starts its next job. Models take turns, so a slow one does not starve the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchgen.engine.limits import Gate


@dataclass(frozen=True, slots=True)
class Start:
    """The lane with this index may start a job now."""

    lane: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody may start before the loop's time `until`; None: before something ends."""

    until: float | None


Turn: TypeAlias = Start | Wait


def next_turn(lanes: Sequence[Gate | None], overall: Gate, now: float, last: int) -> Turn:
    """The first open lane after `last`, the one that started last.

    `lanes` are the gates of all models in a fixed order, None for a model without work. Each
    waits for its own opening only.
    """
    if not any(lanes) or (general := overall.opening(now)) is None:
        return Wait(None)
    earliest: float | None = None
    for step in range(1, len(lanes) + 1):
        index = (last + step) % len(lanes)
        gate = lanes[index]
        opening = gate.opening(now) if gate else None
        if opening is None:
            continue
        opening = max(opening, general)
        if opening <= now:
            return Start(index)
        earliest = opening if earliest is None else min(earliest, opening)
    return Wait(earliest)
