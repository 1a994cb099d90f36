"""Money: reserved before a submit, settled by what the result says it cost. USD."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchgen.state.records import LiveRequest


class Priced(Protocol):
    """A job, or its request: what a price depends on."""

    @property
    def seq(self) -> int: ...
    @property
    def model(self) -> str: ...
    @property
    def body(self) -> str: ...


@dataclass(slots=True)
class Budget:
    """`committed` is what was spent or may have been: it never passes `limit`.

    Without a limit everything is affordable and prices may be unknown. With one, every model
    needs a price: the caller refuses the run otherwise. `_unpriced` are the requests that began
    without one, for a limit that comes later.
    """

    limit: float | None
    committed: float = 0.0
    _reserved: dict[int, float] = field(default_factory=dict)
    _unpriced: dict[int, Priced] = field(default_factory=dict)

    def reserve(self, job: Priced, price: float | None) -> bool:
        """Set the price of a job aside; False where it does not fit any more."""
        if self.limit is not None and price is None:
            return False
        amount = price or 0.0
        # A thousandth of a cent forgives the rounding of many small prices.
        if self.limit is not None and self.committed + amount > self.limit + 1e-5:
            return False
        self._count(job, price)
        return True

    def settle(self, seq: int, cost: float | None) -> None:
        """The vendor ended the request: `cost` replaces the price, where it is known."""
        reserved = self._end(seq)
        if cost is not None:
            self.committed += cost - reserved

    def correct(self, price: float | None, cost: float) -> None:
        """The cost of a request that was settled at its price came after all."""
        self.committed += cost - (price or 0.0)

    def release(self, seq: int) -> None:
        """Nothing was charged."""
        self.committed -= self._end(seq)

    def hold(self, seq: int) -> None:
        """It is unknown what was charged: the price stays committed."""
        self._end(seq)

    def take_over(self, request: LiveRequest, price: float | None) -> None:
        """A request that is open already. `committed` has its price if one was recorded with it.

        Otherwise it counts with the `price` that is known now.
        """
        if request.price is None:
            self._count(request, price)
        else:
            self._reserved[request.seq] = request.price

    def limit_to(self, limit: float | None, price: Callable[[str, str], float | None]) -> None:
        """Set another limit. What is in flight without a price is counted with the one known now.

        `price` takes a model and an input's body.
        """
        self.limit = limit
        if limit is not None:
            for request in list(self._unpriced.values()):
                self._count(request, price(request.model, request.body))

    def _count(self, request: Priced, price: float | None) -> None:
        self._end(request.seq)
        self.committed += price or 0.0
        self._reserved[request.seq] = price or 0.0
        if price is None:
            self._unpriced[request.seq] = request

    def _end(self, seq: int) -> float:
        """Forget a request; returns what was reserved for it."""
        self._unpriced.pop(seq, None)
        return self._reserved.pop(seq, 0.0)
