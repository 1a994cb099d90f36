"""Rows grouped into shards, planned before any file is read: the state has each file's size."""

from __future__ import annotations

import hashlib
import pickle
import zlib
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from batchgen.export.making import given_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from batchgen.export.context import ExportContext
    from batchgen.export.making import Made, Maker
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


class WriteShard(Protocol):
    """Writes a shard of these rows at `part`, complete and durable; calls `tick` for each row."""

    def __call__(
        self, part: Path, maker: Maker, rows: Iterable[Row], tick: Callable[[int], object], /
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Packed:
    """A shard on its way to a worker. Its rows are compressed: they may be 10,000."""

    path: str
    rows: bytes


def publish_shards(work: ExportContext, planned: Iterable[Shard], write: WriteShard) -> None:
    """Make the shards that are not there yet: one after another, or each by a worker.

    `write` is a module-level function, or a partial of one.
    """
    outdated = _outdated(work, planned)
    if work.workers is None:
        for shard in outdated:
            rows = _rows_of(work, shard)
            made = work.maker.make(shard.path, partial(_write, write, work, rows))
            work.publish(made, shard.path, shard.key)
            work.settle()
        return
    waiting: deque[Shard] = deque()
    packed = _pack_each(work, outdated, waiting)
    for made in work.workers(partial(_make, work.maker, write), packed, _given_up):
        shard = waiting.popleft()
        work.publish(made, shard.path, shard.key)
        work.settle()
        work.tick(shard.rows)


def _outdated(work: ExportContext, planned: Iterable[Shard]) -> Iterator[Shard]:
    for shard in planned:
        if work.is_current(shard.path, shard.key):
            work.tick(shard.rows)
        else:
            yield shard


def _rows_of(work: ExportContext, shard: Shard) -> Iterator[Row]:
    numbered = work.journal.rows(
        shard.split, extension=shard.kind, first=shard.first, last=shard.last
    )
    return (row for _, row in numbered)


def _write(write: WriteShard, work: ExportContext, rows: Iterator[Row], part: Path) -> None:
    write(part, work.maker, rows, work.tick)


def _pack_each(
    work: ExportContext, shards: Iterable[Shard], waiting: deque[Shard]
) -> Iterator[_Packed]:
    for shard in shards:
        waiting.append(shard)
        rows = pickle.dumps(list(_rows_of(work, shard)))
        yield _Packed(shard.path, zlib.compress(rows, 1))


def _make(maker: Maker, write: WriteShard, packed: _Packed) -> Made:
    """Runs in a worker."""
    rows: list[Row] = pickle.loads(zlib.decompress(packed.rows))  # noqa: S301 - from our own parent
    return maker.make(packed.path, lambda part: write(part, maker, rows, _ignore))


def _ignore(_rows: int) -> None:
    pass


def _given_up(packed: _Packed) -> Made:
    raise given_up(packed.path)
