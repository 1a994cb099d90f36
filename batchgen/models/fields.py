"""The fields of a model's input in readable form, and `size: 2048x2048`.

`size` is an easy way to type a key and values of the schema that are hard to type.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from batchgen.jobs import JsonObject, JsonValue


_RULE = re.compile(r"(?P<quantity>.*?)\s*(?P<operator><=|>=|==|[<>=≤≥])")
_PLAIN_OPERATORS = {"≤": "<=", "≥": ">=", "=": "=="}


@dataclass(frozen=True, slots=True)
class FileRule:
    """A rule on the file behind a URL, from the schema's `validations`.

    `quantity` is the vendor's: `file_size_mb`, `width_pixels`, `height_pixels` or `width/height`.
    `operator` is one of `<`, `<=`, `>`, `>=`, `==`. `sentence` is quoted from the page.
    """

    quantity: str
    operator: str
    limit: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Field:
    """One key of an input. `default` is only the page's suggestion and never sent by itself.

    `fields` are the keys inside, of a mapping or of a list of mappings.
    """

    name: str
    title: str
    type: str
    required: bool
    limits: str
    choices: tuple[JsonValue, ...]
    default: JsonValue
    description: str
    file_rules: tuple[FileRule, ...]
    fields: tuple[Field, ...] = ()


def read_fields(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    required = schema.get("required", ())
    return tuple(
        _read_field(name, part, required=name in required)
        for name, part in schema["properties"].items()
    )


def _read_field(name: str, part: Mapping[str, Any], *, required: bool) -> Field:
    return Field(
        name=name,
        title=part.get("title", name),
        type=_type_name(part),
        required=required,
        limits=", ".join(_limits(part)),
        choices=tuple(part.get("enum", ())),
        default=part.get("default"),
        description=part.get("description", ""),
        file_rules=tuple(map(_read_rule, _validations(part))),
        fields=_inner_fields(part),
    )


def _inner_fields(part: Mapping[str, Any]) -> tuple[Field, ...]:
    inner = part.get("items", {}) if part.get("type") == "array" else part
    return read_fields(inner) if "properties" in inner else ()


def _type_name(part: Mapping[str, Any]) -> str:
    if part.get("type") == "array":
        return f"list of {_type_name(part.get('items', {}))}"
    kind = part.get("format", part.get("type", "any"))
    return kind if isinstance(kind, str) else " or ".join(kind)


def _limits(part: Mapping[str, Any]) -> Iterator[str]:
    for least, most, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        limits = _range(part.get(least), part.get(most))
        if limits:
            yield f"{limits}{unit.removesuffix('s') if limits in {'1', 'at most 1'} else unit}"


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f"at most {most}"
    if most is None:
        return f"at least {least}"
    return f"{least}" if least == most else f"{least} to {most}"


def _validations(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*part.get("validations", ()), *part.get("items", {}).get("validations", ())]


def _read_rule(rule: Mapping[str, Any]) -> FileRule:
    """Read one rule. Raises ValueError if it has no comparison or no number."""
    parts = _RULE.fullmatch(rule["validation_rule"].strip())
    if parts is None:
        raise ValueError(f"the rule '{rule['validation_rule']}' is not understood")
    operator = parts["operator"]
    return FileRule(
        quantity=parts["quantity"],
        operator=_PLAIN_OPERATORS.get(operator, operator),
        limit=float(rule["validation_value"]),
        sentence=rule["validation_error"],
    )


SIZE_KEY = "width×height"  # noqa: RUF001 - the vendor's own spelling, with U+00D7
SHORT_KEY = "size"


def short_sizes(choices: Iterable[str]) -> dict[str, str]:
    """Short → full value: `2048x2048` → `2048x2048(1:1)`.

    Full values that have the same short form are not shortened.
    """
    full = list(choices)
    beginnings = Counter(map(short_size, full))
    return {(short_size(one) if beginnings[short_size(one)] == 1 else one): one for one in full}


def short_size(full: str) -> str:
    return full.partition("(")[0]


def with_full_size(given: JsonObject, sizes: Mapping[str, str]) -> dict[str, JsonValue]:
    """Replace a size by the schema's own key and value; an unknown value stays as it is."""
    expanded = dict(given)
    if SHORT_KEY in expanded:
        expanded[SIZE_KEY] = expanded.pop(SHORT_KEY)
    value = expanded.get(SIZE_KEY)
    if isinstance(value, str):
        expanded[SIZE_KEY] = sizes.get(value, value)
    return expanded
