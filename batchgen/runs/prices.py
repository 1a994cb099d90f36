"""What a request costs, asked for only where a budget needs to know. USD."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from batchgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batchgen.manifest import Policy
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runcomfy.price_answer import ModelPrice

FRAMES_PER_SECOND = 24
DEFAULT_FRAMES = 121
"""What the published page makes without `frames`; 121 frames are 5 s, 241 are 10 s."""


class PriceList:
    """The manifest's prices, a request each; else the vendor's, by its unit."""

    def __init__(self, own: Mapping[str, float], vendor: Mapping[str, ModelPrice]) -> None:
        self._own = own
        self._vendor = vendor

    def price(self, model: str, body: str) -> float | None:
        """USD for one request with this input; None where nobody knows."""
        if model in self._own:
            return self._own[model]
        price = self._vendor.get(model)
        return None if price is None else request_price(price, body)


def request_price(price: ModelPrice, body: str) -> float | None:
    """What the vendor's unit means for one input; None for a unit that nobody documented."""
    match price.unit:
        case "output" | "request" | "image" | "video":
            return price.base_usd
        case "second":
            frames = int(json.loads(body).get("frames", DEFAULT_FRAMES))
            return price.base_usd * (frames - 1) / FRAMES_PER_SECOND
        case _:
            return None


async def price_list(api: RunComfy, policy: Policy, models: Iterable[str]) -> PriceList:
    """The prices of `models`. Without a budget nobody is asked.

    Raises InputError where there is a budget and a model's price is known to nobody.
    """
    own = {
        model: limits.price for model, limits in policy.models.items() if limits.price is not None
    }
    vendor: dict[str, ModelPrice] = {}
    if policy.budget is not None:
        for model in models:
            if model not in own and (price := await api.price(model)):
                vendor[model] = price
    prices = PriceList(own, vendor)
    unknown = [model for model in models if prices.price(model, "{}") is None]
    if policy.budget is not None and unknown:
        raise InputError(
            f"run.budget needs a price for {', '.join(unknown)}, and the vendor told none",
            next_step=f"add run.models.{unknown[0]}.price (USD for one request), or leave the"
            " budget out",
        )
    return prices
