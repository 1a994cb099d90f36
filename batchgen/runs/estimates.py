"""What the jobs still to be submitted will cost in USD, how long they take, and what covers them.

A price that the manifest names is known; what the vendor's list or earlier results say is an
estimate; a job without a known price is counted, never treated as free. Pure, except `price_list`,
which asks the vendor if a budget needs a price.
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from batchgen.errors import ApiUnreachableError, InputError, TokenError
from batchgen.models.billing import BILLED, billed_files, billed_seconds
from batchgen.runcomfy.outcomes import Halted, NoAnswer
from batchgen.runcomfy.pricing import ModelPrice

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.policy import Policy
    from batchgen.models.catalog import Catalog, Model
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runcomfy.pricing import ModelFacts
    from batchgen.state.records import Money


NOTHING_KNOWN: Mapping[str, ModelFacts] = MappingProxyType({})

PAUSES = (1.0, 2.0, 4.0)
"""Seconds between two tries if the API does not answer."""


class PriceList:
    """The manifest's prices per request, or else the vendor's, by its unit."""

    def __init__(
        self, own: Mapping[str, float], vendor: Mapping[str, ModelPrice], catalog: Catalog
    ) -> None:
        self._own = own
        self._vendor = vendor
        self._catalog = catalog

    def replace_by(self, other: PriceList) -> None:
        """Take over all prices of another list: a budget that comes later needs more of them."""
        self._own, self._vendor = other._own, other._vendor

    def price(self, model: str, body: str) -> float | None:
        """USD for one request with this input; None if not known."""
        if model in self._own:
            return self._own[model]
        price = self._vendor.get(model)
        return None if price is None else request_price(price, body, self._catalog.find(model))


def published_price(model: Model | None) -> ModelPrice | None:
    """The price in the entry of the catalogue that was added with the model."""
    amount = None if model is None else model.about.get("base_price_usd")
    unit = "" if model is None else model.about.get("price_unit", "")
    return ModelPrice(float(amount), unit) if amount is not None and unit else None


def request_price(price: ModelPrice, body: str, model: Model | None) -> float | None:
    """What the vendor's unit means for one input; None if its length or the unit is unknown."""
    match price.unit:
        case "request":
            return price.base_usd
        case "output" | "image" | "video" | "second" if model is not None:
            return _of_amount(price, json.loads(body), model)
        case "output" | "image" | "video":
            return price.base_usd
        case _:
            return None


def _of_amount(price: ModelPrice, values: JsonObject, model: Model) -> float | None:
    each = price.base_usd * billed_files(model.rules, values)
    if price.unit != "second":
        return each
    seconds = billed_seconds(model.rules, values)
    return None if seconds is None else each * seconds


async def price_list(
    api: RunComfy,
    policy: Policy,
    models: Collection[str],
    catalog: Catalog,
    *,
    may_come: Collection[str] = (),
    collecting: bool = False,
    known: Mapping[str, ModelFacts] = NOTHING_KNOWN,
) -> PriceList:
    """Return the prices of `models` and of `may_come`. Without a budget, the vendor is not asked.

    With a budget, an unknown price raises InputError, TokenError or ApiUnreachableError, unless the
    run is `collecting` results that are already paid for: then nothing of unknown price is
    submitted. Models that only `may_come`, with later rows, raise nothing either. The vendor is not
    asked again about `known` models. If it names no price, the one in the `catalog` counts.
    """
    limits = policy.models.items()
    own = {model: limit.price for model, limit in limits if limit.price is not None}
    vendor: dict[str, ModelPrice] = {}
    if policy.budget is None:
        return PriceList(own, vendor, catalog)
    for model in dict.fromkeys((*models, *may_come)):
        optional = collecting or model not in models
        price = known[model].price if model in known else None
        if price is None and model not in own and model not in known:
            price = await _ask(api, model, optional=optional)
        price = price or published_price(catalog.find(model))
        if price is not None:
            vendor[model] = price
    prices = PriceList(own, vendor, catalog)
    unknown = [model for model in models if prices.price(model, "{}") is None]
    if unknown and not collecting:
        raise InputError(
            f"run.budget needs a price for {', '.join(unknown)}, and the vendor names none",
            next_step=f"add run.models.{unknown[0]}.price (USD for one request), or leave the"
            " budget out",
        )
    return prices


async def _ask(api: RunComfy, model: str, *, optional: bool) -> ModelPrice | None:
    answer = await api.price(model)
    for pause in PAUSES:
        if not isinstance(answer, NoAnswer):
            break
        await asyncio.sleep(pause)
        answer = await api.price(model)
    if not isinstance(answer, NoAnswer | Halted):
        return answer
    if optional:
        return None
    where, next_step = f"the price of {model}", "run the same command again to continue"
    if isinstance(answer, Halted):
        raise TokenError(f"the API refused: {answer.reason}", where=where, next_step=next_step)
    raise ApiUnreachableError(answer.reason, where=where, next_step=next_step)


