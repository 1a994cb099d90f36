"""What a model costs, where the vendor says so."""

from __future__ import annotations

from dataclasses import dataclass

from batchgen.runcomfy.answer import Answer, json_object
from batchgen.runcomfy.outputs import usd

_UNIT_LIMIT = 40


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """`base_usd` dollars for each `unit`: "output", "second" or another word of the vendor's."""

    base_usd: float
    unit: str


def read_price(answer: Answer) -> ModelPrice | None:
    """Read the price, or None: the vendor does not list every model."""
    fields = json_object(answer.body) if answer.is_success else None
    if not fields:
        return None
    amount, unit = usd(fields.get("base_price_usd")), fields.get("price_unit")
    if amount is None or not isinstance(unit, str) or not unit.strip():
        return None
    return ModelPrice(amount, answer.words(unit, _UNIT_LIMIT))
