"""The models that a manifest can name, read from their published schemas."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from batchgen.errors import BatchgenError
from batchgen.jobs import model_alias
from batchgen.models.dialect import normalized
from batchgen.models.fields import SHORT_KEY, SIZE_KEY, Field, read_fields, short_sizes
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.resources.abc import Traversable

ABOUT_SUFFIX = ".about.json"
"""Ends the name of the file beside a schema that has the vendor's entry of the model."""


class Makes(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """`schema` is the input schema exactly as published, `rules` the same in its one form.

    `sizes` maps the short form of a size to the schema's value; empty if the model has no sizes.
    `about` is the vendor's entry of its catalogue, empty for a bundled model.
    """

    id: str
    makes: Makes
    schema: Mapping[str, Any]
    rules: Mapping[str, Any]
    fields: tuple[Field, ...]
    sizes: Mapping[str, str]
    about: Mapping[str, Any]

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


@lru_cache(maxsize=64)
def _accepting(model: Model, names: tuple[str, ...]) -> Model:
    # A size is always sent under the schema's own key.
    keys = [SIZE_KEY if model.sizes and name == SHORT_KEY else name for name in names]
    anything: dict[str, Mapping[str, Any]] = {key: {} for key in keys}
    rules = {**model.rules, "properties": {**model.rules["properties"], **anything}}
    return replace(model, rules=rules, fields=read_fields(rules))


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """The models that a manifest can name: id → model, ordered by id.

    `free_texts` are the keys of inputs that take any text, such as `prompt`.
    """

    models: Mapping[str, Model]
    free_texts: frozenset[str] = field(init=False)
    _by_alias: Mapping[str, Model] = field(init=False)

    def __post_init__(self) -> None:
        models = dict(sorted(self.models.items()))
        aliases = Counter(model.alias for model in models.values())
        own = {model.alias: model for model in models.values() if aliases[model.alias] == 1}
        object.__setattr__(self, "models", models)
        object.__setattr__(self, "free_texts", frozenset(_free_texts(models.values())))
        object.__setattr__(self, "_by_alias", own)

    def find(self, model_id: str) -> Model | None:
        return self.models.get(model_id)

    def named(self, name: str) -> Model | None:
        """The model with this id or short name, such as `t2i`, unless several have that name."""
        return self.find(name) or self._by_alias.get(name)

    def names_of(self, model: Model) -> tuple[str, ...]:
        """What a manifest may call it: its id, and its short name if no other model has it."""
        return (model.id, model.alias) if model.alias in self._by_alias else (model.id,)

    def sharing(self, name: str) -> list[str]:
        """The ids of the models that have this short name, if there are several."""
        found = [model.id for model in self.models.values() if model.alias == name]
        return found if len(found) > 1 else []

    def nearest(self, name: str) -> str | None:
        """A hint for an unknown name: `did you mean '…'?`, or a list of all ids.

        `text-to-image` and `t2i` suggest the model they belong to, if there is only one.
        """
        if shared := self.sharing(name):
            return f"several models have this short name: {', '.join(shared)}"
        spellings = {one: one for one in self.models}
        for short in (lambda one: one.rsplit("/", 1)[-1], model_alias):
            shorts = Counter(map(short, self.models))
            spellings |= {short(one): one for one in self.models if shorts[short(one)] == 1}
        if name.lower() in spellings:
            return f"did you mean '{spellings[name.lower()]}'?"
        return did_you_mean(name, self.models)

    def with_models(self, others: Iterable[Model]) -> Catalog:
        """The same models and these; the same catalog if there are none."""
        more = {model.id: model for model in others}
        return Catalog({**self.models, **more}) if more else self

    def wrong_kind(self, model_id: str, media_type: str) -> str:
        """What is wrong if a file is not of the kind that its model makes; "" if nothing is.

        A video from a model that makes images is fine: it may be an animated image.
        """
        model = self.find(model_id)
        makes = makes_of(model_id) if model is None else model.makes
        kind = media_type.partition("/")[0]
        if kind == makes or (makes is Makes.IMAGE and kind == Makes.VIDEO):
            return ""
        return f"{media_type} came from a model that makes {plural_of(makes)}"


def plural_of(makes: Makes) -> str:
    """`images`, `videos`, `audio`."""
    return makes.value if makes is Makes.AUDIO else f"{makes.value}s"


def _free_texts(models: Iterable[Model]) -> Iterator[str]:
    for model in models:
        for key, part in model.rules["properties"].items():
            if part.get("type") == "string" and not {"enum", "format", "pattern"} & part.keys():
                yield key


@cache
def bundled() -> Catalog:
    """The models that come with batchgen."""
    return Catalog(read_models(_bundled_schemas()))


@cache
def model_ids() -> tuple[str, ...]:
    """The ids of the bundled models alone, without reading any schema."""
    return tuple(sorted(model_id for model_id, _ in schema_files(_bundled_schemas())))


def _bundled_schemas() -> Traversable:
    return files("batchgen.models") / "schemas"


def read_models(folder: Traversable) -> dict[str, Model]:
    """Read every schema below `folder`; a model's id is its path without `.json`.

    Files in `folder` itself are not models: a model id has at least one slash.
    Raises BatchgenError for a file that is not a valid schema.
    """
    return {model_id: _read_model(model_id, file) for model_id, file in schema_files(folder)}


def schema_files(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    """The model id and the file of each schema below `folder`."""
    for group in folder.iterdir():
        if group.is_dir() and not group.name.startswith("."):
            yield from ((f"{group.name}/{rest}", file) for rest, file in _below(group))


def _below(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from ((f"{entry.name}/{rest}", file) for rest, file in _below(entry))
        elif entry.name.endswith(".json") and not entry.name.endswith(ABOUT_SUFFIX):
            yield entry.name.removesuffix(".json"), entry


def _read_model(model_id: str, file: Traversable) -> Model:
    try:
        return build_model(model_id, json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BatchgenError(
            f"the bundled schema of {model_id} cannot be used: {exc}",
            next_step="put the schema there exactly as its page publishes it",
        ) from exc


def build_model(
    model_id: str, schema: Mapping[str, Any], about: Mapping[str, Any] = MappingProxyType({})
) -> Model:
    """Raises ValueError, KeyError, TypeError or AttributeError for a schema that is not one."""
    # Here, so that model_ids does not wait for jsonschema-rs.
    from batchgen.models.compiled_validator import (  # noqa: PLC0415 - see above
        closed,
        require_known_types,
    )

    rules = normalized(schema)
    require_known_types(rules)
    closed(rules)
    makes = makes_from(about) or makes_of(model_id)
    return Model(model_id, makes, schema, rules, read_fields(rules), _sizes(rules), about)


_AUDIO = ("audio", "speech", "music", "sound", "song", "voice", "tts", "sfx")
_VIDEO = ("video", "animation", "lip-sync", "lipsync")
_IMAGE = ("image", "edit", "upscale", "inpaint", "outpaint", "background-removal")


def target_of(name: str) -> Makes | None:
    """What a category or the last part of an id says is made; None if it says nothing."""
    target = name.lower().replace("_", "-").replace(" ", "-").rsplit("to-", 1)[-1]
    for makes, marks in ((Makes.VIDEO, _VIDEO), (Makes.AUDIO, _AUDIO), (Makes.IMAGE, _IMAGE)):
        if any(mark in target for mark in marks):
            return makes
    return None


def makes_of(model_id: str) -> Makes:
    """What a model makes, by the last part of its id."""
    return target_of(model_id.rsplit("/", 1)[-1]) or Makes.IMAGE


def makes_from(about: Mapping[str, Any]) -> Makes | None:
    """What a model makes, by its entry: `makes`, or else its categories; None if unclear.

    Categories that end in something that batchgen cannot verify, such as a text, say nothing.
    """
    if "makes" in about:
        return Makes(about["makes"])
    named = [one for one in about.get("categories", ()) if isinstance(one, str)]
    aims = [one for one in named if "-to-" in one.replace("_", "-").replace(" ", "-")] or named
    found = {target_of(one) for one in aims}
    return found.pop() if len(found) == 1 else None


def _sizes(schema: Mapping[str, Any]) -> dict[str, str]:
    properties = schema["properties"]
    if SHORT_KEY in properties:
        return {}
    return short_sizes(properties.get(SIZE_KEY, {}).get("enum", ()))
