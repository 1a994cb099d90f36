"""Hosts of results: one that does not answer is tried by one file at a time, and the others wait.

Pure but for the dice; times are the loop's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batchgen.engine.backoff import delay

if TYPE_CHECKING:
    from random import Random

    from batchgen.downloads.outcomes import Interrupted


FILES_IN_A_ROW = 3
"""If this many different files fail one after another, the fault is the host's, not theirs."""
WARNED_AFTER = 5.0
"""Seconds of an outage before you are warned: a shorter one is not worth a line."""


def host_of(url: str) -> str:
    """Give host and port, as far as they can be read."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


@dataclass(slots=True)
class FileHost:
    """`due` is when it may be tried again while it is down; `trying`: a file is being tried now.

    `gave_up`: it was down for longer than a run waits. `asked_in_vain`: new URLs lead here again.
    `parked` are the jobs that wait for it, `left` those that were given up: should it answer after
    all, they are tried again.
    """

    name: str
    is_down: bool = False
    due: float = 0.0
    trying: bool = False
    gave_up: bool = False
    asked_in_vain: bool = False
    warned: bool = False
    reason: str = ""
    parked: deque[int] = field(default_factory=deque)
    left: set[int] = field(default_factory=set)
    _since: float | None = None
    _failures: int = 0
    _failed: set[int] = field(default_factory=set)

    def may_try(self, now: float) -> bool:
        return not self.is_down or (now >= self.due and not self.trying)

    def lasted(self, now: float) -> float:
        """For how many seconds it has been down."""
        return 0.0 if self._since is None else now - self._since

    def fails(
        self, file: int, outcome: Interrupted, now: float, patience: float, dice: Random
    ) -> None:
        """Count a download that failed at the loop's time `now`."""
        self._failures += 1
        self._failed.add(file)
        self.reason = outcome.reason
        self.is_down |= outcome.unreached or len(self._failed) >= FILES_IN_A_ROW
        if self.is_down and self._since is None:
            self._since = now
        self.gave_up = self.lasted(now) >= patience
        asked_for = min(outcome.retry_after or 0.0, patience)
        self.due = now + max(asked_for, delay(self._failures, dice))

    def answers(self) -> list[int]:
        """It is back; returns the jobs that were given up for it."""
        left = sorted(self.left)
        self.left.clear()
        self.is_down = self.gave_up = self.asked_in_vain = self.warned = False
        self._since, self._failures = None, 0
        self._failed.clear()
        return left

    def is_news(self, now: float) -> bool:
        """Whether to warn of it, once an outage."""
        if self.warned or self.lasted(now) < WARNED_AFTER:
            return False
        self.warned = True
        return True
