"""JSON → rows with JSON's types: one object per line, or one list of objects or texts.

Our own reader, because ijson reports neither the line of an item nor a duplicate key.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from batchgen.errors import InputError
from batchgen.manifest.rows.base import LONGEST_LINE, BadRow, Row, Rows
from batchgen.models.compiled_validator import INTEGER_MAX, INTEGER_MIN
from batchgen.models.messages import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.manifest.rows.base import Lines

_MOST_DIGITS = 20
"""Length of a 64-bit integer with its sign; longer ones are not converted, which is slow."""


PIECE = 65_536
"""Characters of a list that are read at once."""
_LONGEST_TOKEN = 16
"""Characters. JSON errors in a token that is cut off are reported where the token begins."""
_SPACES = re.compile(r"[ \t\r\n]+")
_LIST_HINT = 'the file is one list: [{"prompt": "…"}, …] or ["…", …]'
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _UnfitError(ValueError):
    """JSON that Python accepts, but that no job can hold."""


def json_rows(lines: Lines) -> Rows:
    return Rows(None, _rows(lines))


def _rows(lines: Lines) -> Iterator[Row | BadRow]:
    decode = _DECODER.raw_decode
    number = 0
    for line in lines:
        text = line.strip()
        problem = lines.take_problem()
        if not text:
            continue
        number += 1
        if problem is not None:
            yield BadRow(lines.number, *problem)
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


def json_list_rows(lines: Lines) -> Rows:
    """A list of objects, or of texts, each a `prompt`. Raises InputError, StorageError.

    Only one item and a piece of the file are in memory at a time.
    """
    items = _List(lines)
    if items.next_character() not in ("[", ""):
        raise InputError(
            "a .json file must be one list",
            where=str(lines.path),
            next_step='write [{"prompt": "…"}, …] or ["…", …]; one object per line is .jsonl',
        )
    return Rows(None, items.rows())


class _BrokenError(ValueError):
    """Invalid JSON: where the next item begins is unknown."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


