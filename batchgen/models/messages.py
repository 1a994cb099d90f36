"""Validation errors in plain English, for inputs and for the manifest's own structure."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from batchgen.models.urls import UnfitUrlError
from batchgen.text import did_you_mean, nearest, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jsonschema.exceptions import ValidationError


Path: TypeAlias = tuple[str | int, ...]

_ABOUT_KEYS = frozenset({"additionalProperties", "dependentRequired"})

MOST_KEYS_LISTED = 6
LONGEST_VALUE = 60
"""Characters of a wrong value that a message shows."""

_DECIMAL_COMMA = re.compile(r"\s*[-+]?[0-9]+,[0-9]+\s*")
_DECIMAL_COMMA_HINT = "a decimal comma? write a point, or in the template: |replace(',', '.')"
_SHORTENED = re.compile(r"\s*[-+]?[0-9.]+[eE]\+?[0-9]+\s*")
_ENDS_IN_ZEROS = re.compile(r"\s*[-+]?[1-9][0-9]{14}0+(\.0*)?\s*")
_ROUNDED_HINT = "did a spreadsheet round it? format its column as text, then enter the number again"
_NULL_ITEM_HINT = "leave the item out; an item that is a template may give none: '{{ b or none }}'"
AFTER_COMMA_HINT = "if it is text after a comma, put all of the text in quotes"
_NUMBERS = frozenset({"number", "float", "integer"})

_TYPE_NAMES = {
    "string": "text",
    "float": "a number",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One problem at `path`. `at_key`: the key itself is wrong, not its value."""

    path: Path
    message: str
    hint: str | None = None
    at_key: bool = False


def describe_all(errors: Iterable[ValidationError]) -> list[InputProblem]:
    """One problem per path: if the type is wrong, other errors would only repeat that."""
    by_path: dict[Path, ValidationError] = {}
    for error in errors:
        path = tuple(error.absolute_path)
        if path not in by_path or error.validator == "type":
            by_path[path] = error
    return [describe(error) for error in by_path.values()]


def describe(error: ValidationError) -> InputProblem:
    path = tuple(error.absolute_path)
    message_of = _MESSAGES.get(str(error.validator), _other_message)
    message, hint = message_of(error, describe_path(path))
    at_key = error.validator in _ABOUT_KEYS or "propertyNames" in error.absolute_schema_path
    return InputProblem(path, message, hint, at_key=at_key)


def describe_path(path: Path) -> str:
    """`run.rate`, `item 3 of image_urls`; `this` for the whole value."""
    if not path:
        return "this"
    if isinstance(path[-1], int):
        return f"item {path[-1] + 1} of {describe_path(path[:-1])}"
    return ".".join(map(str, path))


def format_value(value: object) -> str:
    """A value for a message: one line, of limited length, without control characters."""
    if isinstance(value, int) and not -(10**LONGEST_VALUE) < value < 10**LONGEST_VALUE:
        # Python refuses to print integers with thousands of digits.
        return f"an integer of {_digits(abs(value))} digits"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    if isinstance(value, str):
        text = f"'{value[: LONGEST_VALUE + 1]}'"
    else:
        text = str(value) if isinstance(value, float) else json.dumps(value)
    safe = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
    return safe if len(safe) <= LONGEST_VALUE else f"{safe[: LONGEST_VALUE - 1]}…"


def _digits(number: int) -> int:
    """Count the digits of a positive integer; a logarithm alone is one off just below a power."""
    fewest = int((number.bit_length() - 1) * math.log10(2)) + 1
    return fewest + 1 if number >= 10**fewest else fewest


def one_of(choices: Sequence[object]) -> str:
    return ", ".join(
        choice if isinstance(choice, str) else format_value(choice) for choice in choices
    )


Message: TypeAlias = tuple[str, str | None]


def _required_message(_: ValidationError, place: str) -> Message:
    return f"{place} is required", None


def _unknown_key_message(error: ValidationError, _: str) -> Message:
    *parents, key = error.absolute_path
    within = f" in {describe_path(tuple(parents))}" if parents else ""
    known = error.schema.get("properties", ()) if isinstance(error.schema, dict) else ()
    given: Any = error.instance
    if " " in str(key) and given[key] is None:
        # `{prompt: a fox, in the snow}`: in YAML, a comma in braces ends the text.
        return f"unknown key {format_value(key)}{within}", AFTER_COMMA_HINT
    return f"unknown key {format_value(key)}{within}", did_you_mean(str(key), known)


