"""What a request costs, asked for only where a budget needs to know. USD."""

from __future__ import annotations

import asyncio
import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from batchgen.errors import ApiUnreachableError, InputError, TokenError
from batchgen.runcomfy.outcomes import Halted, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from batchgen.manifest import Policy
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runcomfy.model_answer import ModelFacts
    from batchgen.runcomfy.price_answer import ModelPrice

NOTHING_KNOWN: Mapping[str, ModelFacts] = MappingProxyType({})

PAUSES = (1.0, 2.0, 4.0)
"""Seconds between the tries where the API does not answer."""

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


async def price_list(
    api: RunComfy,
    policy: Policy,
    models: Collection[str],
    *,
    may_come: Collection[str] = (),
    collecting: bool = False,
    known: Mapping[str, ModelFacts] = NOTHING_KNOWN,
) -> PriceList:
    """The prices of `models`, and those of `may_come`. Without a budget nobody is asked.

    With one, a price that nobody knows raises InputError, TokenError or ApiUnreachableError: unless
    the run is `collecting` what is paid already, which no missing price may hold up. Then nothing
    of unknown price is submitted. Nor may it for models that only `may_come`, with later rows. What
    is `known` of a model is not asked again.
    """
    limits = policy.models.items()
    own = {model: limit.price for model, limit in limits if limit.price is not None}
    vendor: dict[str, ModelPrice] = {}
    if policy.budget is None:
        return PriceList(own, vendor)
    for model in dict.fromkeys((*models, *may_come)):
        optional = collecting or model not in models
        price = known[model].price if model in known else None
        if price is None and model not in own and model not in known:
            price = await _ask(api, model, optional=optional)
        if price is not None:
            vendor[model] = price
    prices = PriceList(own, vendor)
    unknown = [model for model in models if prices.price(model, "{}") is None]
    if unknown and not collecting:
        raise InputError(
            f"run.budget needs a price for {', '.join(unknown)}, and the vendor told none",
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
    where, next_step = f"the price of {model}", "the same command continues"
    if isinstance(answer, Halted):
        raise TokenError(f"the API refused: {answer.reason}", where=where, next_step=next_step)
    raise ApiUnreachableError(answer.reason, where=where, next_step=next_step)