class _List:
    """Reads a list item by item. `_at` is the position in the current piece, on line `_line`."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._piece = ""
        self._at = 0
        self._line = 1
        self._is_last = False

    def rows(self) -> Iterator[Row | BadRow]:
        number = 0
        is_open = self._take("[") and not self._take("]")
        while is_open:
            number += 1
            try:
                row = self._row(number)
                is_open = self._continues()
            except _BrokenError as exc:
                message = f"{exc}; nothing after it was read"
                yield BadRow(exc.line, message, _LIST_HINT, hides_rows=True)
                return
            yield row
        if self.next_character():
            what = "there is more text after the list"
            yield BadRow(self._line, what, _LIST_HINT, hides_rows=True)

    def _continues(self) -> bool:
        if self._take(",") or self._take("]"):
            return self._piece[self._at - 1] == ","
        raise _BrokenError(self._line, "a comma or ']' is missing before this")

    def next_character(self) -> str:
        """Return the next character that is not a space, without taking it; '' at the end."""
        while True:
            spaces = _SPACES.match(self._piece, self._at)
            self._go_to(spaces.end() if spaces else self._at)
            if self._at < len(self._piece):
                return self._piece[self._at]
            if self._is_last:
                return ""
            self._read_on()

    def _take(self, character: str) -> bool:
        is_next = self.next_character() == character
        self._at += is_next
        return is_next

    def _row(self, number: int) -> Row | BadRow:
        self.next_character()
        line = self._line
        try:
            value, text = self._value(_DECODER)
            if "\\u" in text and _SURROGATE.search(text):
                _refuse_halves(value)
        except _UnfitError as exc:
            return BadRow(line, str(exc))
        if problem := self._lines.text_problem(text):
            return BadRow(line, *problem)
        if isinstance(value, str):
            value = {"prompt": value}
        if type(value) is dict:
            return Row(value, number, line)
        message = f"an item must be an object or text; got {format_value(value)}"
        return BadRow(line, message, _LIST_HINT)

    def _value(self, decoder: json.JSONDecoder) -> tuple[Any, str]:
        """Take the next value and its text. Raises _BrokenError, or _UnfitError once it is skipped.

        A value that ends at the end of the piece may continue in the next one.
        """
        while True:
            try:
                value, end = decoder.raw_decode(self._piece, self._at)
            except _UnfitError:
                if self._skip_whole():
                    raise
            except json.JSONDecodeError as exc:
                if not self._may_continue(exc):
                    line = self._line + self._piece.count("\n", self._at, exc.pos)
                    raise _BrokenError(line, f"this is not JSON: {_reason(exc)}") from exc
            except RecursionError as exc:
                raise _BrokenError(self._line, "this item is nested too deeply") from exc
            else:
                if end < len(self._piece) or self._is_last:
                    text = self._piece[self._at : end]
                    self._go_to(end)
                    return value, text
            if len(self._piece) - self._at > LONGEST_LINE:
                raise _BrokenError(self._line, f"an item is longer than {LONGEST_LINE} characters")
            self._read_on()

    def _skip_whole(self) -> bool:
        """Skip the next value if all of it is in the piece."""
        try:
            end = _ANY_DECODER.raw_decode(self._piece, self._at)[1]
        except json.JSONDecodeError as exc:
            if self._may_continue(exc):
                return False
            raise _BrokenError(self._line, f"this is not JSON: {_reason(exc)}") from exc
        is_whole = end < len(self._piece) or self._is_last
        self._go_to(end if is_whole else self._at)
        return is_whole

    def _may_continue(self, error: json.JSONDecodeError) -> bool:
        """Whether the value is only cut off: near the end of the piece, or inside a text."""
        is_near_end = error.pos >= len(self._piece) - _LONGEST_TOKEN
        return not self._is_last and (is_near_end or error.msg.startswith("Unterminated string"))

    def _read_on(self) -> None:
        """Read as much again as is held of an item: a long one must not be decoded too often."""
        held = len(self._piece) - self._at
        more = self._lines.read(max(PIECE, min(held, LONGEST_LINE - held)))
        self._piece = self._piece[self._at :] + more
        self._at = 0
        self._is_last = not more

    def _go_to(self, at: int) -> None:
        self._line += self._piece.count("\n", self._at, at)
        self._at = at


def _no_object(line: int, value: object, rest: str) -> BadRow:
    hint = 'each line is one object: {"prompt": "…"}'
    if rest:
        return BadRow(
            line, f"there is more text after the value; got {format_value(rest.strip())}", hint
        )
    return BadRow(line, f"the line must be an object; got {format_value(value)}", hint)


def _explain(error: Exception, line: str) -> tuple[str, str | None]:
    if isinstance(error, _UnfitError):
        return str(error), None
    if isinstance(error, json.JSONDecodeError):
        column = len(line) - len(line.lstrip()) + error.pos + 1
        hint = 'each line is one object: {"prompt": "…"}'
        return f"the line is not JSON: {_reason(error)} (column {column})", hint
    return "the line is nested too deeply", None


def _reason(error: json.JSONDecodeError) -> str:
    return error.msg[:1].lower() + error.msg[1:]


def _refuse_halves(value: object) -> None:
    """Refuse half of a surrogate pair, which no file can hold as text. Most pairs are complete."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise _UnfitError("this text has half a character (a lone surrogate)") from exc


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _UnfitError(f"duplicate key {format_value(twice)} in one object")
    return values


def _integer(text: str) -> int:
    if len(text) <= _MOST_DIGITS:
        value = int(text)
        if INTEGER_MIN <= value <= INTEGER_MAX:
            return value
    raise _UnfitError(f"a whole number must fit in 64 bits; got {format_value(text)}")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _UnfitError(f"a number must be finite; {format_value(text)} is too large")
    return value


def _no_number(text: str) -> float:
    raise _UnfitError(f"JSON has no number {text}")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_no_number,
)
_ANY_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
"""Finds the end of a value that `_DECODER` refuses."""
