"""When to ask the vendor next whether a request has ended. Pure but for the dice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

SHORTEST = 0.25
LONGEST = 15.0
LONGEST_FIRST = 60.0
"""Before an expected end that this run has proven. Any other wait is `LONGEST` at most: an earlier
run may have learnt from an outage, or from a slower vendor, and all places would stand idle. As
often a request is asked for of which nothing is known, so it is no more impolite."""

EARLY = 0.9
"""The first look comes at this share of the expected time: a little early costs one poll, a
little late costs a slot that stands idle."""

FILES_LONGEST = 60.0
GROWTH = 0.5
GROWTH_WHEN_EXPECTED = 0.1
JITTER = 0.1


def next_look_for_files(empty_for: float) -> float:
    """Seconds until the next look at a success that names no files, `empty_for` seconds old."""
    return min(FILES_LONGEST, max(1.0, empty_for))


def next_poll(age: float, expected: float | None, dice: Random, *, proven: bool = True) -> float:
    """Seconds until the next poll of a request accepted `age` seconds ago.

    `expected` is how long such a request usually takes, None where nobody knows yet: then the
    gaps grow with the age, so a request of any length is found out at most half its own time late.
    `proven`: by this run; what earlier ones say is trusted less.
    """
    if expected is not None and age < EARLY * expected:
        return min(LONGEST_FIRST if proven else LONGEST, max(SHORTEST, EARLY * expected - age))
    growth = GROWTH if expected is None else GROWTH_WHEN_EXPECTED
    gap = min(LONGEST, max(SHORTEST, growth * age))
    return max(SHORTEST, gap * dice.uniform(1 - JITTER, 1 + JITTER))
