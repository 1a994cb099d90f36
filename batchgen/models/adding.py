"""Writes a model of the vendor's into `schemas/`, and finds what is new to one that lies there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchgen.fs import disk_errors, own_part, publishing
from batchgen.models.own_models import (
    BadSchemaError,
    about_path,
    checked_model,
    read_own_model,
    schema_path,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.models.catalog import Makes, Model

SCHEMA_KEYS = ("input_schema", "schema")
ABOUT_KEYS = (
    "model_id",
    "display_name",
    "description",
    "categories",
    "kind",
    "base_price_usd",
    "price_unit",
    "pricing_note",
    "model_url",
    "output_schema",
)
"""What of an entry is kept, besides `makes`, which `models add --makes` sets."""
PRICE_KEYS = ("base_price_usd", "price_unit")


@dataclass(frozen=True, slots=True)
class Known:
    """A model in `schemas/`, as it is there; `trouble` if its files cannot be used."""

    model: Model | None
    trouble: str = ""


def published_model(model_id: str, entry: Mapping[str, Any], makes: Makes | None) -> Model:
    """The model that an entry of the catalogue describes.

    Raises BadSchemaError with everything of it that is not understood.
    """
    schema = next((entry[key] for key in SCHEMA_KEYS if isinstance(entry.get(key), dict)), None)
    if schema is None:
        raise BadSchemaError("the vendor publishes no input schema of it")
    about = {key: entry[key] for key in ABOUT_KEYS if entry.get(key) is not None}
    about["base_price_usd"] = _price(about.get("base_price_usd"))
    if makes is not None:
        about["makes"] = makes.value
    kept = {key: value for key, value in about.items() if value is not None}
    return checked_model(model_id, schema, kept)


def _price(value: Any) -> float | int | None:
    """A price may be a text; what is no number is no price."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return value if isinstance(value, int | float) else amount


def known_model(folder: Path, model_id: str) -> Known | None:
    """The model as it lies in a `schemas` folder; None if it does not."""
    if not schema_path(folder, model_id).exists():
        return None
    try:
        return Known(read_own_model(folder, model_id))
    except BadSchemaError as exc:
        return Known(None, str(exc))


def price_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`base_price_usd is 0.05, added 0.04`."""
    return [
        f"{key} is {now.get(key, 'none')}, added {before.get(key, 'none')}"
        for key in PRICE_KEYS
        if before.get(key) != now.get(key)
    ]


def write_model(folder: Path, model: Model) -> None:
    """Publish both files. The schema comes last: with it, the model is there.

    Raises OutputError, DiskFullError, StorageError.
    """
    path = schema_path(folder, model.id)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _publish(about_path(folder, model.id), model.about)
    _publish(path, model.schema)


def _publish(path: Path, document: Mapping[str, Any]) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    with disk_errors(path), publishing(path, own_part(path), durable=True) as file:
        file.write(text.encode())
