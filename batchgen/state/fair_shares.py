"""How runs of one account share a limit: fairly by demand (max-min). Pure.

Each run has a part of the limit reserved, and never uses more. It takes only what is free, up to
its target, so the parts never exceed the limit; above its target it gives back what others lack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Demand:
    """What one run has `reserved` of a limit, what of that is `used`, and what is `wanted`.

    `last_used`: when it last began to use a part, on the clock that all runs have.
    """

    reserved: int
    used: int
    wanted: int
    last_used: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """What a run has `reserved` now, and may `keep` of it: others lack the rest."""

    reserved: int
    keep: int


def targets(limit: int, demands: Mapping[str, Demand]) -> dict[str, int]:
    """Max-min: those that want little get it, and the others share the rest equally."""
    left, found = limit, dict.fromkeys(demands, 0)
    asking = {run: one for run, one in demands.items() if one.wanted > 0}
    while asking:
        equal = left // len(asking)
        modest = [run for run, one in asking.items() if one.wanted <= equal]
        for run in modest:
            found[run] = asking.pop(run).wanted
            left -= found[run]
        if not modest:
            for turn, run in enumerate(_in_turn(asking, equal)):
                found[run] = equal + (turn < left % len(asking))
            break
    return found


def _in_turn(asking: Mapping[str, Demand], equal: int) -> list[str]:
    """Which runs get one more than the others.

    Those that have it, so that it does not move for nothing. Where there is less than one for each
    run, the one that has waited longest, so that nobody starves.
    """
    if equal:
        return sorted(asking, key=lambda run: (asking[run].reserved <= equal, run))
    return sorted(asking, key=lambda run: (asking[run].last_used, run))


def part_of(run: str, limit: int, demands: Mapping[str, Demand], resting: int = 0) -> Part:
    """What a run gets, and may keep. `resting` parts were given back and cannot be used yet.

    More may be used than was reserved: requests of an earlier run exist already. As long as all
    parts exceed the limit, nothing that ends starts again.
    """
    mine = demands[run]
    target = targets(limit, demands)
    held = max(mine.reserved, mine.used)
    others = {name: one for name, one in demands.items() if name != run}
    free = limit - held - sum(one.reserved for one in others.values()) - resting
    over = min(held, max(0, -free))
    lacks = {name: max(0, target[name] - one.reserved) for name, one in others.items()}
    if held < target[run]:
        if target[run] == 1:
            # With less than one for each run, what is free goes to those that have waited longer;
            # otherwise the run that asks right after a part came back would get it every time.
            waiting = (name for name, one in others.items() if one.last_used < mine.last_used)
            free -= sum(lacks[name] for name in waiting)
        held += max(0, min(free, target[run] - held))
        return Part(held, held - over)
    lacking = sum(lacks.values())
    given = max(over, min(lacking - free, held - target[run]))
    return Part(held, held - given)


def rests_until(sent: Sequence[float], window: float, kept: int) -> list[float]:
    """Until when submits rest that a run gives back: a time for each of them, the latest first.

    It has `sent` at these times within the last window, and keeps `kept` in a window: from now on
    they are that much farther apart. What it sends in any window, and what no longer rests, never
    exceed what it had.
    """
    if not sent:
        return []
    last, gap = sent[-1], window / kept if kept else window
    # What it may have sent within the window that ends at each of these times.
    follow = [last + turn * gap for turn in range(1, kept + 1)]
    times = sorted([*(at + window for at in sent), *follow])
    rests: list[float] = []
    # From the last one back: what may be needed later must rest until then.
    for at, before in reversed([*zip(times, [last, *times], strict=False)]):
        in_window = sum(one + window > before for one in sent) + sum(
            one <= before for one in follow
        )
        rests += [at] * (in_window - kept - len(rests))
    return rests
