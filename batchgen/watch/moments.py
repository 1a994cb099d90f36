"""Which jobs changed when. Pure.

Each look that shows a change has a number, the moment. Whoever says which moment they know is told
what changed after it, however long they were away: nothing is queued for anybody.
"""

from __future__ import annotations

from array import array

STRETCH = 4096
"""Jobs compared at once: nearly all stretches of a large run are equal."""


class Moments:
    """The signatures of the last look, and the moment of each job's last change: 12 bytes a job."""

    def __init__(self) -> None:
        self.moment = 0
        self._signatures = array("Q")
        self._changed = array("I")

    @property
    def last(self) -> int:
        """The highest number that a job has."""
        return max(0, len(self._signatures) - 1)

    def look(self, found: array[int]) -> bool:
        """Take in the signatures of now, by number; whether any job changed."""
        changed = changes(self._signatures, found)
        if not changed and self.moment:
            return False
        self.moment += 1
        size = max(len(found), len(self._changed))
        self._changed.extend(array("I", bytes(4 * (size - len(self._changed)))))
        for seq in changed:
            self._changed[seq] = self.moment
        self._signatures = found
        return True

    def since(self, moment: int) -> list[int]:
        """The numbers of jobs that changed after that moment."""
        if moment >= self.moment:
            return []
        return [seq for seq, when in enumerate(self._changed) if when > moment]


def changes(before: array[int], after: array[int]) -> list[int]:
    """Where the two differ; where one is shorter, it counts as filled up with 0."""
    size = max(len(before), len(after))
    found: list[int] = []
    for begin in range(0, size, STRETCH):
        old, new = before[begin : begin + STRETCH], after[begin : begin + STRETCH]
        if old == new:
            continue
        length = min(STRETCH, size - begin)
        old.extend([0] * (length - len(old)))
        new.extend([0] * (length - len(new)))
        pairs = enumerate(zip(old, new, strict=True), begin)
        found += [seq for seq, (one, other) in pairs if one != other]
    return found
