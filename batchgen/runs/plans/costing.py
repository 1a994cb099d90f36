"""What the jobs still to be submitted will cost. USD. Pure.

A price that the manifest names is known; what the vendor's list or earlier results say is an
estimate; and a job of no known price is counted, never taken for zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.runs.prices import request_price

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchgen.jobs import JsonValue
    from batchgen.runcomfy.price_answer import ModelPrice
    from batchgen.state.records import Money

SMALLEST = 0.005
"""Below that, two decimals would say 0.00."""


@dataclass(frozen=True, slots=True)
class Cost:
    """`unpriced` is a number of jobs."""

    known: float = 0.0
    estimated: float = 0.0
    unpriced: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.known + other.known,
            self.estimated + other.estimated,
            self.unpriced + other.unpriced,
        )

    @property
    def total(self) -> float:
        return self.known + self.estimated

    def words(self) -> str:
        """Say `12.40 USD known + ~3.10 USD estimated + 40 jobs without a known price`."""
        jobs = "job" if self.unpriced == 1 else "jobs"
        parts = [
            f"{usd(self.known)} known" if self.known else "",
            f"~{usd(self.estimated)} estimated" if self.estimated else "",
            f"{self.unpriced} {jobs} without a known price" if self.unpriced else "",
        ]
        return " + ".join(filter(None, parts)) or "0.00 USD"

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "known_usd": round(self.known, 6),
            "estimated_usd": round(self.estimated, 6),
            "jobs_without_price": self.unpriced,
        }


@dataclass(frozen=True, slots=True)
class Alike:
    """`jobs` whose price is the same, since their `body` says the same of what is billed."""

    body: str
    jobs: int


@dataclass(frozen=True, slots=True)
class PriceSources:
    """For one model, USD a request: `own` is the manifest's, `typical` what earlier ones cost."""

    own: float | None = None
    vendor: ModelPrice | None = None
    typical: float | None = None

    @property
    def by_second(self) -> bool:
        """Whether the price of a job depends on its input."""
        return self.own is None and self.vendor is not None and self.vendor.unit == "second"


def cost_of(work: Iterable[Alike], sources: PriceSources) -> Cost:
    """The best source that has an answer decides, for each kind of job."""
    return sum((_cost(one, sources) for one in work), Cost())


def _cost(work: Alike, sources: PriceSources) -> Cost:
    if sources.own is not None:
        return Cost(known=work.jobs * sources.own)
    price = None if sources.vendor is None else request_price(sources.vendor, work.body)
    price = sources.typical if price is None else price
    return Cost(unpriced=work.jobs) if price is None else Cost(estimated=work.jobs * price)


def suffices(budget: float, spent: Money, cost: Cost) -> bool | None:
    """Whether the budget is enough for what is still to be submitted; None: nobody can tell."""
    if spent.committed + cost.total > budget:
        return False
    return None if cost.unpriced or spent.unpriced else True


def usd(amount: float) -> str:
    decimals = 4 if 0 < abs(amount) < SMALLEST else 2
    return f"{amount:,.{decimals}f} USD"
