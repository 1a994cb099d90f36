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
        before, now = rule_value(bundled, key), rule_value(live, key)
        if before != now:
            yield f"{plain(join(path, key))} is {words(now)}, bundled {words(before)}"
    yield from _choices(bundled, live, path)
    yield from _file_rules(bundled, live, path)
    yield from _fields(bundled, live, path)
    # Only as deep as the bundled one: how deep the other one is, is for strangers to say.
    if isinstance(items := bundled.get("items"), dict):
        yield from _compare(items, mapping(live.get("items")), f"{path}[]")


def _fields(bundled: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
    ours, theirs = mapping(bundled.get("properties")), mapping(live.get("properties"))
    needed, needed_now = as_list(bundled.get("required")), as_list(live.get("required"))
    for name, field in ours.items():
        here = join(path, name)
        if name not in theirs:
            yield f"{plain(here)} is gone"
            continue
        if (name in needed) != (name in needed_now):
            yield f"{plain(here)} is {'required' if name in needed_now else 'optional'} now"
        yield from _compare(mapping(field), mapping(theirs[name]), here)
    for name in theirs:
        if name not in ours:
            kind = "a new required field" if name in needed_now else "a new field"
            yield f"{plain(join(path, name))} is {kind}"


def _choices(bundled: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
    before, now = as_list(bundled.get("enum")), as_list(live.get("enum"))
    if bool(before) != bool(now):
        yield f"{plain(join(path, 'enum'))} is {listed(now)}, bundled {listed(before)}"
        return
    if more := [one for one in now if one not in before]:
        yield f"{plain(path)} takes {listed(more)} too"
    if gone := [one for one in before if one not in now]:
        yield f"{plain(path)} no longer takes {listed(gone)}"


def _file_rules(bundled: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
    before, now = _rules(bundled), _rules(live)
    for rule in sorted(before.keys() | now.keys()):
        if before.get(rule) != now.get(rule):
            here = plain(join(path, rule))
            yield f"{here} is {words(now.get(rule))}, bundled {words(before.get(rule))}"


def _rules(schema: JsonObject) -> dict[str, JsonValue]:
    rules = [mapping(one) for one in as_list(schema.get("validations"))]
    return {
        str(rule.get("validation_rule")): _number(rule.get("validation_value")) for rule in rules
    }


def _number(value: JsonValue) -> JsonValue:
    """The dialect writes a limit as a number or as a text: 50 and "50" are one limit."""
    try:
        return float(value) if isinstance(value, int | float | str) else value
    except (ValueError, OverflowError):
        return value


def rule_value(schema: JsonObject, key: str) -> JsonValue:
    value = schema.get(key)
    return SAME_TYPE.get(value, value) if key == "type" and isinstance(value, str) else value


def words(value: JsonValue) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return plain(json.dumps(value, ensure_ascii=False))


def listed(values: Sequence[JsonValue]) -> str:
    shown = ", ".join(map(words, values[:SHOWN_CHOICES]))
    more = f" and {len(values) - SHOWN_CHOICES} more" if len(values) > SHOWN_CHOICES else ""
    return f"{shown}{more}" or "none"


def plain(text: str) -> str:
    return plain_text(text, LONGEST_VALUE)


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def mapping(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def as_list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
