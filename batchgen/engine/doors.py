"""The doors of the engine: everything it does not decide itself comes in through these.

The state's door is `batchgen.state.store.Store`; time is the event loop's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from random import Random

    from batchgen.downloads.outcomes import FetchOutcome
    from batchgen.runcomfy.outcomes import CancelOutcome, ResultOutcome, SubmitOutcome
    from batchgen.state.store import Store


class Api(Protocol):
    """The vendor. No method raises for what the network or the vendor does."""

    async def submit(self, model: str, body: str) -> SubmitOutcome: ...

    async def result(self, request_id: str) -> ResultOutcome: ...

    async def cancel(self, request_id: str) -> CancelOutcome: ...


class Files(Protocol):
    """Result files: from a URL to a verified file. Raises the tree's errors for a bad disk."""

    async def fetch(self, url: str, name: str) -> FetchOutcome: ...


class Prices(Protocol):
    """USD for one request, reserved before the submit; None where nobody knows."""

    def price(self, model: str, body: str) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """An accepted request that the state could not record: the last trace of a paid job."""

    job_id: str
    attempt: int
    request_id: str


class Receipts(Protocol):
    """Where a receipt goes when the state file fails."""

    def keep(self, receipt: Receipt) -> None: ...


@dataclass(frozen=True, slots=True)
class Doors:
    api: Api
    store: Store
    files: Files
    prices: Prices
    receipts: Receipts
    dice: Random
