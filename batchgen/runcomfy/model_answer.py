"""What the vendor tells of a model: its price, and the schema of its input as it is today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.runcomfy.answer import Answer, json_object
from batchgen.runcomfy.price_answer import ModelPrice, read_price

if TYPE_CHECKING:
    from batchgen.jobs import JsonObject

_SCHEMA_KEYS = ("input_schema", "schema")
"""No document names the key; clients were seen to read the first."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """None stands for what the vendor does not tell: it does not list every model."""

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
