"""JSON Lines → rows: one object a line, its values as typed in JSON."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from batchgen.manifest.rows.row import BadRow, Row, Rows
from batchgen.models.dialect import INTEGER_MAX, INTEGER_MIN
from batchgen.models.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.manifest.rows.text import Lines

_MOST_DIGITS = 20
"""Of a 64-bit integer with its sign: more are not even converted, which takes long."""


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _UnfitError(ValueError):
    """JSON to Python, but nothing that a job could carry."""


def json_rows(lines: Lines) -> Rows:
    return Rows(None, _rows(lines))


def _rows(lines: Lines) -> Iterator[Row | BadRow]:
    decode = _DECODER.raw_decode
    number = 0
    for line in lines:
        text = line.strip()
        trouble = lines.take_trouble()
        if not text:
            continue
        number += 1
        if trouble is not None:
            yield BadRow(lines.number, *trouble)
            continue
        try:
            values, end = decode(text)
            if "\\u" in text and _SURROGATE.search(text):
                _refuse_halves(values)
        except (ValueError, RecursionError) as exc:
            yield BadRow(lines.number, *_explain(exc, line))
            continue
        if type(values) is dict and end == len(text):
            yield Row(values, number, lines.number)
        else:
            yield _no_object(lines.number, values, text[end:])


def _no_object(line: int, value: object, rest: str) -> BadRow:
    hint = 'each line is one object: {"prompt": "…"}'
    if rest:
        return BadRow(line, f"more stands after the value: {shown(rest.strip())}", hint)
    return BadRow(line, f"the line must be an object; got {shown(value)}", hint)


def _explain(error: Exception, line: str) -> tuple[str, str | None]:
    if isinstance(error, _UnfitError):
        return str(error), None
    if isinstance(error, json.JSONDecodeError):
        column = len(line) - len(line.lstrip()) + error.pos + 1
        reason = error.msg[:1].lower() + error.msg[1:]
        hint = 'each line is one object: {"prompt": "…"}'
        return f"the line is no JSON: {reason} (column {column})", hint
    return "the line is nested too deeply", None


def _refuse_halves(value: object) -> None:
    """Refuse half of a pair of escapes, which no file can hold as text; most such are whole."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise _UnfitError("a text has half a character (a lone surrogate)") from exc


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _UnfitError(f"the key {shown(twice)} stands twice in one object")
    return values


def _integer(text: str) -> int:
    if len(text) <= _MOST_DIGITS:
        value = int(text)
        if INTEGER_MIN <= value <= INTEGER_MAX:
            return value
    raise _UnfitError(f"a whole number must fit in 64 bits; got {shown(text)}")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _UnfitError(f"a number must be finite; {shown(text)} is too large")
    return value


def _no_number(text: str) -> float:
    raise _UnfitError(f"{text} is no number that JSON has")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_no_number,
)
