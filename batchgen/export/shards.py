"""Rows → shards, before a byte is read: the state knows how large each file is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchgen.export.rows import Row
    from batchgen.export.work import Work


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows of one split, numbered from `first` to `last`. `key` says what they are.

    `kind`: only those with this extension; None takes all.
    """

    path: str
    split: str
    kind: str | None
    first: int
    last: int
    rows: int
    key: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """How a format counts: `line` is what is written of a row, `bytes` what it takes in all.

    `kind`: only rows with this extension, in `folder`.
    """

    extension: str
    line: Callable[[Row], bytes]
    bytes: Callable[[Row, bytes], int]
    overhead: int = 0
    kind: str | None = None
    folder: str = ""


def shards(work: Work, split: str, sizes: Sizes) -> Iterator[Shard]:
    """Fill shards up to the limits. A row that is larger than a shard has one of its own."""
    asked = work.asked
    digest, size, count, first, last, number = hashlib.sha256(), sizes.overhead, 0, 0, 0, 0

    def shard() -> Shard:
        path = f"{sizes.folder}{split}-{number:06d}.{sizes.extension}"
        return Shard(path, split, sizes.kind, first, last, count, digest.hexdigest())

    for at, row in work.journal.rows(split, extension=sizes.kind):
        line = sizes.line(row)
        more = sizes.bytes(row, line)
        if count and (size + more > asked.byte_limit or count >= asked.row_limit):
            yield shard()
            number += 1
            digest, size, count = hashlib.sha256(), sizes.overhead, 0
        first = first if count else at
        last, size, count = at, size + more, count + 1
        digest.update(line)
    if count:
        yield shard()
