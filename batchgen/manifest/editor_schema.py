"""The schema file for editors: the part written by hand, with the models' inputs put in.

    python -m batchgen.manifest.editor_schema          print it
    python -m batchgen.manifest.editor_schema --write  renew schema.json after a change

Editors use it to complete and check a manifest while it is written. So every field also takes a
template, and no key of an input is required, since the defaults may have it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.manifest.schema_validation import INPUTS, Schema, read_schema, written_by_hand
from batchgen.models.catalog import bundled
from batchgen.models.dialect import FILE_FORMATS
from batchgen.models.fields import SHORT_KEY, SIZE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batchgen.models.catalog import Catalog, Model


TEMPLATE: Schema = {"type": "string", "pattern": "\\{\\{"}
ANY_INPUT = f"{INPUTS}any"

_LIMITS = (
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maximum",
    "maxItems",
    "maxLength",
    "minimum",
    "minItems",
    "minLength",
    "multipleOf",
    "pattern",
    "uniqueItems",
)
_TYPES = {"float": "number"}


def editor_schema(by_hand: Schema, catalog: Catalog) -> Schema:
    """Add the models to `by_hand`, the part that is written by hand."""
    known = tuple(_NamedModel(one, catalog.names_of(one)) for one in catalog.models.values())
    names = _names(known)
    policies = {name: {"$ref": "#/$defs/model_policy"} for name in names}
    parts: Mapping[tuple[str, ...], Any] = {
        ("properties", "defaults", "properties", "model", "anyOf"): _model_ids(known),
        ("properties", "defaults", "properties", "input", "allOf"): [_input_ref("any")],
        ("properties", "run", "properties", "models", "properties"): policies,
        ("properties", "run", "properties", "models", "propertyNames"): {"enum": [*policies]},
        ("$defs", "job", "properties", "model", "anyOf"): _model_ids(known),
        ("$defs", "job", "allOf"): [
            *(_if_model(model, _has_input(model.definition)) for model in known),
            {"if": {"not": _model_among(known)}, "then": _has_input("any")},
        ],
        ("allOf",): [_if_default(model) for model in known],
        **{("$defs", f"{INPUTS}{one.definition}"): _model_input(one.model) for one in known},
        ("$defs", ANY_INPUT): _any_input(one.model for one in known),
    }
    return reduce(lambda schema, part: _put(schema, *part), parts.items(), by_hand)


def schema_text(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _put(schema: Schema, path: tuple[str, ...], value: Any) -> Schema:
    """Copy the schema along `path`, with the last key set to `value`."""
    key, *rest = path
    return schema | {key: _put(schema[key], tuple(rest), value) if rest else value}


@dataclass(frozen=True, slots=True)
class _NamedModel:
    """A model, and what a manifest may call it: its id first, then its short name."""

    model: Model
    names: tuple[str, ...]

    @property
    def definition(self) -> str:
        """The name of its input in `$defs`, which a JSON pointer can have."""
        return self.names[-1].replace("/", "-")


def _names(models: Iterable[_NamedModel]) -> list[str]:
    """The names of models in a manifest: first their ids, then their short names."""
    known = tuple(models)
    return [*(one.names[0] for one in known), *(name for one in known for name in one.names[1:])]


def _model_ids(models: tuple[_NamedModel, ...]) -> list[Schema]:
    return [{"enum": _names(models)}, TEMPLATE]


def _model_among(models: tuple[_NamedModel, ...]) -> Schema:
    named = {"model": {"enum": _names(models)}}
    return {"required": ["model"], "properties": named}


def _if_model(model: _NamedModel, then: Schema) -> Schema:
    given = {"required": ["model"], "properties": {"model": {"enum": _names([model])}}}
    return {"if": given, "then": then}


def _if_default(model: _NamedModel) -> Schema:
    """With this default model, the input of a job without a model has its keys."""
    by_default = _if_model(model, {})["if"]
    nameless = {"if": {"not": {"required": ["model"]}}, "then": _has_input(model.definition)}
    return {
        "if": {"required": ["defaults"], "properties": {"defaults": by_default}},
        "then": {"properties": {"jobs": {"items": nameless}}},
    }


def _has_input(name: str) -> Schema:
    return {"properties": {"input": _input_ref(name)}}


def _input_ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{INPUTS}{name}"}


def _model_input(model: Model) -> Schema:
    return {
        "title": f"Input of {model.id}",
        "type": "object",
        "additionalProperties": False,
        "properties": _fields(model),
    }


def _fields(model: Model) -> dict[str, Schema]:
    fields: dict[str, Schema] = {}
    for name, part in model.rules["properties"].items():
        if name == SIZE_KEY and model.sizes:
            choices = [*model.sizes, *(full for full in part["enum"] if full not in model.sizes)]
            sized = {**part, "enum": choices}
            fields[SHORT_KEY] = _field(sized | {"description": f"Short for '{SIZE_KEY}'."})
            fields[name] = _field(sized)
        else:
            fields[name] = _field(part)
    return fields


def _field(part: Mapping[str, Any]) -> Schema:
    """The values that a field takes in a manifest, with the published description."""
    labels = {"title": part["title"]} if "title" in part else {}
    about = " ".join(
        filter(None, (part.get("description"), _path_note(part), *_file_sentences(part)))
    )
    labels |= {"description": about} if about else {}
    # The page's default is only a suggestion and never sent, so it must not look like a default.
    examples = {"examples": [part["default"]]} if "default" in part else {}
    return {**labels, "anyOf": [_value(part), TEMPLATE], **examples}


def _path_note(part: Mapping[str, Any]) -> str:
    forms = part.get("format"), part.get("items", {}).get("format")
    return "URLs, or paths of files on this machine." if {*forms} & {*FILE_FORMATS} else ""


def _file_sentences(part: Mapping[str, Any]) -> list[str]:
    rules = [*part.get("validations", ()), *part.get("items", {}).get("validations", ())]
    return list(dict.fromkeys(rule["validation_error"] for rule in rules))


def _value(part: Mapping[str, Any]) -> Schema:
    kinds = part.get("type", [])
    named = [_TYPES.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    value: Schema = {"type": named[0] if len(named) == 1 else named} if named else {}
    value |= {keyword: part[keyword] for keyword in _LIMITS if keyword in part}
    if "items" in part:
        value["items"] = {"anyOf": [_value(part["items"]), TEMPLATE]}
    if isinstance(part.get("properties"), dict):
        value["properties"] = {name: _field(one) for name, one in part["properties"].items()}
        value["additionalProperties"] = False
    return value


def _any_input(models: Iterable[Model]) -> Schema:
    """Every key of every model, for inputs whose model is not known yet."""
    variants: dict[str, list[Schema]] = {}
    for model in models:
        for name, field in _fields(model).items():
            variants.setdefault(name, []).append(field)
    return {
        "title": "Input of any model",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _union(fields) for name, fields in variants.items()},
    }


def _union(fields: list[Schema]) -> Schema:
    choices: list[Schema] = []
    for field in fields:
        choices += [choice for choice in field["anyOf"] if choice not in choices]
    first = {key: value for key, value in fields[0].items() if key in {"title", "description"}}
    return {**first, "anyOf": choices}


def main(arguments: list[str]) -> None:
    text = schema_text(editor_schema(written_by_hand(read_schema()), bundled()))
    if arguments == ["--write"]:
        Path(__file__).with_name("schema.json").write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
