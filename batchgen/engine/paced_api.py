"""Asking about requests: the API at one pace for all polls, and one poll of one request."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from batchgen.engine.decisions import combined, is_inconclusive
from batchgen.engine.events import Noted
from batchgen.engine.health import ThrottleBreaker
from batchgen.engine.polling import PollPacer
from batchgen.pauses import PauseReason, pause_for
from batchgen.runcomfy.outcomes import (
    Cancelled,
    Failed,
    Gateway,
    NoAnswer,
    Succeeded,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from batchgen.engine.control import Control
    from batchgen.engine.decisions import PollOutcome
    from batchgen.engine.limits import RateLimiter
    from batchgen.engine.ports import Api
    from batchgen.runcomfy.outcomes import (
        CancelOutcome,
        ResultOutcome,
        StatusOutcome,
        SubmitOutcome,
    )
    from batchgen.runcomfy.upload import BeforeLast

Outcome = TypeVar("Outcome")


async def poll(api: Api, request_id: str) -> PollOutcome:
    """Ask for the result, and where that is inconclusive, for the status.

    Where the status says that it ended badly the result is asked for once more: it may have come
    meanwhile, with the vendor's reason, the cost, or files after all.
    """
    result = await api.result(request_id)
    if not is_inconclusive(result):
        return result
    both = combined(result, await api.status(request_id))
    if not isinstance(both, Failed | Cancelled):
        return both
    result = await api.result(request_id)
    return result if isinstance(result, Succeeded | Failed | Cancelled) else both


class PacedApi:
    """Paces what is asked about requests. Submits have rate limiters of their own.

    A Retry-After on a poll holds submits as well: it is the account that asks too much. The reverse
    is not so: a submit may be refused for the requests in flight, whose ends only polls can see.
    """

    def __init__(self, api: Api, control: Control, overall: RateLimiter, dice: Random) -> None:
        self._api = api
        self._control = control
        self._overall = overall
        self._pacer = PollPacer(dice)
        self._throttles = ThrottleBreaker()
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._waiting = 0

    def spread(self, polls: int) -> None:
        """So many requests are polled at once."""
        self._pacer.spread(polls)

    async def submit(self, model: str, body: str, before_last: BeforeLast) -> SubmitOutcome:
        return await self._api.submit(model, body, before_last)

    async def cancel(self, request_id: str) -> CancelOutcome:
        return await self._api.cancel(request_id)

    async def result(self, request_id: str) -> ResultOutcome:
        return await self._ask(self._api.result, request_id)

    async def status(self, request_id: str) -> StatusOutcome:
        return await self._ask(self._api.status, request_id)

    async def _ask(
        self, ask: Callable[[str], Awaitable[Outcome]], request_id: str
    ) -> Outcome | NoAnswer:
        """Send a poll in its turn; one that still waits for it when the run stops is not sent."""
        poll = None
        with self._control.drain.scope():
            poll = await self._may_go()
        if poll is None:
            return NoAnswer("not asked: the run is stopping")
        try:
            outcome = await ask(request_id)
            self._note(poll, outcome)
        finally:
            self._pacer.ended(poll)
            self._news.set()
        return outcome

    async def _may_go(self) -> int:
        """First come, first served, so that no request can keep the others from being polled."""
        self._waiting += 1
        try:
            async with self._turn:
                while (wait := self._pacer.wait(_loop_time())) != 0.0:
                    await self._wait_for_news(wait)
                return self._pacer.go(_loop_time())
        finally:
            self._waiting -= 1

    async def _wait_for_news(self, seconds: float | None) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def _note(self, poll: int, outcome: object) -> None:
        now = _loop_time()
        match outcome:
            case Throttled(retry_after, reason):
                self._throttled(poll, now, retry_after or 0.0, reason)
            case NoAnswer() | Gateway():
                self._pacer.silent(poll, now)
            case _:
                self._throttles.reset()
                self._pacer.answered(poll, self._waiting)

    def _throttled(self, poll: int, now: float, retry_after: float, reason: str) -> None:
        self._overall.shut(now, retry_after)
        seconds = self._pacer.throttled(poll, now, retry_after)
        if seconds is None:
            return
        text = f"the API has been asked too often ({reason}); all polls wait {seconds:.3g} s"
        self._control.emit(Noted(text))
        if self._throttles.trips(now):
            self._control.pause(
                pause_for(
                    PauseReason.THROTTLED,
                    lets_go=True,
                    what="questions about requests",
                    reason=reason,
                )
            )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
