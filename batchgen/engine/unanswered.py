"""Places of requests whose submit got no answer: each may be running at the vendor."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.engine.limits import take_unanswered

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchgen.engine.attempt import Attempt
    from batchgen.engine.limits import Expectations, Permit, RateLimiter

LOOK_AGAIN = 30.0
"""Seconds after which more may be known of how long requests take."""


@dataclass(frozen=True, slots=True)
class _Request:
    """`sent_at` is the loop's time; before its start, if an earlier run has sent it."""

    seq: int
    model: str
    sent_at: float


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
        request = _Request(attempt.job.seq, attempt.model, attempt.sent_at)
        if seconds := self._left(request):
            self._keep(request, attempt.permit.limiters)
        return seconds

    def hold_earlier(
        self, seq: int, model: str, age: float, limiters: tuple[RateLimiter, ...]
    ) -> None:
        """Keep a place for what an earlier run sent `age` seconds ago, if few enough are kept.

        A run that was killed may leave many, and most of them may never have arrived: so at most
        half of the places are kept.
        """
        request = _Request(seq, model, asyncio.get_running_loop().time() - max(0.0, age))
        if self._left(request) and all(
            limiter.unanswered < int(limiter.ceiling) // 2 for limiter in limiters
        ):
            self._keep(request, limiters)

    def free(self, seq: int) -> None:
        """A person knows what became of this job's requests."""
        for permit in tuple(self._held.get(seq, ())):
            self._end(seq, permit)

    def free_all(self) -> None:
        """The run is over."""
        for seq in tuple(self._held):
            self.free(seq)

    def _left(self, request: _Request) -> float:
        """Seconds for which it may still be running."""
        surely_over = self._expectations.surely_over(request.model)
        longest = self._timeout if surely_over is None else min(self._timeout, surely_over)
        return max(0.0, request.sent_at + longest - asyncio.get_running_loop().time())

    def _keep(self, request: _Request, limiters: tuple[RateLimiter, ...]) -> None:
        now = asyncio.get_running_loop().time()
        self._look_again_later(request, take_unanswered(limiters, now))

    def _look_again_later(self, request: _Request, permit: Permit) -> None:
        seconds = min(self._left(request), LOOK_AGAIN)
        loop = asyncio.get_running_loop()
        self._held[request.seq][permit] = loop.call_later(seconds, self._look, request, permit)

    def _look(self, request: _Request, permit: Permit) -> None:
        if self._left(request):
            self._look_again_later(request, permit)
        else:
            self._end(request.seq, permit)

    def _end(self, seq: int, permit: Permit) -> None:
        self._held[seq].pop(permit).cancel()
        if not self._held[seq]:
            del self._held[seq]
        permit.give_back()
        self._wake()
