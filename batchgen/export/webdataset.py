"""WebDataset: tar files in which each picture is next to a JSON file with the same stem.

A loader expects all files to be like the first ones of the first shard. So each dataset has one
kind of file, several kinds get a folder each, and all JSON files have the same keys and types.

tarfile only makes the headers: with fixed time, owner and mode the bytes are the same wherever and
whenever they are written, and their number is known in advance.
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batchgen.export.rows import flat_row_fields, json_line
from batchgen.export.shards import ShardFormat, publish_shards, shards
from batchgen.fs import disk_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from batchgen.export.context import ExportContext
    from batchgen.export.making import Maker
    from batchgen.export.rows import Row
    from batchgen.jobs import JsonValue

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


def write_webdataset(work: ExportContext) -> None:
    kinds = work.extensions
    for kind in kinds:
        form = _Form(_full_columns(work, kind))
        folder = f"{kind}/" if len(kinds) > 1 else ""
        shard_format = ShardFormat("tar", form.line, form.bytes, len(END), kind, folder)
        for split in work.splits:
            publish_shards(work, shards(work, split, shard_format), partial(_write, form))


def _full_columns(work: ExportContext, kind: str) -> frozenset[str]:
    """Return the columns that have a value in every row: null has no type."""
    columns: frozenset[str] | None = None
    for _, row in work.journal.rows(extension=kind):
        full = {name for name, value in _fields(row).items() if value is not None}
        columns = frozenset(full) if columns is None else columns & full
    return columns or frozenset()


def _fields(row: Row) -> dict[str, JsonValue]:
    """Return fields with lists and objects as text, and "" for a missing prompt or pick."""
    fields = flat_row_fields(row, ".".join(member_names(row)))
    texts: dict[str, JsonValue] = {name: fields[name] or "" for name in ("prompt", "pick")}
    return {**fields, **texts, "tags": row.result.tags}


@dataclass(frozen=True, slots=True)
class _Form:
    """How a row is written, with the columns that all rows have."""

    columns: frozenset[str]

    def line(self, row: Row) -> bytes:
        found = _fields(row).items()
        return json_line({name: value for name, value in found if name in self.columns})

    def bytes(self, row: Row, line: bytes) -> int:
        stem, extension = member_names(row)
        return _member_size(f"{stem}.{extension}", row.result.bytes) + _member_size(
            f"{stem}.json", len(line)
        )


def _write(
    form: _Form, part: Path, maker: Maker, rows: Iterable[Row], tick: Callable[[int], object]
) -> None:
    with disk_errors(part), part.open("xb") as file:
        for row, blocks in maker.read_ahead(rows):
            file.writelines(_members(row, blocks, form.line(row)))
            tick(1)
        file.write(END)
        file.flush()
        os.fsync(file.fileno())


def _members(row: Row, blocks: Iterator[bytes], line: bytes) -> Iterator[bytes]:
    stem, extension = member_names(row)
    size = row.result.bytes
    yield _header(f"{stem}.{extension}", size)
    yield from blocks
    yield _padding(size)
    yield _header(f"{stem}.json", len(line))
    yield line
    yield _padding(len(line))


def member_names(row: Row) -> tuple[str, str]:
    """Return stem and extension.

    A loader takes everything after a name's first dot for its extension, so dots in a stem are
    percent-encoded; so is `%`, because two stems must not become one.
    """
    folder, slash, name = row.name.rpartition("/")
    stem, _, extension = name.rpartition(".")
    quoted = stem.replace("%", "%25").replace(".", "%2E")
    return f"{folder}{slash}{quoted}", extension


def _member_size(name: str, size: int) -> int:
    return len(_header(name, size)) + size + len(_padding(size))


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)
