"""CSV and TSV → rows: the first row names the columns, all values are text.

CSV quotes are as in RFC 4180, and Excel's variants of CSV are read too: `;` between columns, a
first line `sep=;`, empty rows, and columns without a name that are empty in all rows. In TSV a
quote is a character like any other, except in UTF-16, which Excel writes with quoted fields.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from batchgen.errors import InputError
from batchgen.manifest.rows.base import BadRow, Row, Rows
from batchgen.models.messages import format_value
from batchgen.text import plural

if TYPE_CHECKING:
    from _csv import Reader as _Reader
    from collections.abc import Iterator, Sequence

    from batchgen.manifest.rows.base import Lines

_TAB = "\t"
_SEPARATORS = {",": "a comma", _TAB: "a tab", ";": "';'"}
_SEP_LINE = re.compile(r"sep=([^\w\s\"]|\t)[\r\n]*", re.IGNORECASE)
_SPREADSHEET_QUOTES = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
"""A quoted field with a doubled quote in it: no plain text looks like that."""
_UNCLOSED = "unexpected end"
_SPACE_AND_QUOTE = re.compile(r'\s+"')


@dataclass(frozen=True, slots=True)
class _Table:
    """`names` of all columns, '' for one without a name; a row must reach the last named one."""

    names: tuple[str, ...]
    separator: str
    has_quotes: bool

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(filter(None, self.names))

    @property
    def least(self) -> int:
        return max(at for at, name in enumerate(self.names, start=1) if name)


def csv_rows(lines: Lines) -> Rows:
    """Read the header; rows are read on demand. Raises InputError, StorageError."""
    beginning = _next_line(lines)
    declared = _SEP_LINE.fullmatch(beginning)
    if declared:
        beginning = _next_line(lines)
    separator = declared[1] if declared else _separator_in(beginning)
    return _rows_after(beginning, lines, separator, has_quotes=True)


def tsv_rows(lines: Lines) -> Rows:
    """Read the header; rows are read on demand. Raises InputError, StorageError."""
    has_quotes = lines.encoding.startswith("utf-16")
    return _rows_after(_next_line(lines), lines, _TAB, has_quotes=has_quotes)


def _next_line(lines: Lines) -> str:
    """Return the next line that is not blank; '' at the end."""
    return next((line for line in lines if line.strip()), "")


def _separator_in(header: str) -> str:
    """Find the separator: where the comma is the decimal point, Excel writes `;`."""
    try:
        fields, others = (next(csv.reader([header], delimiter=one), ()) for one in ",;")
    except csv.Error:
        return ","  # reading the header reports what is wrong with it
    return ";" if len(fields) == 1 and len(others) > 1 else ","


def _rows_after(beginning: str, lines: Lines, separator: str, *, has_quotes: bool) -> Rows:
    # Strict, or a quote that is never closed would silently swallow the rest of the file.
    reader = csv.reader(
        chain([beginning] if beginning else [], lines),
        delimiter=separator,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE,
    )
    table = _Table(_read_header(reader, lines, separator), separator, has_quotes)
    return Rows(table.columns, _rows(reader, lines, table))


def _read_header(reader: _Reader, lines: Lines, separator: str) -> tuple[str, ...]:
    where = str(lines.path)
    try:
        names = next((fields for fields in reader if "".join(fields).strip()), None)
    except csv.Error as exc:
        message, hint = _explain(exc)
        raise InputError(f"the header: {message}", where=where, next_step=hint) from exc
    problem = lines.take_problem()
    if problem is not None:
        raise InputError(f"the header: {problem[0]}", where=where, next_step=problem[1])
    if names is None:
        hint = "the first row names the columns"
        raise InputError("the file is empty: it has no header", where=where, next_step=hint)
    columns = tuple(name.strip() for name in names)
    problem = _header_problem(columns, names, separator)
    if problem is not None:
        raise InputError(problem[0], where=where, next_step=problem[1])
    return columns


def _header_problem(
    columns: Sequence[str], written: Sequence[str], separator: str
) -> tuple[str, str] | None:
    """Return what is wrong with the column names, and a hint."""
    if len(columns) == 1:
        other = next((one for one in _SEPARATORS if one != separator and one in columns[0]), None)
        if other is not None:
            wanted = f"{_SEPARATORS.get(separator, format_value(separator))} must separate columns"
            hint = f"rename the file: its name must end in {'.tsv' if other == _TAB else '.csv'}"
            return f"{wanted}; the header has {_SEPARATORS[other]}", hint
    if separator != _TAB and any(map(_is_quoted_after_space, written)):
        return _SPACE_PROBLEM
    for name in columns:
        if name and columns.count(name) > 1:
            first = columns.index(name)
            numbers = f"columns {first + 1} and {columns.index(name, first + 1) + 1}"
            return f"duplicate column {format_value(name)}: {numbers}", "rename one of them"
    return None


def _rows(reader: _Reader, lines: Lines, table: _Table) -> Iterator[Row | BadRow]:
    columns, width, number = table.columns, len(table.names), 0
    is_plain = len(columns) == width
    while True:
        # Fields may have line breaks: a row begins after the last line of the previous one.
        line = lines.number + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            number += 1
            lines.take_problem()
            yield BadRow(line, *_explain(exc), hides_rows=_UNCLOSED in str(exc))
            continue
        problem = lines.take_problem()
        if not fields:
            continue
        number += 1
        text = "".join(fields)
        # An empty row is skipped but counted, so that clearing or filling one shifts no other.
        if problem is None and not text.strip():
            continue
        problem = problem or _row_problem(fields, text, table, is_one_line=lines.number == line)
        if problem is not None:
            yield BadRow(line, *problem)
        elif is_plain:
            yield Row(dict(zip(columns, fields, strict=True)), number, line)
        else:
            named = zip(table.names, fields, strict=False)
            yield Row({name: field for name, field in named if name}, number, line)


def _row_problem(
    fields: Sequence[str], text: str, table: _Table, *, is_one_line: bool
) -> tuple[str, str] | None:
    width, has_all = len(table.names), True
    if len(fields) != width:
        has_all = table.least <= len(fields) < width
    if '"' in text and (problem := _quote_problem(fields, table, has_all=has_all)):
        return problem
    if not has_all:
        return _width_problem(len(fields), table)
    if table.separator == _TAB and table.has_quotes and (not is_one_line or _TAB in text):
        return "a field in quotes has a tab or a line break in it", _SAVE_AS_CSV
    if "" in table.names:
        for at, (name, field) in enumerate(zip(table.names, fields, strict=False), start=1):
            if not name and field.strip():
                what = f"column {at} has no name, but holds something; got {format_value(field)}"
                return what, "name it in the first row, or remove the column"
    return None


def _quote_problem(
    fields: Sequence[str], table: _Table, *, has_all: bool
) -> tuple[str, str] | None:
    """Find fields that their author meant to quote, but whose quotes are read as text."""
    if not table.has_quotes:
        if any(map(_SPREADSHEET_QUOTES.fullmatch, fields)):
            what = "a field is quoted as by a spreadsheet, but .tsv has no quoted fields"
            return what, _SAVE_AS_CSV
    elif any(map(_is_quoted_after_space if has_all else _SPACE_AND_QUOTE.match, fields)):
        return _SPACE_PROBLEM
    return None


_SAVE_AS_CSV = "save it as .csv in UTF-8 (Excel calls it 'CSV UTF-8'), where quotes are read"
_SPACE_PROBLEM = (
    "a space before a quote keeps that quote from opening a field",
    'remove the space: a,"b, c" and not a, "b, c"',
)


def _is_quoted_after_space(field: str) -> bool:
    return bool(_SPACE_AND_QUOTE.match(field)) and field.rstrip().endswith('"')


def _width_problem(got: int, table: _Table) -> tuple[str, str]:
    width = len(table.names)
    message = f"the row has {plural(got, 'field')}; the header has {width}"
    if got < width:
        return message, "leave a field empty, but keep its separator"
    if not table.has_quotes:
        return message, "a tab ends a field, so no field can contain one"
    example = f'"a{table.separator} b"'
    hint = f"put a field that contains the separator in quotes: {example}"
    # One column: probably a list of prompts with a header added.
    return message, f"{hint}; in a .txt each line is a prompt" if width == 1 else hint


def _explain(error: csv.Error) -> tuple[str, str]:
    text = str(error)
    if _UNCLOSED in text:
        hint = 'close it; a quote inside a field is written twice: ""'
        return "a quote is opened here and never closed; nothing after it was read", hint
    if "field limit" in text:
        hint = "is a quote opened here and not closed?"
        return f"a field is longer than {csv.field_size_limit()} characters", hint
    if "expected after" in text:
        hint = 'a quote inside a field in quotes is written twice: ""'
        return "there is text between the quote that closes a field and the separator", hint
    return f"the row cannot be parsed: {text}", "write fields as in RFC 4180"
