"""A row of a data file, valid or not, and the lines of a text file that rows are read from.

Lines are bounded in length. A wrong byte does not end the reading: its row is reported, and the
next one is read.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from batchgen.errors import InputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from batchgen.jobs import JsonValue


# Made a million times: a named tuple takes half the time of a dataclass.
class Row(NamedTuple):
    """`number` counts the rows from 1, bad ones too, so that mending one shifts no other.

    `line` is where the row begins; in Parquet, which has no lines, its number.
    """

    values: Mapping[str, JsonValue]
    number: int
    line: int


class BadRow(NamedTuple):
    """A row that cannot be used. `ends_reading`: nothing after it was read."""

    line: int
    message: str
    hint: str | None = None
    ends_reading: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an open file, to be gone through once.

    `columns` is None for JSON Lines, where each row has keys of its own.
    """

    columns: tuple[str, ...] | None
    stream: Iterator[Row | BadRow]

    def __iter__(self) -> Iterator[Row | BadRow]:
        return self.stream


LONGEST_LINE = 1024 * 1024
"""Characters. A file without line breaks must not fill the memory."""

_MARK = "\udcff"
"""Replaces bytes that could not be decoded: no valid text has a lone surrogate."""
_MARKING = "batchgen.mark"
# The order matters: UTF-32's mark begins with UTF-16's.
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _MARK, error.end


codecs.register_error(_MARKING, _mark)


def cannot_read(path: Path, error: OSError) -> StorageError:
    what = f"the file cannot be read to its end: {error.strerror}"
    return StorageError(what, where=str(path), next_step="check the disk")


class Lines:
    """Iterates over the lines, with their line breaks; `number` is that of the last one.

    `newline` is as for `open`. Making it and iterating raise StorageError for a failing disk.
    """

    def __init__(self, file: BinaryIO, path: Path, newline: str | None) -> None:
        try:
            start = file.read(4)
        except OSError as exc:
            raise cannot_read(path, exc) from exc
        mark, self.encoding = next(
            ((mark, name) for mark, name in _ENCODINGS if start.startswith(mark)), (b"", "utf-8")
        )
        file.seek(len(mark))
        self.path = path
        self.number = 0
        self._file = TextIOWrapper(file, self.encoding, errors=_MARKING, newline=newline)
        self._trouble: tuple[str, str] | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for line in iter(partial(self._file.readline, LONGEST_LINE), ""):
                self.number += 1
                if len(line) == LONGEST_LINE:
                    self._pass_rest(line)
                if not line.isascii() or "\0" in line:
                    self._trouble = self.fault_of(line) or self._trouble
                yield line
        except OSError as exc:
            raise cannot_read(self.path, exc) from exc

    def close(self) -> None:
        self._file.close()

    def read(self, characters: int) -> str:
        """Give what comes next, whatever lines it has; '' at the end. Raises StorageError.

        What is wrong with it `fault_of` says.
        """
        try:
            return self._file.read(characters)
        except OSError as exc:
            raise cannot_read(self.path, exc) from exc

    def take_trouble(self) -> tuple[str, str] | None:
        """Say what is wrong with the lines since the last call, and what helps."""
        trouble, self._trouble = self._trouble, None
        return trouble

    def _pass_rest(self, line: str) -> None:
        hint = "one row is one line; is a line break missing?"
        self._trouble = f"the line is longer than {LONGEST_LINE} characters", hint
        while line and not line.endswith(("\n", "\r")):
            line = self._file.readline(LONGEST_LINE)

    def fault_of(self, text: str) -> tuple[str, str] | None:
        """Say what no sound text has, and what helps."""
        if "\0" in text:
            hint = "text must not contain it: remove it, or save the file as UTF-8"
            return "there is a NUL character here", hint
        if not text.isascii() and _MARK in text:
            hint = "save the file as UTF-8 (Excel calls it 'CSV UTF-8')"
            return f"this is not {self.encoding.upper()}", hint
        return None


def text_rows(lines: Lines) -> Rows:
    """A prompt a line: its row has the number of its line. Raises InputError, StorageError."""
    found = _prompts(lines)
    first = next(found, None)
    if isinstance(first, Row) and "\t" in str(first.values["prompt"]):
        raise InputError(
            "a .txt has one prompt a line, but there is a tab in the first one",
            where=f"{lines.path}:{first.line}",
            next_step="a table whose columns are separated by tabs, such as Excel's "
            "'Unicode Text', is read as .tsv: rename the file",
        )
    return Rows(("prompt", "line"), found if first is None else chain((first,), found))


def _prompts(lines: Lines) -> Iterator[Row | BadRow]:
    for line in lines:
        trouble = lines.take_trouble()
        text = line.strip()
        if trouble is not None:
            yield BadRow(lines.number, *trouble)
        elif text:
            yield Row({"prompt": text, "line": text}, lines.number, lines.number)
