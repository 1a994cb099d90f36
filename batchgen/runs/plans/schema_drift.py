"""Where the vendor's schema of a model differs from the bundled one, in what a body must obey.

Titles, descriptions, defaults and the order of things bind nobody, so they are not compared. Pure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from batchgen.runcomfy.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from batchgen.jobs import JsonObject, JsonValue

COMPARED = (
    "type",
    "format",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
)
SAME_TYPE = {"float": "number"}
"""The dialect's word and JSON Schema's own."""

LONGEST_VALUE = 60
SHOWN_CHOICES = 4


def schema_differences(bundled: Mapping[str, JsonValue], live: JsonObject) -> list[str]:
    """Give a sentence for each difference, such as `image_urls.maxItems is 6, bundled 10`."""
    return list(_compare(bundled, live, ""))


def _compare(bundled: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
    for key in COMPARED:
        before, now = _value(bundled, key), _value(live, key)
        if before != now:
            yield f"{_plain(_join(path, key))} is {_words(now)}, bundled {_words(before)}"
    yield from _choices(bundled, live, path)
    yield from _file_rules(bundled, live, path)
    yield from _fields(bundled, live, path)
    # Only as deep as the bundled one: how deep the other one is, is for strangers to say.
    if isinstance(items := bundled.get("items"), dict):
        yield from _compare(items, _mapping(live.get("items")), f"{path}[]")


def _fields(bundled: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
    ours, theirs = _mapping(bundled.get("properties")), _mapping(live.get("properties"))
    needed, needed_now = _list(bundled.get("required")), _list(live.get("required"))
    for name, field in ours.items():
        here = _join(path, name)
        if name not in theirs:
            yield f"{_plain(here)} is gone"
            continue
        if (name in needed) != (name in needed_now):
            yield f"{_plain(here)} is {'required' if name in needed_now else 'optional'} now"
        yield from _compare(_mapping(field), _mapping(theirs[name]), here)
    for name in theirs:
        if name not in ours:
            kind = "a new required field" if name in needed_now else "a new field"
            yield f"{_plain(_join(path, name))} is {kind}"


def _choices(bundled: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
    before, now = _list(bundled.get("enum")), _list(live.get("enum"))
    if bool(before) != bool(now):
        yield f"{_plain(_join(path, 'enum'))} is {_listed(now)}, bundled {_listed(before)}"
        return
    if more := [one for one in now if one not in before]:
        yield f"{_plain(path)} takes {_listed(more)} too"
    if gone := [one for one in before if one not in now]:
        yield f"{_plain(path)} no longer takes {_listed(gone)}"


def _file_rules(bundled: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
    before, now = _rules(bundled), _rules(live)
    for rule in sorted(before.keys() | now.keys()):
        if before.get(rule) != now.get(rule):
            here = _plain(_join(path, rule))
            yield f"{here} is {_words(now.get(rule))}, bundled {_words(before.get(rule))}"


def _rules(schema: JsonObject) -> dict[str, JsonValue]:
    rules = [_mapping(one) for one in _list(schema.get("validations"))]
    return {
        str(rule.get("validation_rule")): _number(rule.get("validation_value")) for rule in rules
    }


def _number(value: JsonValue) -> JsonValue:
    """The dialect writes a limit as a number or as a text: 50 and "50" are one limit."""
    try:
        return float(value) if isinstance(value, int | float | str) else value
    except (ValueError, OverflowError):
        return value


def _value(schema: JsonObject, key: str) -> JsonValue:
    value = schema.get(key)
    return SAME_TYPE.get(value, value) if key == "type" and isinstance(value, str) else value


def _words(value: JsonValue) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return _plain(json.dumps(value, ensure_ascii=False))


def _listed(values: Sequence[JsonValue]) -> str:
    shown = ", ".join(map(_words, values[:SHOWN_CHOICES]))
    more = f" and {len(values) - SHOWN_CHOICES} more" if len(values) > SHOWN_CHOICES else ""
    return f"{shown}{more}" or "none"


def _plain(text: str) -> str:
    return plain_text(text, LONGEST_VALUE)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _mapping(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
