"""A fast check ahead of the validator: the schema compiled by jsonschema-rs, thirty times faster.

A yes is final, so this is never more lenient than the validator. After a no, the validator decides
and writes the messages. The target is draft 4, because later drafts accept 1.0 as an integer, which
the dialect does not. Values are those of JSON: dict, list, str, int, float, bool and None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import jsonschema_rs

from batchgen.models.dialect import FILE_FORMATS, LABELS, TYPES, Schema
from batchgen.models.urls import is_public_or_loopback_url, is_public_url

Accepts: TypeAlias = Callable[[Any], bool]

INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**63 - 1

_KEYS_FROM_ELSEWHERE = frozenset(
    {
        "additionalProperties",
        "patternProperties",
        "unevaluatedProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "$ref",
    }
)

_ANNOTATIONS = LABELS | {"validations"}
_SAME = frozenset(
    {
        "enum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "required",
    }
)
_TRANSLATED = frozenset(
    {"additionalProperties", "dependentRequired", "format", "items", "properties", "type"}
)
_KNOWN = _ANNOTATIONS | _SAME | _TRANSLATED
_NUMBERS = frozenset({"float", "integer", "number"})
_NOTHING: Mapping[str, Any] = {"not": {}}
"""A schema that refuses every value, so that the validator decides."""


def compile_schema(schema: Schema, *, rehearsal: bool = False) -> Accepts:
    """Return a function that is True only for valid values. Compile once, call often.

    With `rehearsal`, URLs of this machine are accepted.
    """
    is_file = is_public_or_loopback_url if rehearsal else is_public_url
    try:
        validator = jsonschema_rs.Draft4Validator(
            _translated(closed(schema)),
            formats=dict.fromkeys(FILE_FORMATS, is_file),
            validate_formats=True,
        )
    except ValueError:  # such as an empty `required`, which only later drafts allow
        return _never

    def fits(value: Any) -> bool:
        try:
            return validator.is_valid(value)
        except ValueError:
            # Not JSON, such as a lone surrogate.
            return False

    return fits


def closed(schema: Schema) -> dict[str, Any]:
    """Forbid unknown keys wherever the schema lists the known ones."""
    shut = dict(schema)
    if "properties" in shut:
        shut["properties"] = {name: closed(part) for name, part in shut["properties"].items()}
        if not _KEYS_FROM_ELSEWHERE & shut.keys():
            shut["additionalProperties"] = False
    if isinstance(shut.get("items"), Mapping):
        shut["items"] = closed(shut["items"])
    return shut


def require_known_types(schema: Schema) -> None:
    """Raise ValueError for a type that the dialect does not have."""
    for name in _types(schema):
        if name not in TYPES:
            raise ValueError(f"the type '{name}' is not known")


def _types(schema: Schema) -> Iterator[str]:
    found = schema.get("type", [])
    yield from [found] if isinstance(found, str) else found
    for part in schema.get("properties", {}).values():
        yield from _types(part)
    if isinstance(schema.get("items"), Mapping):
        yield from _types(schema["items"])


def _never(_: Any) -> bool:
    return False


def _translated(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or not schema.keys() <= _KNOWN or _differs(schema):
        return dict(_NOTHING)
    found = {keyword: schema[keyword] for keyword in _SAME & schema.keys()}
    if "type" in schema:
        found |= _type(schema)
    if "items" in schema:
        found["items"] = _translated(schema["items"])
    if "properties" in schema:
        parts = schema["properties"].items()
        found["properties"] = {name: _translated(part) for name, part in parts}
    if "additionalProperties" in schema:
        rest = schema["additionalProperties"]
        found["additionalProperties"] = rest if isinstance(rest, bool) else _translated(rest)
    if "dependentRequired" in schema:
        found["dependencies"] = schema["dependentRequired"]
    if schema.get("format") in FILE_FORMATS:
        found["format"] = schema["format"]
    return found


def _differs(schema: Schema) -> bool:
    r"""Whether the validators may read the pattern differently, as they do classes such as `\s`."""
    return re.search(r"\\[^\Wu]", schema.get("pattern", "")) is not None


def _type(schema: Schema) -> dict[str, Any]:
    """Limit numbers to 64 bits; larger floats and NaN are left to the validator."""
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    found: dict[str, Any] = {"type": ["number" if kind == "float" else kind for kind in kinds]}
    if _NUMBERS & set(kinds):
        found["minimum"] = max(schema.get("minimum", INTEGER_MIN), INTEGER_MIN)
        found["maximum"] = min(schema.get("maximum", INTEGER_MAX), INTEGER_MAX)
    return found
