"""When the vendor is asked whether a request has ended.

`next_poll` decides for one request. All polls of a run share one brake: `PollPacer` is its
arithmetic, and `PacedApi` puts it before the API.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from batchgen.engine.events import Noted
from batchgen.engine.health import ThrottleBreaker
from batchgen.engine.policy import delay
from batchgen.pauses import PauseReason, pause_for
from batchgen.runcomfy.outcomes import Gateway, NoAnswer, Throttled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from batchgen.engine.control import Control
    from batchgen.engine.limits import RateLimiter
    from batchgen.engine.ports import Api
    from batchgen.runcomfy.outcomes import (
        CancelOutcome,
        ResultOutcome,
        StatusOutcome,
        SubmitOutcome,
    )

Outcome = TypeVar("Outcome")

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


MOST_AT_ONCE = 100
"""Polls that wait for an answer. Enough for 1,000 requests that are each asked every 15 s by a line
on which an answer takes a second; and a vendor that stalls holds no more connections than that."""

CATCH_UP = 50.0
"""Polls a second where many are due at once: after a restart, and after trouble. It is what 1,000
requests in flight need at any time, so no more than what a long run asks anyway."""
SPEED_UP = 0.1
"""More polls a second for each answer. A tenth more each second: 1,000 are asked in 11 s."""

SILENT_IN_A_ROW = 3
"""One answer that is lost among many says nothing of the API."""


class PollPacer:
    """One brake for all polls of a run: arithmetic on the loop's time.

    In fair weather a poll goes when it is due. Where many are due at once they are spread. Where
    the API refuses them for their rate, or answers no longer, all wait; then a single one goes, and
    the others follow, spread, once the API has answered it.
    """

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._era = 0
        self._unanswered = 0
        self._to_spread = 0
        self._rate = CATCH_UP
        self._next = float("-inf")
        self._shut_until = float("-inf")
        self._shuts_in_a_row = 0
        self._silent_in_a_row = 0

    def spread(self, polls: int) -> None:
        """So many are due at once."""
        self._to_spread = max(self._to_spread, polls)
        self._rate = CATCH_UP

    def wait(self, now: float) -> float | None:
        """Seconds until the next poll may go; None: not before another one has ended."""
        if self._unanswered >= (1 if self._shuts_in_a_row else MOST_AT_ONCE):
            return None
        opens = max(self._shut_until, self._next if self._to_spread else now)
        return max(0.0, opens - now)

    def go(self, now: float) -> int:
        """A poll is sent. Tell `ended`, and what came of it, with the number that this returns."""
        self._unanswered += 1
        if self._to_spread:
            self._to_spread -= 1
            self._next = now + 1 / self._rate
        return self._era

    def ended(self, poll: int) -> None:
        if poll == self._era:
            self._unanswered -= 1

    def answered(self, poll: int, waiting: int) -> None:
        """The API said something of a request; `waiting` polls are due."""
        if poll != self._era:
            return
        self._silent_in_a_row = 0
        self._rate += SPEED_UP
        if self._shuts_in_a_row:
            self._shuts_in_a_row = 0
            self.spread(waiting)

    def silent(self, poll: int, now: float) -> None:
        if poll != self._era:
            return
        self._silent_in_a_row += 1
        if self._shuts_in_a_row or self._silent_in_a_row >= SILENT_IN_A_ROW:
            self._shut(now, 0.0)

    def throttled(self, poll: int, now: float, retry_after: float) -> float | None:
        """Returns the seconds that all polls wait; None where they wait already."""
        if poll == self._era:
            return self._shut(now, retry_after)
        # It was on its way already. What it asks for is obeyed, and counts for nothing else.
        self._shut_until = max(self._shut_until, now + retry_after)
        return None

    def _shut(self, now: float, at_least: float) -> float:
        """Polls that are on their way met the same trouble: from here on they count for nothing."""
        self._era += 1
        self._unanswered = 0
        self._shuts_in_a_row += 1
        seconds = max(at_least, delay(self._shuts_in_a_row, self._dice))
        self._shut_until = max(self._shut_until, now + seconds)
        return seconds


class PacedApi:
    """The API, asked for results at the pace of one brake. Submits have gates of their own.

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
        """So many requests are asked for at once."""
        self._pacer.spread(polls)

    async def submit(self, model: str, body: str) -> SubmitOutcome:
        return await self._api.submit(model, body)

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
        """In the order of their coming, so that no request can keep the others from being asked."""
        self._waiting += 1
        try:
            async with self._turn:
                while (wait := self._pacer.wait(_loop_time())) != 0.0:
                    await self._news_within(wait)
                return self._pacer.go(_loop_time())
        finally:
            self._waiting -= 1

    async def _news_within(self, seconds: float | None) -> None:
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
