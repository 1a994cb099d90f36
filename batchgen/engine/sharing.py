"""Limits that this run shares with other runs of its account, kept in line about once a second."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from batchgen.engine.events import LimitsShared, Noted, Warned
from batchgen.engine.ports import Unreached
from batchgen.engine.reserved import Holding, Reserved, window_of
from batchgen.state.account import VALID_FOR, Shares
from batchgen.state.meta import keep_shared_limits
from batchgen.text import plural

if TYPE_CHECKING:
    from typing import Never

    from batchgen.engine.control import Control
    from batchgen.engine.limits import RateLimiter
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.ports import Account
    from batchgen.jobs import JsonObject
    from batchgen.manifest.policy import ModelPolicy
    from batchgen.state.account import Claim
    from batchgen.state.store import Store

HEARTBEAT = 1.0
"""Seconds between two looks at what the other runs need."""
BETWEEN = 0.1
"""At least so many: ends of requests that come together are reported together."""
TRY_AGAIN_EVERY = 10.0
REPORT_EVERY = 2.0

PLACES, SUBMITS = "places", "submits"


class SharedLimits:
    """The account's limits, as far as this run holds them; without an `account` there are none.

    `overall` limits all models together. A limiter of a model is added before its first start.
    """

    def __init__(
        self,
        account: Account | None,
        overall: RateLimiter,
        policy: EnginePolicy,
        control: Control,
        store: Store,
    ) -> None:
        self._account = account
        self._overall = overall
        self._policy = policy
        self._control = control
        self._store = store
        self._models: dict[str, RateLimiter] = {}
        self._news = asyncio.Event()
        self._others: int | None = None
        self._reached_at = -inf
        self._is_apart = False
        self._more_at = inf
        self._reported_at = -inf
        self._reported: JsonObject | None = None
        self._connect("", overall)

    @property
    def lacking(self) -> bool:
        """Whether jobs wait for what the other runs have."""
        return any(
            one.reserved is not None and one.reserved.lacks for one in self._limiters.values()
        )

    @property
    def _limiters(self) -> dict[str, RateLimiter]:
        return {"": self._overall, **self._models}

    def add(self, model: str, limiter: RateLimiter) -> None:
        self._models[model] = limiter
        self._connect(model, limiter)

    def declare(self, policy: EnginePolicy) -> None:
        """Set other limits of this run."""
        self._policy = policy
        for model, limiter in self._limiters.items():
            self._declare(model, limiter)
        self._news.set()

    async def begin(self) -> None:
        """Join the other runs. It returns once it is known what this run may use."""
        if self._account is not None:
            await self._exchange(self._account)

    async def run(self) -> Never:
        """Keep what is reserved in line with what the runs need, until cancelled."""
        account = self._account
        while account is not None:
            await asyncio.sleep(BETWEEN)
            await self._wait_for_news()
            await self._exchange(account)
        await asyncio.Event().wait()
        raise AssertionError

    async def leave(self) -> None:
        """At the end of the run: the others may use what it held."""
        if self._account is not None:
            await self._account.leave(self._claims(_now()), _now())

    def _connect(self, model: str, limiter: RateLimiter) -> None:
        if self._account is None:
            return
        name = f" {model}" if model else ""
        places, submits = Holding(f"{PLACES}{name}"), Holding(f"{SUBMITS}{name}")
        limiter.reserved = Reserved(places, submits, self._news.set)
        if self._is_apart:
            limiter.reserved.take({}, limiter.taken)
        self._declare(model, limiter)
        self._news.set()

    def _declare(self, model: str, limiter: RateLimiter) -> None:
        if (reserved := limiter.reserved) is None:
            return
        limits: EnginePolicy | ModelPolicy | None
        limits = self._policy.models.get(model) if model else self._policy
        most = self._policy.limit if not model else limits and limits.concurrency
        reserved.places.declare(most if isinstance(most, int) else None)
        rate = None if limits is None else limits.rate
        reserved.submits.declare(*((None, 0.0) if rate is None else window_of(rate)))

    async def _wait_for_news(self) -> None:
        seconds = TRY_AGAIN_EVERY if self._is_apart else HEARTBEAT
        until = min(_now() + seconds, self._more_at)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._news.wait()

    async def _exchange(self, account: Account) -> None:
        self._news.clear()
        now = _now()
        for limiter in self._limiters.values():
            if limiter.reserved is not None:
                limiter.reserved.lapse(now, limiter.taken)
        answer = await account.exchange(self._claims(now), now)
        match answer:
            case Shares():
                self._take(answer, now)
            case Unreached(reason):
                self._note_unreached(reason)
        # Also if nothing has changed: the next claim says again what starts wait for.
        self._control.wake.set()
        await self._report()

    def _claims(self, now: float) -> list[Claim]:
        models = sum(int(one.ceiling) for one in self._models.values())
        return [
            claim
            for model, one in self._limiters.items()
            if one.reserved is not None
            for claim in one.reserved.claims(
                now, one.taken, int(one.ceiling) if model else min(one.limit, models)
            )
        ]

    def _take(self, shares: Shares, at: float) -> None:
        self._reached_at = at
        self._more_at = inf if shares.more_at is None else shares.more_at
        for limiter in self._limiters.values():
            if limiter.reserved is not None:
                limiter.reserved.take(shares.grants, limiter.taken, self._reached_at + VALID_FOR)
        if self._is_apart or shares.others != (self._others or 0):
            text = "limits are no longer shared with another run"
            if shares.others:
                text = f"limits shared with {plural(shares.others, 'other run')}"
            self._control.emit(Noted(text, on_screen=True))
            self._reported_at = -inf
        self._is_apart, self._others = False, shares.others

    def _note_unreached(self, reason: str) -> None:
        """Go on with what is reserved; if it lasts, as if this run were alone."""
        self._more_at = inf
        if self._is_apart or _now() - self._reached_at < VALID_FOR:
            return
        self._is_apart, self._reported_at = True, -inf
        for limiter in self._limiters.values():
            if limiter.reserved is not None:
                limiter.reserved.take({}, limiter.taken)
        self._control.wake.set()
        text = f"limits cannot be shared with other runs: {reason}; this run keeps its own limits"
        self._control.emit(Warned(text))

    async def _report(self) -> None:
        """What this run may use is in the log, and in the state for `status` and the live page."""
        shared = self._in_force()
        if shared == self._reported or _now() - self._reported_at < REPORT_EVERY:
            return
        self._reported, self._reported_at = shared, _now()
        self._control.emit(LimitsShared(shared))
        await self._store.run(keep_shared_limits, shared)

    def _in_force(self) -> JsonObject:
        models = {model: _of_limiter(one) for model, one in self._models.items()}
        return {
            "others": None if self._is_apart else self._others,
            **_of_limiter(self._overall),
            "models": {model: limits for model, limits in models.items() if limits},
        }


def _of_limiter(limiter: RateLimiter) -> JsonObject:
    assert limiter.reserved is not None
    holdings = {PLACES: limiter.reserved.places, SUBMITS: limiter.reserved.submits}
    return {name: one.to_json() for name, one in holdings.items() if one.held is not None}


def _now() -> float:
    return asyncio.get_running_loop().time()
