"""`GET /prod/v2/balance`: what is left of the money, on the emulator's own host.

The vendor serves it from another host than the Model API; RUNCOMFY_SERVERLESS_API_BASE names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.emulator.payloads import Answer

if TYPE_CHECKING:
    from aiohttp import web

    from batchgen.emulator.faults import Fault
    from batchgen.emulator.store import Store

PATH = "/prod/v2/balance"
MICRO = 1_000_000
PLENTY = 1_000_000.0
"""USD in a wallet that is never used up."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """`balance` is what it held before the first charge; None is never used up."""

    store: Store
    balance: float | None

    def left(self) -> float:
        if self.balance is None:
            return PLENTY
        return round(self.balance - self.store.charged(), 6)

    def covers(self, usd: float) -> bool:
        return self.balance is None or usd <= self.left()

    async def serve(self, _request: web.Request, _fault: Fault | None) -> Answer:
        left = self.left()
        micro = round(left * MICRO)
        return Answer({"balance_usd": left, "balance_microdollars": micro, "currency": "USD"})