def _dependent_message(error: ValidationError, place: str) -> Message:
    others: Any = error.instance
    named = " and ".join(f"'{other}'" for other in others)
    return f"{place} has no meaning without {named}", f"add {named}, or remove '{place}'"


def _no_keys_message(error: ValidationError, place: str) -> Message:
    if not error.instance:
        return f"{place} is empty", None
    least: Any = error.validator_value
    return f"{place} must have at least {plural(least, 'key')}", None


def _type_message(error: ValidationError, place: str) -> Message:
    wanted: Any = error.validator_value
    kinds = [wanted] if isinstance(wanted, str) else list(wanted)
    value: Any = error.instance
    if _NUMBERS & set(kinds):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{place} must be a finite number; got {format_value(value)}", None
        if type(value) is int:
            return f"{place} must fit in 64 bits; got {format_value(value)}", None
    if not _is_right_in_quotes(error.schema, kinds, value):
        return _pattern_message(error, place)
    names = list(dict.fromkeys(_TYPE_NAMES.get(kind, kind) for kind in kinds))
    hint = _mapping_hint(error.schema, value) if kinds == ["object"] else _type_hint(kinds, value)
    if kinds == ["string"] and isinstance(value, list | dict) and _takes_any_text(error):
        # YAML does not read `[cinematic]` and `{red|blue}` as texts.
        hint = "put all of the text in quotes"
    if value is None and isinstance(error.absolute_path[-1], int):
        hint = _NULL_ITEM_HINT
    return f"{place} must be {' or '.join(names)}; got {format_value(value)}", hint


def _takes_any_text(error: ValidationError) -> bool:
    schema: Any = error.schema
    return "maxLength" in schema and not {"enum", "pattern"} & schema.keys()


def _is_right_in_quotes(schema: Any, kinds: Sequence[str], value: object) -> bool:
    """False if quotes would only lead to the next error: `rate: 60`."""
    if kinds != ["string"] or not isinstance(value, int | float) or isinstance(value, bool):
        return True
    described = "pattern" in schema and "patternErrorMessage" in schema
    return not described or re.search(schema["pattern"], format_value(value)) is not None


def _mapping_hint(schema: Any, value: object) -> str:
    known = sorted(schema.get("properties", ()))
    few = 0 < len(known) <= MOST_KEYS_LISTED
    keys = f"its keys ({', '.join(known)})" if few else "'key: value'"
    how = "without '- '" if isinstance(value, list) else "on the lines below it"
    return f"write {keys} {how}"


def _type_hint(kinds: Sequence[str], value: object) -> str | None:
    if "string" in kinds and not isinstance(value, list | dict | None):
        return "put it in quotes"
    if "array" in kinds and isinstance(value, str):
        return "write a list of one item as [ … ]"
    if "boolean" in kinds and value in ("yes", "no", "on", "off"):
        return f"write {'true' if value in ('yes', 'on') else 'false'}"
    if isinstance(value, str) and value.lower() in {"true", "false"} and "boolean" in kinds:
        return "remove the quotes"
    if isinstance(value, str) and _NUMBERS & set(kinds):
        whole_hint = rounded_hint(value) if "integer" in kinds else None
        return whole_hint or ("remove the quotes" if _is_numeral(value) else comma_hint(value))
    return None


def comma_hint(text: str) -> str | None:
    """A hint about the decimal comma, which many spreadsheets write."""
    return _DECIMAL_COMMA_HINT if _DECIMAL_COMMA.fullmatch(text) else None


def rounded_hint(text: str) -> str | None:
    """A hint about an integer that was too long for a spreadsheet.

    Spreadsheets keep 15 digits and may show fewer: `1.23457E+15`, `1234567890123450000`.
    """
    if _SHORTENED.fullmatch(text):
        return _ROUNDED_HINT
    return f"{_ROUNDED_HINT}; if it is right: |int" if _ENDS_IN_ZEROS.fullmatch(text) else None


def _is_numeral(text: str) -> bool:
    return text.isascii() and text.strip("+-").replace(".", "", 1).isdecimal()


