"""CSV and TSV → rows: quotes as in RFC 4180, names of columns first, all values are text."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from batchgen.errors import InputError
from batchgen.manifest.rows.row import BadRow, Row, Rows
from batchgen.models.wording import counted, shown

if TYPE_CHECKING:
    from _csv import Reader as _Reader
    from collections.abc import Iterator, Sequence

    from batchgen.manifest.rows.text import Lines

_SEPARATORS = {",": "a comma", "\t": "a tab", ";": "';'"}


def csv_rows(lines: Lines, separator: str) -> Rows:
    """Read the header; the rows follow as they are asked for. Raises InputError, StorageError."""
    # Strict: else a quote that is never closed would silently swallow the rest of the file.
    reader = csv.reader(lines, delimiter=separator, strict=True)
    columns = _read_header(reader, lines, separator)
    return Rows(columns, _rows(reader, lines, columns))


def _read_header(reader: _Reader, lines: Lines, separator: str) -> tuple[str, ...]:
    where = str(lines.path)
    try:
        names = next((fields for fields in reader if fields), None)
    except csv.Error as exc:
        message, hint = _explain(exc)
        raise InputError(f"the header: {message}", where=where, next_step=hint) from exc
    trouble = lines.take_trouble()
    if trouble is not None:
        raise InputError(f"the header: {trouble[0]}", where=where, next_step=trouble[1])
    if names is None:
        hint = "the first row names the columns"
        raise InputError("the file is empty: it has no header", where=where, next_step=hint)
    columns = tuple(name.strip() for name in names)
    fault = _header_fault(columns, separator)
    if fault is not None:
        raise InputError(fault[0], where=where, next_step=fault[1])
    return columns


def _header_fault(columns: Sequence[str], separator: str) -> tuple[str, str] | None:
    """Say what is wrong with the names, and what helps."""
    if len(columns) == 1:
        other = next((one for one in _SEPARATORS if one != separator and one in columns[0]), None)
        if other is not None:
            wanted = f"{_SEPARATORS[separator]} must stand between columns"
            hint = "save it with commas as .csv, or with tabs as .tsv"
            return f"{wanted}; the header has {_SEPARATORS[other]}", hint
    for number, name in enumerate(columns, start=1):
        if not name:
            hint = "the first row names the columns: name it, or remove the column"
            return f"column {number} has no name", hint
        if name in columns[: number - 1]:
            numbers = f"columns {columns.index(name) + 1} and {number}"
            return f"the column {shown(name)} stands twice: {numbers}", "rename one of them"
    return None


def _rows(reader: _Reader, lines: Lines, columns: tuple[str, ...]) -> Iterator[Row | BadRow]:
    width, number = len(columns), 0
    while True:
        # A row begins after the last line of the one before: its fields may have line breaks.
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            number += 1
            lines.take_trouble()
            yield BadRow(line, *_explain(exc))
            continue
        trouble = lines.take_trouble()
        if not fields:
            continue
        number += 1
        if trouble is not None:
            yield BadRow(line, *trouble)
        elif len(fields) != width:
            yield _of_wrong_width(line, len(fields), width)
        else:
            yield Row(dict(zip(columns, fields, strict=True)), number, line)


def _of_wrong_width(line: int, got: int, width: int) -> BadRow:
    message = f"the row has {counted(got, 'field')}; the header has {width}"
    if got < width:
        return BadRow(line, message, "leave a field empty, but keep its separator")
    return BadRow(line, message, 'put a field that contains the separator in quotes: "a, b"')


def _explain(error: csv.Error) -> tuple[str, str]:
    text = str(error)
    if "unexpected end" in text:
        hint = 'close it; a quote inside of a field is written twice: ""'
        return "a quote is opened here and never closed; nothing after it was read", hint
    if "field limit" in text:
        hint = "is a quote opened here and not closed?"
        return f"a field is longer than {csv.field_size_limit()} characters", hint
    if "expected after" in text:
        hint = 'a quote inside of a field in quotes is written twice: ""'
        return "text stands between the quote that closes a field and the separator", hint
    return f"the row is not understood: {text}", "write fields as RFC 4180 says"
