"""Places of requests whose submit got no answer: each may be running at the vendor."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchgen.engine.attempt import Attempt
    from batchgen.engine.limits import Expectations, Permit


class UnansweredPlaces:
    """Keeps a place until it is certain that the request is not running.

    Nobody can ask the vendor about a request without an id. So it is certain once a person has
    decided about it; when it is older than `timeout`, since no request of ours is waited for any
    longer; or when it is much older than any of the last requests of its model became
    (`Expectations.surely_over`). Otherwise one of `concurrency` would be in flight too many after
    each lost answer, and the vendor would refuse what the user has limited on purpose. The last
    place is never kept (`RateLimiter.busy`): a run with one place must go on, and whether the
    answers are lost one after the other shows only if it does.
    """

    def __init__(
        self, expectations: Expectations, timeout: float, wake: Callable[[], None]
    ) -> None:
        self._expectations = expectations
        self._timeout = timeout
        self._wake = wake
        self._held: dict[int, dict[Permit, asyncio.TimerHandle]] = defaultdict(dict)

    def hold(self, attempt: Attempt) -> float:
        """Keep the place of an attempt whose outcome is unknown; returns for how many seconds."""
        loop = asyncio.get_running_loop()
        now, surely_over = loop.time(), self._expectations.surely_over(attempt.model)
        longest = self._timeout if surely_over is None else min(self._timeout, surely_over)
        seconds = attempt.sent_at + longest - now
        if seconds > 0:
            seq, permit = attempt.job.seq, attempt.permit.unanswered(now)
            self._held[seq][permit] = loop.call_later(seconds, self._end, seq, permit)
        return max(0.0, seconds)

    def free(self, seq: int) -> None:
        """A person knows what became of this job's requests."""
        for permit in tuple(self._held.get(seq, ())):
            self._end(seq, permit)

    def free_all(self) -> None:
        """The run is over."""
        for seq in tuple(self._held):
            self.free(seq)

    def _end(self, seq: int, permit: Permit) -> None:
        self._held[seq].pop(permit).cancel()
        if not self._held[seq]:
            del self._held[seq]
        permit.give_back()
        self._wake()
