"""Rendered values → the types that a model's schema asks for.

Templates often render to text: every column of a CSV file is text. Only unambiguous values are
converted; the others stay as they are, and the model's validator reports them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchgen.manifest.parsing.nodes import ScalarError, resolve_plain
from batchgen.models.messages import rounded_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.nodes import Path

Schema = Mapping[str, Any]

_NOTHING: Schema = {}
_EXACT: Mapping[Any, type] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "float": float,
    "number": float,
}

LARGEST_EXACT = 2**53
"""Up to here, a float without a fraction is exactly the integer it displays as."""


def coerce(
    schema: Schema, values: dict[str, JsonValue], paths: Collection[Path]
) -> dict[str, JsonValue]:
    """Convert the values at `paths`. Unchanged parts are shared; `values` is not modified."""
    changed: Any = values
    fields = schema["properties"]
    for path in paths:
        kind = fields.get(path[0], _NOTHING).get("type") if len(path) == 1 else None
        # The type is nearly always right, and this runs a million times.
        if type(values.get(str(path[0]))) is not _EXACT.get(kind, object):
            changed = _converted(schema, changed, path)
    result: dict[str, JsonValue] = changed
    return result


def typed(schema: Schema, value: JsonValue) -> JsonValue:
    """Convert one value; a value that already fits is returned unchanged."""
    kinds = _kinds(schema)
    if not kinds or _fits(kinds, value):
        return value
    if "array" in kinds:
        return _typed_list(schema.get("items", {}), value)
    if isinstance(value, str):
        return _from_text(kinds, value)
    if isinstance(value, bool | int | float):
        return _from_number(kinds, value)
    return value


def _converted(schema: Schema, value: Any, path: Path) -> Any:
    """Convert the value at `path` below `value`; copy only what changes."""
    if not path:
        return typed(schema, value)
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        part, present = schema.get("properties", {}).get(step), step in value
    elif isinstance(value, list):
        part, present = schema.get("items"), True
    else:
        return value
    # The schema does not have the key, such as `size`, or the template left it out.
    if part is None or not present:
        return value
    converted = _converted(part, value[step], rest)
    if converted is value[step]:
        return value
    copied = value.copy()
    copied[step] = converted
    return copied


def _fits(kinds: Sequence[str], value: JsonValue) -> bool:
    """Whether a value needs no conversion. Never for a list, whose items may need one."""
    for kind in kinds:
        fits = _IS.get(kind)
        if fits is not None and kind != "array" and fits(value):
            return True
    return False


def _kinds(schema: Schema) -> Sequence[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return (kind,)
    if kind is None:
        return tuple({kind for choice in schema.get("enum", ()) if (kind := _kind_of(choice))})
    kinds: Sequence[str] = kind
    return kinds


def _kind_of(value: object) -> str | None:
    return next((kind for kind, fits in _IS.items() if fits(value)), None)


def _typed_list(items: Schema, value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return [typed(items, value)]
    if not isinstance(value, list):
        return value
    converted = [typed(items, one) for one in value]
    same = all(new is old for new, old in zip(converted, value, strict=True))
    return value if same else converted


def _from_text(kinds: Sequence[str], text: str) -> JsonValue:
    """Read a text as YAML reads it unquoted, but never a rounded number as an integer."""
    if "integer" in kinds and rounded_hint(text):
        return text
    try:
        value = resolve_plain(text.strip())
    except ScalarError:
        return text
    if isinstance(value, str) or value is None:
        return text
    if _fits(kinds, value):
        return value
    whole = _whole(value) if "integer" in kinds else None
    return text if whole is None else whole


def _from_number(kinds: Sequence[str], value: float) -> JsonValue:
    whole = _whole(value) if "integer" in kinds else None
    if whole is not None:
        return whole
    if "string" in kinds and math.isfinite(value):
        return json.dumps(value)
    return value


def _whole(value: bool | float) -> int | None:
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_EXACT:
        return int(value)
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_IS: Mapping[str, Callable[[Any], bool]] = {
    "integer": lambda value: type(value) is int,
    "number": _is_number,
    "float": _is_number,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
    "null": lambda value: value is None,
}
