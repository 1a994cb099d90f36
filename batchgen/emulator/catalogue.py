"""The models on offer: one for each published schema under batchgen/models/schemas/."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.emulator.dialect import input_validator
from batchgen.emulator.offers import Offer, offer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema.protocols import Validator

SCHEMAS = Path(__file__).parent.parent / "models" / "schemas"
OUTPUT_SCHEMA = "output.json"
KIND = "model"
KINDS = (KIND, "workflow", "inference")
PRICING_NOTE = "A rehearsal price of the emulator; it says nothing about a real bill."


@dataclass(frozen=True, slots=True)
class Model:
    model_id: str
    offer: Offer
    schema: Mapping[str, Any]
    validator: Validator

    def default(self, key: str) -> Any:
        return self.schema.get("properties", {}).get(key, {}).get("default")


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: Mapping[str, Model]
    output_schema: Mapping[str, Any]


def load_catalogue(folder: Path = SCHEMAS) -> Catalogue:
    models = {model.model_id: model for model in _read_models(folder)}
    return Catalogue(models, _read_json(folder / OUTPUT_SCHEMA))


def _read_models(folder: Path) -> Iterator[Model]:
    for path in sorted(folder.rglob("*.json")):
        model_id = path.relative_to(folder).with_suffix("").as_posix()
        # A model id has an owner; what lies on the top level describes no model.
        if "/" in model_id:
            schema = _read_json(path)
            yield Model(model_id, offer_of(model_id), schema, input_validator(schema))


def _read_json(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def model_document(
    model: Model, output_schema: Mapping[str, Any], *, with_schema: bool
) -> dict[str, Any]:
    """Describe a model as `GET /models` does."""
    document: dict[str, Any] = {
        "model_id": model.model_id,
        "display_name": model.offer.display_name,
        "description": model.offer.description,
        "categories": list(model.offer.categories),
        "kind": KIND,
        "base_price_usd": model.offer.usd,
        "price_unit": model.offer.unit,
        "pricing_note": PRICING_NOTE,
        "model_url": f"https://www.runcomfy.com/models/{model.model_id}",
        "inputs": list(model.schema.get("properties", {})),
        "required_inputs": list(model.schema.get("required", ())),
    }
    if with_schema:
        document |= {"input_schema": model.schema, "output_schema": output_schema}
    return document


@dataclass(frozen=True, slots=True)
class Query:
    """What `GET /models` is asked for; empty words match all."""

    search: str = ""
    category: str = ""
    kind: str = ""

    def matches(self, model: Model) -> bool:
        offer = model.offer
        text = f"{model.model_id}\n{offer.display_name}\n{offer.description}"
        return (
            self.search.casefold() in text.casefold()
            and (not self.category or self.category in offer.categories)
            and self.kind in ("", KIND)
        )


def categories(models: Iterable[Model]) -> list[str]:
    return sorted({category for model in models for category in model.offer.categories})
