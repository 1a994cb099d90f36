"""WebDataset: tar files in which each picture stands with a JSON file of the same stem.

Only tarfile's headers are used: with a time, owner and mode of our own the bytes are the same
wherever and whenever they are written, and their number is known before.
"""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_errors
from batchgen.export.rows import fields_of, line_of
from batchgen.export.shards import Sizes, shards
from batchgen.export.sources import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.export.rows import Row
    from batchgen.export.shards import Shard
    from batchgen.export.work import Work

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


def write_webdataset(work: Work) -> None:
    for split in work.asked.splits:
        for shard in shards(work, split.name, SIZES):
            if not work.is_made(shard.path, shard.key):
                _write(work, shard)
            else:
                work.tick(shard.rows)


def _write(work: Work, shard: Shard) -> None:
    part = work.folder.part("shard")
    with disk_errors(part), part.open("wb") as file:
        for _, row in work.journal.rows(shard.split, first=shard.first, last=shard.last):
            file.writelines(_members(work, row))
            work.tick(1)
        file.write(END)
        file.flush()
        os.fsync(file.fileno())
    work.publish(part, shard.path, shard.key)
    work.settle()


def _members(work: Work, row: Row) -> Iterator[bytes]:
    stem, extension = member_names(row)
    size = row.result.bytes
    yield _header(f"{stem}.{extension}", size)
    yield from blocks(work.run_folder / row.result.path, row.result)
    yield _padding(size)
    line = _line(row)
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


def _line(row: Row) -> bytes:
    stem, extension = member_names(row)
    return line_of(fields_of(row, f"{stem}.{extension}"))


def _bytes(row: Row, line: bytes) -> int:
    stem, extension = member_names(row)
    return _room(f"{stem}.{extension}", row.result.bytes) + _room(f"{stem}.json", len(line))


SIZES = Sizes("tar", _line, _bytes, overhead=len(END))


def _room(name: str, size: int) -> int:
    return len(_header(name, size)) + size + len(_padding(size))


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)
