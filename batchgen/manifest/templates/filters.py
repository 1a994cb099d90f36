"""The filters and tests of templates: Jinja's, except those that can make much out of little.

`'%9999999d'|format(1)`, `text|join(text)|join(text)`, `1|round(9999999, 'ceil')` and `text is even`
could use up all the memory of the machine.
"""

from __future__ import annotations

import re
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

from jinja2 import filters
from jinja2.exceptions import FilterArgumentError
from jinja2.tests import TESTS

from batchgen.manifest.templates.problems import NUMBER_HINT, TemplateProblem
from batchgen.manifest.templates.values import (
    LONGEST_TEXT,
    as_text,
    as_value,
    bounded,
    part_of,
    require_present,
    too_much_text,
)
from batchgen.models.messages import comma_hint, format_value, rounded_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment


TEXT_JOINER = "~"
SLICER = "[:]"
"""Filters that replace operators; no template can write a filter's name like these."""
MOST_DIGITS = 20
DECIMAL = 10

_WIDTH = re.compile(r"[0-9]+")
_FORMAT = re.compile(r"%(?P<width>[-+ #0-9.*]*)")
_BETWEEN_PARTS = re.compile(r"[\s,;|]+")
_NO_DEFAULT = object()


def build_filters(environment: Environment) -> dict[str, Callable[..., Any]]:
    on_text: Mapping[str, Callable[..., Any]] = {
        "capitalize": filters.do_capitalize,
        "format": _format,
        "lower": filters.do_lower,
        "replace": _replace,
        "title": filters.do_title,
        "trim": filters.do_trim,
        "truncate": partial(_truncate, environment),
        "upper": filters.do_upper,
        "urlencode": filters.do_urlencode,
    }
    made = {name: _guarded(name, one, to_text=True) for name, one in on_text.items()}
    made |= {name: _guarded(name, one) for name, one in _ON_VALUES.items()}
    for name in ("default", "d"):
        made[name] = _guarded(name, filters.do_default, absent=True)
    return made


def _guarded(
    name: str, function: Callable[..., Any], *, to_text: bool = False, absent: bool = False
) -> Callable[..., Any]:
    """Turn the filter's errors into a TemplateProblem. With `absent`, its value may be missing."""

    def use(value: Any, *args: Any, **kwargs: Any) -> Any:
        for one in (*args, *kwargs.values()) if absent else (value, *args, *kwargs.values()):
            require_present(one)
        try:
            return function(as_text(value) if to_text else value, *args, **kwargs)
        except (TypeError, ValueError, ArithmeticError, FilterArgumentError) as exc:
            raise _problem(name, function, value, args, kwargs) from exc

    return use


def _problem(
    name: str, function: Callable[..., Any], value: Any, args: Any, kwargs: Any
) -> TemplateProblem:
    try:
        signature(function).bind(value, *args, **kwargs)
    except TypeError:
        return TemplateProblem(f"the filter '{name}' cannot take these arguments")
    hint = _hint(name, value) if isinstance(value, str) else None
    given = f" with {', '.join(format_value(as_value(one)) for one in args)}" if args else ""
    what = f"the filter '{name}' cannot use {format_value(as_value(value))}{given}"
    return TemplateProblem(what, hint)


def _hint(name: str, text: str) -> str | None:
    if name in {"abs", "round"}:
        return "turn it into a number first: |float"
    if name in {"float", "int"}:
        return comma_hint(text) or (rounded_hint(text) if name == "int" else None)
    return None


def _format(text: str, *values: Any) -> str:
    """Fill in `%04d` and the like. Raises ValueError for a width that comes from a value."""
    specs = [found["width"] for found in _FORMAT.finditer(text)]
    if any("*" in spec for spec in specs):
        raise ValueError("a width must be written out")
    widths = [width for spec in specs for width in _WIDTH.findall(spec)]
    # Check the length first: Python refuses to convert thousands of digits.
    if any(len(width) > len(str(LONGEST_TEXT)) for width in widths):
        raise too_much_text("'format'")
    if sum(map(int, widths)) > LONGEST_TEXT:
        raise too_much_text("'format'")
    made = bounded(text % tuple(map(as_value, values)), "'format'")
    made.encode()  # raises ValueError if `%c` made half a character
    return made


