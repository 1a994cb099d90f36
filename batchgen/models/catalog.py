"""The list of models, read once from their published schemas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from batchgen.errors import BatchgenError
from batchgen.jobs import model_alias
from batchgen.models.fields import SHORT_KEY, SIZE_KEY, Field, read_fields, short_sizes
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable


class Makes(StrEnum):
    IMAGE = "image"
    VIDEO = "video"


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """`schema` is the input schema exactly as published.

    `sizes` maps the short form of a size to the schema's value; empty if the model has no sizes.
    """

    id: str
    makes: Makes
    schema: Mapping[str, Any]
    fields: tuple[Field, ...]
    sizes: Mapping[str, str]

    @property
    def alias(self) -> str:
        return model_alias(self.id)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that an input may have, with `size` if it is short for another key."""
        short = (SHORT_KEY,) if self.sizes else ()
        return tuple(field.name for field in self.fields) + short

    def accepting(self, names: tuple[str, ...]) -> Model:
        """The same model, but accepting any values of these keys, known or not."""
        return _accepting(self, names) if names else self


@cache
def _accepting(model: Model, names: tuple[str, ...]) -> Model:
    # A size is always sent under the schema's own key.
    keys = [SIZE_KEY if model.sizes and name == SHORT_KEY else name for name in names]
    anything: dict[str, Mapping[str, Any]] = {key: {} for key in keys}
    schema = {**model.schema, "properties": {**model.schema["properties"], **anything}}
    fields = read_fields(schema)
    return Model(model.id, model.makes, schema, fields, model.sizes)


@cache
def catalog() -> Mapping[str, Model]:
    """Model id → model, ordered by id."""
    return read_catalog(files("batchgen.models") / "schemas")


@cache
def model_ids() -> tuple[str, ...]:
    """The ids alone, without reading any schema."""
    groups = (files("batchgen.models") / "schemas").iterdir()
    return tuple(
        sorted(
            f"{group.name}/{model_id}"
            for group in groups
            if group.is_dir()
            for model_id, _ in _schema_files(group)
        )
    )


@cache
def free_texts() -> frozenset[str]:
    """The keys of inputs that take any text, such as `prompt`."""
    return frozenset(
        key
        for model in catalog().values()
        for key, field in model.schema["properties"].items()
        if field.get("type") == "string" and not {"enum", "format", "pattern"} & field.keys()
    )


def find_model(model_id: str) -> Model | None:
    return catalog().get(model_id)


def named_model(name: str) -> Model | None:
    """The model with this id or short name, such as `t2i`."""
    return find_model(name) or _by_alias().get(name)


@cache
def _by_alias() -> Mapping[str, Model]:
    """Short name → model, without names that several models share."""
    names = [model.alias for model in catalog().values()]
    return {model.alias: model for model in catalog().values() if names.count(model.alias) == 1}


def nearest_model(model_id: str) -> str | None:
    """A hint for an unknown id: `did you mean '…'?`, or a list of all ids.

    `text-to-image` and `t2i` suggest the model they belong to, if there is only one.
    """
    spellings = {one: one for one in catalog()}
    for short in (lambda one: one.rsplit("/", 1)[-1], model_alias):
        shorts = [short(one) for one in catalog()]
        spellings |= {
            name: one
            for name, one in zip(shorts, catalog(), strict=True)
            if shorts.count(name) == 1
        }
    if model_id.lower() in spellings:
        return f"did you mean '{spellings[model_id.lower()]}'?"
    return did_you_mean(model_id, catalog())


def read_catalog(folder: Traversable) -> dict[str, Model]:
    """Read every schema below `folder`; a model's id is its path without `.json`.

    Files in `folder` itself are not models: a model id has at least one slash.
    Raises BatchgenError for a file that is not a valid schema.
    """
    models = [
        _read_model(f"{group.name}/{model_id}", file)
        for group in folder.iterdir()
        if group.is_dir()
        for model_id, file in _schema_files(group)
    ]
    return {model.id: model for model in sorted(models, key=lambda model: model.id)}


def _schema_files(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from ((f"{entry.name}/{rest}", file) for rest, file in _schema_files(entry))
        elif entry.name.endswith(".json"):
            yield entry.name.removesuffix(".json"), entry


def _read_model(model_id: str, file: Traversable) -> Model:
    # Here, so that model_ids does not wait for jsonschema-rs.
    from batchgen.models.compiled_validator import (  # noqa: PLC0415 - see above
        closed,
        require_known_types,
    )

    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
        require_known_types(schema)
        closed(schema)
        return Model(model_id, makes_of(model_id), schema, read_fields(schema), _sizes(schema))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BatchgenError(
            f"the bundled schema of {model_id} cannot be used: {exc}",
            next_step="put the schema there exactly as its page publishes it",
        ) from exc


def makes_of(model_id: str) -> Makes:
    """What a model makes, by the last part of its id."""
    target = model_id.rsplit("/", 1)[-1].rsplit("to-", 1)[-1]
    return Makes.VIDEO if "video" in target else Makes.IMAGE


def wrong_kind(model_id: str, media_type: str) -> str:
    """What is wrong if a file is not of the kind that its model makes; "" if nothing is.

    A video from a model that makes images is fine: it may be an animated image.
    """
    if makes_of(model_id) is Makes.VIDEO and not media_type.startswith("video/"):
        return f"{media_type} came from a model that makes videos"
    return ""


def _sizes(schema: Mapping[str, Any]) -> dict[str, str]:
    properties = schema["properties"]
    if SHORT_KEY in properties:
        return {}
    return short_sizes(properties.get(SIZE_KEY, {}).get("enum", ()))
