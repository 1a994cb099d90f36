"""One row of a data file, sound or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
