"""Money: reserved before a submit, settled by what the result says it cost. USD."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Budget:
    """`committed` is what was spent or may have been: it never passes `limit`.

    Without a limit everything is affordable and prices may be unknown. With one, every model
    needs a price: the caller refuses the run otherwise.
    """

    limit: float | None
    committed: float = 0.0
    _reserved: dict[int, float] = field(default_factory=dict)

    def reserve(self, seq: int, price: float | None) -> bool:
        """Set the price of a job aside; False where it does not fit any more."""
        if self.limit is not None and price is None:
            return False
        amount = price or 0.0
        # A thousandth of a cent forgives the rounding of many small prices.
        if self.limit is not None and self.committed + amount > self.limit + 1e-5:
            return False
        self.committed += amount
        self._reserved[seq] = amount
        return True

    def settle(self, seq: int, cost: float | None) -> None:
        """The vendor ended the request: `cost` replaces the price, where it is known."""
        reserved = self._reserved.pop(seq, 0.0)
        if cost is not None:
            self.committed += cost - reserved

    def correct(self, price: float | None, cost: float) -> None:
        """The cost of a request that was settled at its price came after all."""
        self.committed += cost - (price or 0.0)

    def release(self, seq: int) -> None:
        """Nothing was charged."""
        self.committed -= self._reserved.pop(seq, 0.0)

    def hold(self, seq: int) -> None:
        """It is unknown what was charged: the price stays committed."""
        self._reserved.pop(seq, None)

    def take_over(self, seq: int, price: float | None) -> None:
        """A request of an earlier run that is still open: `committed` has its price already."""
        self._reserved[seq] = price or 0.0
