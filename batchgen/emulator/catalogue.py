"""The models on offer, one for each published schema: name, output and price.

The vendor publishes no prices with the schemas. These are invented, so that budgets can be
rehearsed; they predict no real bill.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from batchgen.emulator.asked import KINDS as KINDS_OF_FILES
from batchgen.emulator.asked import Asked, Extension
from batchgen.emulator.settings import EmulatorError
from batchgen.emulator.validation import input_validator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema.protocols import Validator

    from batchgen.emulator.store import StoredRequest


PRICING_NOTE = "A rehearsal price of the emulator; it says nothing about a real bill."


@dataclass(frozen=True, slots=True)
class Offer:
    """`usd` for each `unit`; `latency` in seconds; `extension` is the output files'."""

    display_name: str
    description: str
    categories: tuple[str, ...]
    extension: Extension
    usd: float
    unit: str
    latency: float
    note: str = PRICING_NOTE


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

SOUND = Offer(
    "Sound",
    "A sound from a prompt.",
    ("text-to-audio",),
    "wav",
    usd=0.02,
    unit="output",
    latency=1.0,
)

OFFERS = {
    "bytedance/dreamina-4-0/text-to-image": TEXT_TO_IMAGE,
    "bytedance/dreamina-4-0/edit": EDIT,
    "bytedance/dreamina-3-0/pro/image-to-video": IMAGE_TO_VIDEO,
}


AUDIO_MARKS = ("audio", "speech", "music", "sound", "song", "voice", "tts", "sfx")


def offer_of(model_id: str, about: Mapping[str, Any] = MappingProxyType({})) -> Offer:
    """Return a model's offer: the table's, or what its entry `about` says.

    What neither says is a similar model's.
    """
    if model_id in OFFERS:
        return OFFERS[model_id]
    categories = tuple(about.get("categories", ()))
    similar = _similar(str(about.get("makes") or (categories or (model_id,))[0]))
    return Offer(
        about.get("display_name") or similar.display_name,
        about.get("description") or similar.description,
        categories or similar.categories,
        similar.extension,
        about["base_price_usd"] if about.get("base_price_usd") is not None else similar.usd,
        about.get("price_unit") or similar.unit,
        similar.latency,
        about.get("pricing_note") or PRICING_NOTE,
    )


def _similar(name: str) -> Offer:
    target = name.rsplit("/", 1)[-1].lower().rsplit("to-", 1)[-1]
    if "video" in target:
        return IMAGE_TO_VIDEO
    return SOUND if any(mark in target for mark in AUDIO_MARKS) else TEXT_TO_IMAGE


def outputs_of(model: Model, job_input: Mapping[str, Any], images_per_request: int) -> int:
    """Return how many files a request makes."""
    is_image = KINDS_OF_FILES[model.offer.extension] == "image"
    if not is_image or job_input.get("force_single") is True:
        return 1
    return Asked(model.schema, job_input).count() or images_per_request


def price_of(model: Model, job_input: Mapping[str, Any], outputs: int) -> float:
    """Return USD."""
    is_timed = model.offer.unit == "second"
    seconds = Asked(model.schema, job_input).billed_seconds() if is_timed else 1
    return round(model.offer.usd * outputs * seconds, 4)


SCHEMAS = Path(__file__).parent.parent / "models" / "schemas"
OUTPUT_SCHEMA = "output.json"
KIND = "model"
KINDS = (KIND, "workflow", "inference")
ABOUT_SUFFIX = ".about.json"


@dataclass(frozen=True, slots=True)
class Model:
    model_id: str
    offer: Offer
    schema: Mapping[str, Any]
    validator: Validator

    def default(self, key: str) -> Any:
        return self.schema.get("properties", {}).get(key, {}).get("default")

    def extension(self, job_input: Mapping[str, Any]) -> Extension:
        return Asked(self.schema, job_input).extension(self.offer.extension)


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: Mapping[str, Model]
    output_schema: Mapping[str, Any]

    def offer(self, model_id: str) -> Offer:
        """Also of a model that is no longer on offer, of which the state has requests."""
        model = self.models.get(model_id)
        return offer_of(model_id) if model is None else model.offer

    def extension_of(self, stored: StoredRequest) -> Extension:
        """The format of a request's files."""
        model = self.models.get(stored.model_id)
        if model is None:
            return offer_of(stored.model_id).extension
        return model.extension(json.loads(stored.input))


def load_catalogue(more: Iterable[Path] = ()) -> Catalogue:
    """Read the bundled models and those in the folders `more`. Raises EmulatorError."""
    models: dict[str, Model] = {}
    for folder in (SCHEMAS, *more):
        models |= {one.model_id: one for one in _read_models(folder) if one.model_id not in models}
    return Catalogue(models, _read_json(SCHEMAS / OUTPUT_SCHEMA))


def _read_models(folder: Path) -> Iterator[Model]:
    for path in sorted(folder.rglob("*.json")):
        model_id = path.relative_to(folder).as_posix().removesuffix(".json")
        # A model id has an owner; a schema at the top level describes no model.
        if "/" not in model_id or path.name.endswith(ABOUT_SUFFIX):
            continue
        schema = _read_json(path)
        entry = path.with_name(path.name.removesuffix(".json") + ABOUT_SUFFIX)
        about = _read_json(entry) if entry.exists() else {}
        try:
            yield Model(model_id, offer_of(model_id, about), schema, input_validator(schema))
        except (TypeError, AttributeError, ValueError) as exc:
            raise _unusable(path, str(exc)) from exc


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise _unusable(path, str(exc)) from exc
    if not isinstance(document, dict):
        raise _unusable(path, "it is not a mapping")
    return document


def _unusable(path: Path, why: str) -> EmulatorError:
    step = "Remove the file, or fetch it again with `batchgen models add`."
    return EmulatorError(f"The schema {path} cannot be used: {why}.", next_step=step)


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
        "pricing_note": model.offer.note,
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
