"""Rows grouped into shards, planned before any file is read: the state has each file's size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchgen.export.context import ExportContext
    from batchgen.export.rows import Row


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows of one split, numbered from `first` to `last`. `key` identifies their content.

    `kind`: only rows with this extension; None takes all.
    """

    path: str
    split: str
    kind: str | None
    first: int
    last: int
    rows: int
    key: str


@dataclass(frozen=True, slots=True)
class ShardFormat:
    """How a format measures rows: `line` is a row's metadata, `bytes` its total size in a shard.

    `kind`: only rows with this extension, in `folder`.
    """

    extension: str
    line: Callable[[Row], bytes]
    bytes: Callable[[Row, bytes], int]
    overhead: int = 0
    kind: str | None = None
    folder: str = ""


def shards(work: ExportContext, split: str, shard_format: ShardFormat) -> Iterator[Shard]:
    """Fill shards up to the limits. A row larger than a shard gets its own."""
    options = work.options
    digest, size, count, first, last, number = hashlib.sha256(), shard_format.overhead, 0, 0, 0, 0

    def shard() -> Shard:
        path = f"{shard_format.folder}{split}-{number:06d}.{shard_format.extension}"
        return Shard(path, split, shard_format.kind, first, last, count, digest.hexdigest())

    for at, row in work.journal.rows(split, extension=shard_format.kind):
        line = shard_format.line(row)
        more = shard_format.bytes(row, line)
        if count and (size + more > options.byte_limit or count >= options.row_limit):
            yield shard()
            number += 1
            digest, size, count = hashlib.sha256(), shard_format.overhead, 0
        first = first if count else at
        last, size, count = at, size + more, count + 1
        digest.update(line)
    if count:
        yield shard()
