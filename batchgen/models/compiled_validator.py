"""A quick yes, ahead of the judge: the schema as compiled code, ten times faster.

A yes is final, so it is never more lenient than the judge; a no only sends the value to the judge,
who decides and finds the words. Where the two would read a schema differently it is translated, and
what has no translation is left to the judge. Draft 4 is the target: later drafts take 1.0 for an
integer, as the dialect does not. Values are what JSON has: dict, list, str, int, float, bool, None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import fastjsonschema

from batchgen.models.urls import is_public_or_loopback_url, is_public_url
from batchgen.models.validator import FILE_FORMATS, INTEGER_MAX, INTEGER_MIN, Schema, closed

QuickYes: TypeAlias = Callable[[Any], bool]

_DRAFT = "http://json-schema.org/draft-04/schema"
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
    {"maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties", "enum"}
)
_NUMBERS = frozenset({"float", "integer", "number"})


class _NoTranslationError(ValueError):
    """The judge alone can read this part."""


def quick_yes(schema: Schema, *, rehearsal: bool = False) -> QuickYes:
    """Compile the judge's quick deputy for one schema; build it once, use it often."""
    try:
        definition = {"$schema": _DRAFT, **_translated(closed(schema))}
    except _NoTranslationError:
        return _never
    numbers = _taken_out(definition)
    is_file = is_public_or_loopback_url if rehearsal else is_public_url
    require = fastjsonschema.compile(
        definition,
        formats=dict.fromkeys(FILE_FORMATS, is_file),
        use_default=False,
        detailed_exceptions=False,
    )

    def fits(value: Any) -> bool:
        try:
            require(value)
        except fastjsonschema.JsonSchemaValueException:
            return False
        for key in numbers:
            number = value.get(key)
            if number != number:  # noqa: PLR0124 - only NaN is not itself
                return False
        return True

    return fits


def _taken_out(definition: dict[str, Any]) -> list[str]:
    """Take the refusal of NaN out of an object's own numbers, and say which they are.

    As a `not` it raises and catches an exception for each number that is sound.
    """
    if definition.get("type") != ["object"]:
        return []
    parts = definition.get("properties", {})
    return [key for key, part in parts.items() if part.pop("not", None) is not None]


def _never(_: Any) -> bool:
    return False


def _translated(schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _SAME:
            found[keyword] = value
        elif keyword in _TRANSLATORS:
            found |= _TRANSLATORS[keyword](value, schema)
        elif keyword not in _ANNOTATIONS:
            raise _NoTranslationError(keyword)
    if _NUMBERS & set(_as_list(schema.get("type", []))):
        found |= _number_limits(schema)
    return found


def _number_limits(schema: Schema) -> dict[str, Any]:
    """Keep to 64 bits, which spares a float beyond them for the judge, and refuse NaN.

    NaN is neither below a minimum nor above a maximum: it is the only number that is at least 1 and
    at most 0.
    """
    found: dict[str, Any] = {
        "minimum": max(schema.get("minimum", INTEGER_MIN), INTEGER_MIN),
        "maximum": min(schema.get("maximum", INTEGER_MAX), INTEGER_MAX),
    }
    for side, limit, tighter in (("Minimum", "minimum", max), ("Maximum", "maximum", min)):
        bound = schema.get(f"exclusive{side}")
        if bound is not None and tighter(bound, found[limit]) == bound:
            found |= {limit: bound, f"exclusive{side}": True}
    if {"float", "number"} & set(_as_list(schema["type"])):
        found["not"] = {"type": "number", "minimum": 1, "maximum": 0}
    return found


def _type(value: Any, _: Schema) -> dict[str, Any]:
    return {"type": ["number" if word == "float" else word for word in _as_list(value)]}


def _const(value: Any, schema: Schema) -> dict[str, Any]:
    # Draft 4 has no const: it becomes an enum, of which there is one.
    if "enum" in schema:
        raise _NoTranslationError("const")
    return {"enum": [value]}


def _limit(_: Any, schema: Schema) -> dict[str, Any]:
    # A limit of numbers is read together with their type; without one it may meet NaN.
    if not _NUMBERS & set(_as_list(schema.get("type", []))):
        raise _NoTranslationError("a limit without the type of a number")
    return {}


def _pattern(value: str, _: Schema) -> dict[str, Any]:
    # The two read a `$` within a pattern differently.
    if "$" in value[:-1]:
        raise _NoTranslationError(value)
    return {"pattern": value}


def _format(value: str, _: Schema) -> dict[str, Any]:
    return {"format": value} if value in FILE_FORMATS else {}


def _items(value: Any, _: Schema) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _NoTranslationError("items")
    return {"items": _translated(value)}


def _properties(value: Schema, schema: Schema) -> dict[str, Any]:
    """Translate the parts; where unknown keys are refused, one without translation becomes such."""
    found: dict[str, Any] = {}
    is_closed = schema.get("additionalProperties") is False
    for name, part in value.items():
        try:
            found[name] = _translated(part)
        except _NoTranslationError:
            if not is_closed or name in schema.get("required", ()):
                raise
    return {"properties": found}


def _additional(value: Any, _: Schema) -> dict[str, Any]:
    return {"additionalProperties": value if isinstance(value, bool) else _translated(value)}


def _required(value: list[str], schema: Schema) -> dict[str, Any]:
    if not set(value) <= schema.get("properties", {}).keys():
        raise _NoTranslationError("required")
    return {"required": value}


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


_TRANSLATORS: Mapping[str, Callable[[Any, Schema], dict[str, Any]]] = {
    "type": _type,
    "const": _const,
    "minimum": _limit,
    "maximum": _limit,
    "exclusiveMinimum": _limit,
    "exclusiveMaximum": _limit,
    "pattern": _pattern,
    "format": _format,
    "items": _items,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "dependentRequired": lambda value, _: {"dependencies": value},
}
