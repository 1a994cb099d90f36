"""A model's price and input schema, and the account's balance, where the vendor says so. USD."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from batchgen.pauses import PauseReason
from batchgen.runcomfy.outcomes import Halted, NoAnswer
from batchgen.runcomfy.response import Answer, json_object
from batchgen.runcomfy.result import usd

if TYPE_CHECKING:
    from batchgen.jobs import JsonObject


_UNIT_LIMIT = 40
MOST_USD = 1e9
"""No balance is larger: such a number is a mistake, like infinity and NaN."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """`base_usd` dollars for each `unit`: "output", "second" or another unit of the vendor's."""

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
    return ModelPrice(amount, answer.safe_text(unit, _UNIT_LIMIT))


def read_balance(answer: Answer) -> float | None:
    """Read the balance of the wallet, which may be negative; None where there is none.

    In dollars, or where they are missing, in microdollars.
    """
    fields = json_object(answer.body) if answer.is_success else None
    if not fields or fields.get("currency", "USD") != "USD":
        return None
    for key, unit in (("balance_usd", 1.0), ("balance_microdollars", 1e-6)):
        amount = _amount(fields.get(key))
        if amount is not None:
            return amount * unit
    return None


def _amount(value: object) -> float | None:
    """As `usd`, of either sign."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if abs(amount) < MOST_USD else None


def why_no_price(answer: Answer) -> NoAnswer | Halted | None:
    """None for a vendor that names no price; otherwise why it could not be asked."""
    if answer.is_gateways:
        return NoAnswer(answer.problem())
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return Halted(PauseReason.TOKEN_REFUSED, f"HTTP {answer.status}")
    passing = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
    if answer.status in passing or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return NoAnswer(f"HTTP {answer.status}")
    return None


_SCHEMA_KEYS = ("input_schema", "schema")
"""The key is not documented; other clients read the first."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """None for what the vendor does not list."""

    price: ModelPrice | None = None
    schema: JsonObject | None = None


def read_model(answer: Answer) -> ModelFacts:
    """Read price and schema. A server may repeat the token anywhere, so it is taken out first."""
    text = answer.redact(answer.body.decode("utf-8", "replace"))
    fields = json_object(text.encode()) if answer.is_success else None
    candidates = [fields.get(key) for key in _SCHEMA_KEYS] if fields else []
    schema = next((one for one in candidates if _is_input_schema(one)), None)
    return ModelFacts(read_price(answer), schema)


def _is_input_schema(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("properties"), dict)
