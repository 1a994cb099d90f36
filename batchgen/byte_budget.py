"""How many bytes are in memory at once: request bodies and objects wait here for their share."""

from __future__ import annotations

import asyncio
from collections import deque


class ByteBudget:
    """First come, first served, so that small ones cannot keep a large one waiting for ever.

    Each takes all that it needs at once, so they never wait for each other in a circle. One
    that is larger than the whole budget goes alone.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free = capacity
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @property
    def free(self) -> int:
        return self._free

    async def acquire(self, count: int) -> Share:
        """Wait for `count` bytes. Cancellation-safe."""
        count = min(count, self._capacity)
        if self._waiting or count > self._free:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((turn, count))
            try:
                await turn
            except asyncio.CancelledError:
                self._withdraw(turn, count)
                raise
        else:
            self._free -= count
        return Share(self, count)

    def give_back(self, count: int) -> None:
        self._free += count
        self._admit()

    def _withdraw(self, turn: asyncio.Future[None], count: int) -> None:
        """It may have been admitted at the very moment of its cancellation."""
        if not turn.cancelled():
            self.give_back(count)
            return
        # Those behind it may have had to wait only for it.
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            turn, count = self._waiting[0]
            if not turn.cancelled():
                if count > self._free:
                    return
                self._free -= count
                turn.set_result(None)
            self._waiting.popleft()


class Share:
    """Bytes of the budget that are taken until `release`, which may be called twice."""

    def __init__(self, budget: ByteBudget, count: int) -> None:
        self._budget = budget
        self._count = count

    def shrink(self, count: int) -> None:
        """Give back what is above `count`."""
        if count < self._count:
            self._budget.give_back(self._count - count)
            self._count = count

    def release(self) -> None:
        self.shrink(0)
