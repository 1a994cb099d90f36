"""WebDataset: tar files in which each picture stands with a JSON file of the same stem.

A loader takes the first files of the first shard for what all are. So one dataset has one kind of
file, several kinds get a folder each; and each JSON has the same keys with values of one type.

Only tarfile's headers are used: with a time, owner and mode of our own the bytes are the same
wherever and whenever they are written, and their number is known before.
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.export.rows import Sizes, blocks, flat_fields_of, line_of, shards
from batchgen.fs import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.export.exporting import Work
    from batchgen.export.rows import Row, Shard
    from batchgen.jobs import JsonValue

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


def write_webdataset(work: Work) -> None:
    kinds = work.extensions
    for kind in kinds:
        form = _Form(_full_columns(work, kind))
        folder = f"{kind}/" if len(kinds) > 1 else ""
        sizes = Sizes("tar", form.line, form.bytes, len(END), kind, folder)
        for split in work.splits:
            for shard in shards(work, split, sizes):
                if not work.is_made(shard.path, shard.key):
                    _write(work, shard, form)
                else:
                    work.tick(shard.rows)


def _full_columns(work: Work, kind: str) -> frozenset[str]:
    """Name the columns that have a value in every row: null is of no type."""
    columns: frozenset[str] | None = None
    for _, row in work.journal.rows(extension=kind):
        full = {name for name, value in _fields(row).items() if value is not None}
        columns = frozenset(full) if columns is None else columns & full
    return columns or frozenset()


def _fields(row: Row) -> dict[str, JsonValue]:
    """What has parts is text, and what may be missing is an empty one."""
    fields = flat_fields_of(row, ".".join(member_names(row)))
    texts: dict[str, JsonValue] = {name: fields[name] or "" for name in ("prompt", "pick")}
    return {**fields, **texts, "tags": row.result.tags}


@dataclass(frozen=True, slots=True)
class _Form:
    """How a row is written where all have these columns."""

    columns: frozenset[str]

    def line(self, row: Row) -> bytes:
        found = _fields(row).items()
        return line_of({name: value for name, value in found if name in self.columns})

    def bytes(self, row: Row, line: bytes) -> int:
        stem, extension = member_names(row)
        return _room(f"{stem}.{extension}", row.result.bytes) + _room(f"{stem}.json", len(line))


def _write(work: Work, shard: Shard, form: _Form) -> None:
    part = work.folder.part("shard")
    with disk_errors(part), part.open("wb") as file:
        for _, row in work.journal.rows(
            shard.split, extension=shard.kind, first=shard.first, last=shard.last
        ):
            file.writelines(_members(work, row, form.line(row)))
            work.tick(1)
        file.write(END)
        file.flush()
        os.fsync(file.fileno())
    work.publish(part, shard.path, shard.key)
    work.settle()


def _members(work: Work, row: Row, line: bytes) -> Iterator[bytes]:
    stem, extension = member_names(row)
    size = row.result.bytes
    yield _header(f"{stem}.{extension}", size)
    yield from blocks(work.run_folder / row.result.path, row.result)
    yield _padding(size)
    yield _header(f"{stem}.json", len(line))
    yield line
    yield _padding(len(line))


def member_names(row: Row) -> tuple[str, str]:
    """Give stem and extension.

    A loader takes all after a name's first dot for its extension, so the dots of a stem are quoted;
    `%` is too, else two stems could become one.
    """
    folder, slash, name = row.name.rpartition("/")
    stem, _, extension = name.rpartition(".")
    quoted = stem.replace("%", "%25").replace(".", "%2E")
    return f"{folder}{slash}{quoted}", extension


def _room(name: str, size: int) -> int:
    return len(_header(name, size)) + size + len(_padding(size))


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)
