"""RunComfy's dialect of JSON Schema: brought into one form, and what of it is not understood. Pure.

The pages write some rules in several ways. `normalized` writes each in one, which the validators,
the fields and the editor's schema read; the published text itself stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

TYPES = frozenset({"array", "boolean", "float", "integer", "null", "number", "object", "string"})
FILE_FORMATS = ("image_uri", "video_uri", "audio_uri")
PLURAL_FORMATS = {f"{one}s": one for one in FILE_FORMATS}

_COMBINED = ("allOf", "anyOf", "oneOf")
_RULES = frozenset(
    {
        "additionalProperties",
        "const",
        "dependentRequired",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "properties",
        "required",
        "type",
        "uniqueItems",
        "validations",
        *_COMBINED,
    }
)
LABELS = frozenset(
    {
        "$comment",
        "$id",
        "$schema",
        "advanced",
        "default",
        "deprecated",
        "description",
        "enumDescriptions",
        "enumNames",
        "example",
        "examples",
        "group",
        "hidden",
        "name",
        "order",
        "patternErrorMessage",
        "placeholder",
        "readOnly",
        "section",
        "step",
        "title",
        "ui",
        "unit",
        "widget",
        "writeOnly",
    }
)
"""Keywords that help people to fill in a form, and forbid nothing."""
_LABEL_FORMATS = frozenset(
    {
        "color",
        "date",
        "date-time",
        "double",
        "email",
        "float",
        "int32",
        "int64",
        "multiline",
        "password",
        "textarea",
        "time",
        "uri",
        "url",
        "uuid",
    }
)
"""Formats that the vendor checks by itself: their values are sent as they are."""
_FORMATS = frozenset({*FILE_FORMATS, *PLURAL_FORMATS, *_LABEL_FORMATS})


def normalized(schema: Schema) -> dict[str, Any]:
    """Write each rule in the one form that the validators know; also in the schemas inside.

    - `format: image_uris` at a list is `format: image_uri` at its items
    - `required: true` in a property is its name in the object's `required`
    - a name in `required` that no property describes takes any value
    """
    found = dict(schema)
    if isinstance(found.get("properties"), Mapping):
        found |= _normalized_object(found)
    one = PLURAL_FORMATS.get(str(found.get("format")))
    if one is not None:
        del found["format"]
        found["type"] = "array"
        found["items"] = {"type": "string", **_mapping(found.get("items")), "format": one}
    if isinstance(found.get("items"), Mapping):
        found["items"] = normalized(found["items"])
    for key in _COMBINED:
        if isinstance(found.get(key), list):
            found[key] = [normalized(_mapping(part)) for part in found[key]]
    return found


def _normalized_object(schema: Schema) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    required = list(schema["required"]) if isinstance(schema.get("required"), list) else []
    for name, part in schema["properties"].items():
        one = normalized(part)
        is_required = isinstance(one.get("required"), bool) and one.pop("required")
        if is_required and name not in required:
            required.append(name)
        parts[name] = one
    if not _COMBINED_KEYS & schema.keys():
        names = [name for name in required if isinstance(name, str)]
        parts |= {name: {} for name in names if name not in parts}
    return {"properties": parts, **({"required": required} if required else {})}


_COMBINED_KEYS = frozenset(_COMBINED)


def _mapping(value: Any) -> Schema:
    return value if isinstance(value, Mapping) else {}


def not_understood(schema: Any) -> list[str]:
    """Everything in an input schema that batchgen would not obey, each with its place.

    Empty for a schema that can be used.
    """
    if not isinstance(schema, Mapping):
        return ["the schema is not a mapping"]
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return ["the schema has no properties"]
    if schema.get("type", "object") != "object":
        return [f"the schema's type is {schema['type']!r}, not 'object'"]
    found = list(_unknown(schema, ""))
    return found or list(_malformed(schema))


def _unknown(schema: Schema, path: str) -> Iterator[str]:
    where = path or "the schema"
    for keyword in schema:
        if keyword not in _RULES | LABELS and not keyword.startswith("x-"):
            yield f"{where} has the unknown keyword '{keyword}'"
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if not isinstance(kind, str) or kind not in TYPES:
            yield f"{where} has the unknown type '{kind}'"
    written = None if "format" not in schema else str(schema["format"])
    if written is not None and written not in _FORMATS:
        yield f"{where} has the unknown format '{written}'"
    elif written in PLURAL_FORMATS and schema.get("type", "array") != "array":
        yield f"{where} has the format '{written}' and is no list"
    for name, part in _mapping(schema.get("properties")).items():
        if not name.isprintable():
            yield f"{where} has the unprintable key {name!r}"
        yield from _inner(part, f"{path}.{name}" if path else str(name))
    if "items" in schema:
        yield from _inner(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _unknown(schema["additionalProperties"], f"{path}.*")
    for key in _COMBINED:
        parts = schema.get(key)
        for part in parts if isinstance(parts, list) else ():
            yield from _inner(part, path)


def _inner(part: Any, path: str) -> Iterator[str]:
    if isinstance(part, Mapping):
        yield from _unknown(part, path)
    else:
        yield f"{path} is not a schema but {type(part).__name__}"


def _malformed(schema: Schema) -> Iterator[str]:
    """Keywords whose values are impossible, such as a limit that is a text."""
    # Imported here because only a new model asks for it, and jsonschema is slow to load.
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - see above

    checker = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    for error in checker.iter_errors(_in_draft(normalized(schema))):
        place = ".".join(str(step) for step in error.absolute_path if step != "properties")
        yield f"{place or 'the schema'}: {error.message}"
    for pattern in _patterns(schema):
        try:
            re.compile(pattern)
        except re.error:
            yield f"the pattern {pattern!r} is not understood"


def _in_draft(value: Any) -> Any:
    """The schema with the draft's own name for `float`."""
    if isinstance(value, Mapping):
        return {
            key: _named(part) if key == "type" else _in_draft(part) for key, part in value.items()
        }
    return [_in_draft(part) for part in value] if isinstance(value, list) else value


def _named(kind: Any) -> Any:
    if isinstance(kind, list):
        return list(dict.fromkeys(map(_named, kind)))
    return _in_draft(kind) if isinstance(kind, Mapping) else {"float": "number"}.get(kind, kind)


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key == "pattern" and isinstance(part, str):
                yield part
            else:
                yield from _patterns(part)
    elif isinstance(value, list):
        for part in value:
            yield from _patterns(part)
