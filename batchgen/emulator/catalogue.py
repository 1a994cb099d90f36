"""The models on offer, one for each published schema: name, output and price.

The vendor publishes no prices with the schemas. These are invented, so that budgets can be
rehearsed; they predict no real bill.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from batchgen.emulator.validation import input_validator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema.protocols import Validator


Extension: TypeAlias = Literal["png", "jpg", "mp4"]

FRAMES_PER_SECOND = 24
DEFAULT_FRAMES = 121


@dataclass(frozen=True, slots=True)
class Offer:
    """`usd` for each `unit`; `latency` in seconds; `extension` is the output files'."""

    display_name: str
    description: str
    categories: tuple[str, ...]
    extension: Extension
    usd: float
    unit: Literal["output", "second"]
    latency: float


TEXT_TO_IMAGE = Offer(
    "Dreamina 4.0 Text to Image",
    "Pictures from a prompt.",
    ("text-to-image",),
    "png",
    usd=0.03,
    unit="output",
    latency=1.0,
)
EDIT = Offer(
    "Dreamina 4.0 Edit",
    "Pictures from a prompt and one to ten pictures.",
    ("image-to-image", "image-edit"),
    "jpg",
    usd=0.03,
    unit="output",
    latency=1.0,
)
IMAGE_TO_VIDEO = Offer(
    "Dreamina 3.0 Pro Image to Video",
    "A clip from a prompt and its first picture.",
    ("image-to-video",),
    "mp4",
    usd=0.08,
    unit="second",
    latency=2.0,
)

OFFERS = {
    "bytedance/dreamina-4-0/text-to-image": TEXT_TO_IMAGE,
    "bytedance/dreamina-4-0/edit": EDIT,
    "bytedance/dreamina-3-0/pro/image-to-video": IMAGE_TO_VIDEO,
}


def offer_of(model_id: str) -> Offer:
    """Return a model's offer. A model that is not in the table gets a similar model's."""
    if model_id in OFFERS:
        return OFFERS[model_id]
    return IMAGE_TO_VIDEO if model_id.endswith("video") else TEXT_TO_IMAGE


def frames_of(job_input: Mapping[str, Any]) -> int:
    return int(job_input.get("frames", DEFAULT_FRAMES))


def outputs_of(job_input: Mapping[str, Any], offer: Offer, images_per_request: int) -> int:
    """Return how many files a request makes."""
    single = offer.extension == "mp4" or job_input.get("force_single") is True
    return 1 if single else images_per_request


def price_of(job_input: Mapping[str, Any], offer: Offer, outputs: int) -> float:
    """Return USD. A video is billed in whole seconds: 121 frames are 5, 241 are 10."""
    seconds = round(frames_of(job_input) / FRAMES_PER_SECOND) if offer.unit == "second" else 1
    return round(offer.usd * outputs * seconds, 4)


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
        # A model id has an owner; a schema at the top level describes no model.
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
    """The filters of `GET /models`; an empty one matches every model."""

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