SMALLEST = 0.005
"""Below this, two decimals would show 0.00."""


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
    """`jobs` with the same price: their inputs agree with `body` in everything that is billed."""

    body: str
    jobs: int


@dataclass(frozen=True, slots=True)
class PriceSources:
    """USD per request of one model: `own` is the manifest's, `typical` what earlier ones cost.

    `model` says how long the results are, which a price per second depends on.
    """

    own: float | None = None
    vendor: ModelPrice | None = None
    typical: float | None = None
    model: Model | None = None

    @property
    def by_amount(self) -> bool:
        """Whether the price of a job depends on its input."""
        if self.own is not None or self.vendor is None or self.model is None:
            return False
        return any(key in self.model.rules["properties"] for key in BILLED)


def cost_of(work: Iterable[Alike], sources: PriceSources) -> Cost:
    """Estimate each kind of job from the best source that has a price."""
    return sum((_cost(one, sources) for one in work), Cost())


def _cost(work: Alike, sources: PriceSources) -> Cost:
    if sources.own is not None:
        return Cost(known=work.jobs * sources.own)
    vendor = sources.vendor
    price = None if vendor is None else request_price(vendor, work.body, sources.model)
    price = sources.typical if price is None else price
    return Cost(unpriced=work.jobs) if price is None else Cost(estimated=work.jobs * price)


def suffices(budget: float, spent: Money, cost: Cost) -> bool | None:
    """Whether the budget is enough for what is still to be submitted; None if not known."""
    if spent.committed + cost.total > budget:
        return False
    return None if cost.unpriced or spent.unpriced else True


def usd(amount: float) -> str:
    decimals = 4 if 0 < abs(amount) < SMALLEST else 2
    return f"{amount:,.{decimals}f} USD"


@dataclass(frozen=True, slots=True)
class LaneWork:
    """`jobs` of one model that take `seconds` each; None if none of them was ever timed.

    `limit` is how many may be in flight at once, `interval` the seconds between two submits;
    `throttled` is the interval at which the vendor accepted them when it last throttled.
    """

    model: str
    jobs: int
    seconds: float | None
    limit: int
    interval: float
    throttled: bool = False


def lane_seconds(lane: LaneWork) -> float | None:
    """Seconds for one model by itself; None if no request of it was ever timed."""
    if not lane.jobs:
        return 0.0
    if lane.seconds is None:
        return None
    by_room = math.ceil(lane.jobs / lane.limit) * lane.seconds
    by_rate = (lane.jobs - 1) * lane.interval + lane.seconds
    return max(by_room, by_rate)


def run_seconds(lanes: Iterable[LaneWork], limit: int, interval: float) -> float | None:
    """Seconds for all models together, without those never timed; None if none was timed.

    The bottleneck decides: one model, the run's room for `limit` requests, or its rate.
    """
    busy = [lane for lane in lanes if lane.jobs]
    timed = [(lane, lane.seconds) for lane in busy if lane.seconds is not None]
    if not timed:
        return None if busy else 0.0
    alone = max(lane_seconds(lane) or 0.0 for lane, _ in timed)
    by_room = sum(lane.jobs * seconds for lane, seconds in timed) / limit
    longest = max(seconds for _, seconds in timed)
    by_rate = (sum(lane.jobs for lane, _ in timed) - 1) * interval + longest
    return max(alone, by_room, by_rate)


WHAT_HAPPENS = "the run pauses when the vendor refuses a submit for it"


WAYS_OUT = "top up the account, or start fewer jobs with --limit"


@dataclass(frozen=True, slots=True)
class Funds:
    """USD: `balance` as the vendor said at the start, None if it did not; `cost` of the jobs.

    `most` is what the budget leaves for them; None if there is no budget.
    """

    balance: float | None = None
    cost: Cost = field(default_factory=Cost)
    most: float | None = None

    @property
    def suffice(self) -> bool | None:
        """None: the balance or a price is not known."""
        if self.balance is None:
            return None
        if self.missing > 0:
            return False
        within_budget = self.most is not None and self.most <= self.balance
        return None if self.cost.unpriced and not within_budget else True

    @property
    def missing(self) -> float:
        """What the jobs of known price cost beyond the balance, which may be below zero."""
        needed = self.cost.total if self.most is None else min(self.cost.total, self.most)
        # A thousandth of a cent allows for the rounding of many small prices.
        over = needed - (self.balance or 0.0)
        return over if over > 1e-5 else 0.0  # noqa: PLR2004 - see above

    def warning(self) -> str | None:
        """A line for people if the balance is not enough."""
        if self.suffice is not False:
            return None
        return (
            f"warning: the balance of {usd(self.balance or 0.0)} does not cover the jobs to be"
            f" submitted ({self.cost.words()}), {usd(self.missing)} short; {WHAT_HAPPENS}\n"
            f"  → {WAYS_OUT}"
        )

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "balance_usd": None if self.balance is None else round(self.balance, 6),
            "balance_suffices": self.suffice,
        }


UNASKED = Funds()