def _enum_message(error: ValidationError, place: str) -> Message:
    choices: Any = error.validator_value
    message = f"{place} must be one of {one_of(choices)}; {_got(error)}"
    texts = [choice for choice in choices if isinstance(choice, str)]
    close = nearest(error.instance, texts) if isinstance(error.instance, str) else None
    return message, close and f"did you mean '{close}'?"


def _const_message(error: ValidationError, place: str) -> Message:
    return f"{place} must be {format_value(error.validator_value)}; {_got(error)}", None


def _range_message(error: ValidationError, place: str) -> Message:
    schema: Any = error.schema
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        limits = f"between {least} and {most}"
    else:
        limits = f"at least {least}" if most is None else f"at most {most}"
    return f"{place} must be {limits}; {_got(error)}", None


def _exclusive_message(error: ValidationError, place: str) -> Message:
    side = "more" if error.validator == "exclusiveMinimum" else "less"
    return f"{place} must be {side} than {error.validator_value}; {_got(error)}", None


def _multiple_message(error: ValidationError, place: str) -> Message:
    return f"{place} must be a multiple of {error.validator_value}; {_got(error)}", None


def _too_long_message(error: ValidationError, place: str) -> Message:
    length = plural(len(_text(error)), "character")
    return f"{place} is {length} long; at most {error.validator_value} are allowed", None


def _too_short_message(error: ValidationError, place: str) -> Message:
    if not error.instance:
        return f"{place} is empty", None
    length = plural(len(_text(error)), "character")
    return f"{place} is {length} long; at least {error.validator_value} are needed", None


def _items_message(error: ValidationError, place: str) -> Message:
    schema: Any = error.schema
    items: Any = error.instance
    noun = schema.get("items", {}).get("format", "item").removesuffix("_uri")
    side = "most" if error.validator == "maxItems" else "least"
    return (
        f"{place}: {plural(len(items), noun)} given; at {side} {error.validator_value}",
        None,
    )


def _unique_message(_: ValidationError, place: str) -> Message:
    return f"{place} has the same item twice", None


def _pattern_message(error: ValidationError, place: str) -> Message:
    schema: Any = error.schema
    rule = schema.get("patternErrorMessage", f"must match {error.validator_value}")
    return f"{place} {rule}; {_got(error)}", None


def _format_message(error: ValidationError, place: str) -> Message:
    if isinstance(error.cause, UnfitUrlError):
        text = _text(error)
        if not text.strip():
            return f"{place} is empty", "write a URL, or the path of a file of yours"
        return f"{place} {error.cause}; {_got(error)}", _url_hint(text)
    return f"{place} must be a valid {error.validator_value}; {_got(error)}", None


def _url_hint(text: str) -> str:
    scheme = text.partition(":")[0].lower()
    if scheme == "file":
        return "for a file of this machine, write its path alone, without file://"
    if scheme == "data":
        return "write the path of a file: it is put into the request for you"
    if scheme in {"s3", "gs", "az"}:
        return "write the path of the file on this machine, or an https:// URL that anyone can read"
    return "the vendor's servers fetch the file: HTTPS, public, without login"


def _other_message(error: ValidationError, place: str) -> Message:
    return f"{place} breaks the schema's rule '{error.validator}'; {_got(error)}", None


def _got(error: ValidationError) -> str:
    return f"got {format_value(error.instance)}"


def _text(error: ValidationError) -> str:
    assert isinstance(error.instance, str)
    return error.instance


_MESSAGES: dict[str, Callable[[ValidationError, str], Message]] = {
    "required": _required_message,
    "additionalProperties": _unknown_key_message,
    "dependentRequired": _dependent_message,
    "minProperties": _no_keys_message,
    "type": _type_message,
    "enum": _enum_message,
    "const": _const_message,
    "minimum": _range_message,
    "maximum": _range_message,
    "exclusiveMinimum": _exclusive_message,
    "exclusiveMaximum": _exclusive_message,
    "multipleOf": _multiple_message,
    "maxLength": _too_long_message,
    "minLength": _too_short_message,
    "maxItems": _items_message,
    "minItems": _items_message,
    "uniqueItems": _unique_message,
    "pattern": _pattern_message,
    "format": _format_message,
}