def _replace(text: str, old: Any, new: Any, count: int = -1) -> str:
    before, after = as_text(old), as_text(new)
    found = len(text) + 1 if not before else text.count(before)
    if found * len(after) > LONGEST_TEXT:
        raise too_much_text("'replace'")
    return text.replace(before, after, count)


def _truncate(
    environment: Environment, text: str, length: int = 255, killwords: Any = False, end: Any = "..."
) -> str:
    closing = as_text(end)
    if type(length) is not int or length < len(closing):
        raise ValueError("too short for its end")
    return filters.do_truncate(environment, text, length, killwords, closing)


def _sliced(value: Any, start: Any, stop: Any, step: Any) -> Any:
    if not isinstance(value, list | str):
        raise TypeError("neither a list nor text")
    return value[start:stop:step]


def _join(values: Any, between: Any = "") -> str:
    """Join a list, or the characters of a text."""
    if not isinstance(values, (list, str)):
        raise TypeError("neither a list nor text")
    joiner = as_text(between)
    if len(joiner) * len(values) > LONGEST_TEXT:
        raise too_much_text("'join'")
    return bounded(joiner.join(map(as_text, values)), "'join'")


def _split(value: Any, between: Any = None) -> list[str]:
    """Return the non-empty parts of a text. A list, as from JSON, is returned as it is.

    Without `between`, split at any of the separators that are common between URLs in one cell.
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise TypeError("neither a list nor text")
    parts = _BETWEEN_PARTS.split(value) if between is None else value.split(as_text(between))
    return [part.strip() for part in parts if part.strip()]


def _joined(*values: Any) -> str:
    return bounded("".join(map(as_text, values)), "'~'")


def _round(value: Any, precision: int = 0, method: Any = "common") -> Any:
    if type(precision) is not int or abs(precision) > MOST_DIGITS:
        raise ValueError("too many digits")
    return filters.do_round(value, precision, method)


def _int(value: Any, default: Any = _NO_DEFAULT, base: int = DECIMAL) -> Any:
    if base == DECIMAL and isinstance(value, str) and "e" in value.lower() and rounded_hint(value):
        raise ValueError("rounded by a spreadsheet")
    return _required(filters.do_int(value, default, base))


def _float(value: Any, default: Any = _NO_DEFAULT) -> Any:
    return _required(filters.do_float(value, default))


def _required(number: Any) -> Any:
    if number is _NO_DEFAULT:
        raise ValueError("no number")
    return as_value(number)


_ON_VALUES: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "count": len,
    "first": lambda value: part_of(value, 0),
    "float": _float,
    "int": _int,
    "join": _join,
    "last": lambda value: part_of(value, -1),
    "length": len,
    "round": _round,
    "split": _split,
    "string": as_text,
    SLICER: _sliced,
    TEXT_JOINER: _joined,
}


_ON_PRESENCE = ("defined", "undefined")
_ON_NUMBERS = ("divisibleby", "even", "odd")
_ON_ANY = (
    "boolean", "false", "float", "in", "integer", "mapping", "none", "number", "string", "true",
)  # fmt: skip


def build_tests() -> dict[str, Callable[..., bool]]:
    return {name: _guarded_test(name) for name in (*_ON_PRESENCE, *_ON_NUMBERS, *_ON_ANY)}


def _guarded_test(name: str) -> Callable[..., bool]:
    test = cast("Callable[..., bool]", TESTS[name])

    def use(value: Any, *args: Any, **kwargs: Any) -> bool:
        try:
            signature(test).bind(value, *args, **kwargs)
        except TypeError as exc:
            raise TemplateProblem(f"the test '{name}' cannot take these arguments") from exc
        if name not in _ON_PRESENCE:
            require_present(value)
        if name in _ON_NUMBERS:
            for one in (value, *args, *kwargs.values()):
                _require_number(name, one)
        return test(value, *args, **kwargs)

    return use


def _require_number(name: str, value: Any) -> None:
    require_present(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        what = f"the test '{name}' works on numbers only, not on {format_value(as_value(value))}"
        raise TemplateProblem(what, NUMBER_HINT)
