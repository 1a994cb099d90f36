"""A row of a data file, valid or not, and the lines of a text file that rows are read from.

The length of a line is limited. An invalid byte does not end the reading: its row is reported, and
the next one is read.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from batchgen.errors import InputError, StorageError
from batchgen.manifest.parsing.source import encoding_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from batchgen.jobs import JsonValue


# Made a million times: a named tuple takes half as long as a dataclass.
class Row(NamedTuple):
    """`number` counts the rows from 1, bad ones too, so that fixing one does not shift the others.

    `line` is where the row begins; in Parquet, which has no lines, it is the row's number. If the
    row is a file, it has no line, but `file` and what an id calls it, its `slug`.
    """

    values: Mapping[str, JsonValue]
    number: int
    line: int
    file: str = ""
    slug: str = ""


class BadRow(NamedTuple):
    """A row that cannot be used. `hides_rows`: others could not be read, and are not counted."""

    line: int
    message: str
    hint: str | None = None
    hides_rows: bool = False
    file: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an open file; they can be iterated over only once.

    `columns` is None for JSON, where each row has its own keys. `kind` is what messages
    call a column.
    """

    columns: tuple[str, ...] | None
    stream: Iterator[Row | BadRow]
    kind: str = "a column of the data file"

    def __iter__(self) -> Iterator[Row | BadRow]:
        return self.stream


LONGEST_LINE = 1024 * 1024
"""Characters. A file without line breaks must not fill the memory."""

_UNDECODABLE = "\udcff"
"""Replaces bytes that could not be decoded: no valid text has a lone surrogate."""
_ERROR_HANDLER = "batchgen.undecodable"


def _replace_undecodable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _UNDECODABLE, error.end


codecs.register_error(_ERROR_HANDLER, _replace_undecodable)


def cannot_read(path: Path, error: OSError) -> StorageError:
    what = f"the file cannot be read to its end: {error.strerror}"
    return StorageError(what, where=str(path), next_step="check the disk")


class Lines:
    """Iterates over the lines, with their line breaks; `number` is that of the last one.

    `newline` is as for `open`. Creating it and iterating raise StorageError if the disk fails.
    """

    def __init__(self, file: BinaryIO, path: Path, newline: str | None) -> None:
        try:
            start = file.read(4)
        except OSError as exc:
            raise cannot_read(path, exc) from exc
        mark, self.encoding = encoding_of(start)
        file.seek(len(mark))
        self.path = path
        self.number = 0
        self._file = TextIOWrapper(file, self.encoding, errors=_ERROR_HANDLER, newline=newline)
        self._problem: tuple[str, str] | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for line in iter(partial(self._file.readline, LONGEST_LINE), ""):
                self.number += 1
                if len(line) == LONGEST_LINE:
                    self._skip_rest(line)
                if not line.isascii() or "\0" in line:
                    self._problem = self.text_problem(line) or self._problem
                yield line
        except OSError as exc:
            raise cannot_read(self.path, exc) from exc

    def close(self) -> None:
        self._file.close()

    def read(self, characters: int) -> str:
        """Return the next characters, regardless of lines; '' at the end. Raises StorageError.

        Check them with `text_problem`.
        """
        try:
            return self._file.read(characters)
        except OSError as exc:
            raise cannot_read(self.path, exc) from exc

    def take_problem(self) -> tuple[str, str] | None:
        """Return the problem in the lines since the last call, and a hint."""
        problem, self._problem = self._problem, None
        return problem

    def _skip_rest(self, line: str) -> None:
        hint = "one row is one line; is a line break missing?"
        self._problem = f"the line is longer than {LONGEST_LINE} characters", hint
        while line and not line.endswith(("\n", "\r")):
            line = self._file.readline(LONGEST_LINE)

    def text_problem(self, text: str) -> tuple[str, str] | None:
        """Return what is wrong with the text itself, and a hint."""
        if "\0" in text:
            hint = "text must not contain it: remove it, or save the file as UTF-8"
            return "there is a NUL character here", hint
        if not text.isascii() and _UNDECODABLE in text:
            hint = "save the file as UTF-8 (Excel calls it 'CSV UTF-8')"
            return f"this is not {self.encoding.upper()}", hint
        return None


def text_rows(lines: Lines) -> Rows:
    """One prompt per line; a row's number is its line. Raises InputError, StorageError."""
    found = _prompts(lines)
    first = next(found, None)
    if isinstance(first, Row) and "\t" in str(first.values["prompt"]):
        raise InputError(
            "a .txt file has one prompt per line, but the first one has a tab in it",
            where=f"{lines.path}:{first.line}",
            next_step="a table whose columns are separated by tabs, such as Excel's "
            "'Unicode Text', is read as .tsv: rename the file",
        )
    return Rows(("prompt", "line"), found if first is None else chain((first,), found))


def _prompts(lines: Lines) -> Iterator[Row | BadRow]:
    for line in lines:
        problem = lines.take_problem()
        text = line.strip()
        if problem is not None:
            yield BadRow(lines.number, *problem)
        elif text:
            yield Row({"prompt": text, "line": text}, lines.number, lines.number)
