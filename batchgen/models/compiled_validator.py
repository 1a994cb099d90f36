"""A fast check ahead of the validator: the schema compiled by jsonschema-rs, thirty times faster.

A yes is final, so this is never more lenient than the validator. After a no, the validator decides
and writes the messages. The target is draft 4, because later drafts accept 1.0 as an integer, which
the dialect does not. Values are those of JSON: dict, list, str, int, float, bool and None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jsonschema_rs

from batchgen.models.urls import is_public_or_loopback_url, is_public_url
from batchgen.models.validator import FILE_FORMATS, INTEGER_MAX, INTEGER_MIN, Schema, closed

Accepts: TypeAlias = Callable[[Any], bool]

_ANNOTATIONS = frozenset(
    {
        "$comment",
        "$schema",
        "default",
        "description",
        "examples",
        "patternErrorMessage",
        "title",
        "validations",
    }
)
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
    """Whether the validators may read the pattern differently, as they do character classes."""
    return re.search(r"\\[^u]", schema.get("pattern", "")) is not None


def _type(schema: Schema) -> dict[str, Any]:
    """Limit numbers to 64 bits; larger floats and NaN are left to the validator."""
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    found: dict[str, Any] = {"type": ["number" if kind == "float" else kind for kind in kinds]}
    if _NUMBERS & set(kinds):
        found["minimum"] = max(schema.get("minimum", INTEGER_MIN), INTEGER_MIN)
        found["maximum"] = min(schema.get("maximum", INTEGER_MAX), INTEGER_MAX)
    return found
