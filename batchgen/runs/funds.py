"""Whether the account's balance covers what is still to be submitted.

It decides nothing: until the vendor refuses a submit for it, the run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.runs.plans.costing import Alike, Cost, PriceSources, cost_of, usd
from batchgen.state.costs import typical_cost
from batchgen.state.due import pending_work

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from batchgen.jobs import JsonValue
    from batchgen.manifest import Policy
    from batchgen.runs.plans.live_models import LiveModels
    from batchgen.state.selection import Selection

WHAT_HAPPENS = "the run pauses when the vendor refuses a submit for it"
WAYS_OUT = "top the account up, or begin fewer jobs with --limit"


@dataclass(frozen=True, slots=True)
class Funds:
    """USD: `balance` as the vendor said at the start, None where it did not; `cost` of the jobs.

    `most` is what the budget leaves for them; None: there is no budget.
    """

    balance: float | None = None
    cost: Cost = field(default_factory=Cost)
    most: float | None = None

    @property
    def suffice(self) -> bool | None:
        """None: nobody can tell, since the balance or a price is not known."""
        if self.balance is None:
            return None
        if self.missing > 0:
            return False
        within_budget = self.most is not None and self.most <= self.balance
        return None if self.cost.unpriced and not within_budget else True

    @property
    def missing(self) -> float:
        """What the jobs of known price cost beyond the balance; also where that is below zero."""
        needed = self.cost.total if self.most is None else min(self.cost.total, self.most)
        # A thousandth of a cent forgives the rounding of many small prices.
        over = needed - (self.balance or 0.0)
        return over if over > 1e-5 else 0.0  # noqa: PLR2004 - see above

    def warning(self) -> str | None:
        """A line for people, where the balance does not suffice."""
        if self.suffice is not False:
            return None
        return (
            f"warning: the balance of {usd(self.balance or 0.0)} does not cover the jobs to be"
            f" submitted ({self.cost.words()}), {usd(self.missing)} are missing; {WHAT_HAPPENS}\n"
            f"  → {WAYS_OUT}"
        )

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "balance_usd": None if self.balance is None else round(self.balance, 6),
            "balance_suffices": self.suffice,
        }


UNASKED = Funds()


def estimated(
    db: sqlite3.Connection,
    models: Iterable[str],
    selection: Selection,
    policy: Policy,
    live: LiveModels,
) -> Cost:
    """What the selected pending jobs of these models will cost."""
    return sum((_of_model(db, model, selection, policy, live) for model in models), Cost())


def _of_model(
    db: sqlite3.Connection, model: str, selection: Selection, policy: Policy, live: LiveModels
) -> Cost:
    sources = price_sources(db, model, policy, live)
    work = pending_work(db, model, selection, by_frames=sources.by_second)
    return cost_of([Alike(*one) for one in work], sources)


def price_sources(
    db: sqlite3.Connection, model: str, policy: Policy, live: LiveModels
) -> PriceSources:
    limits, facts = policy.models.get(model), live.facts.get(model)
    return PriceSources(
        own=limits.price if limits else None,
        vendor=facts.price if facts else None,
        typical=typical_cost(db, model),
    )
