"""Rows of a dataset: a result and its split, read from the run's folder, grouped into shards.

A file is read once, and compared with the state while it is read. Shards are planned before a byte
is read, since the state knows the size of each file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.media import MediaKind
from batchgen.errors import MissingFileError, OutputError, StorageError
from batchgen.fs import disk_errors, open_to_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchgen.export.exporting import Work
    from batchgen.jobs import JsonValue
    from batchgen.state.records import Result


_BETWEEN = "-._ 0-9/"
_SPLIT_WORDS = re.compile(
    rf"(?:(?<=[{_BETWEEN}])|^)"
    r"(?:train|training|validation|valid|val|dev|test|testing|eval|evaluation)~*"
    rf"(?=[{_BETWEEN}]|$)",
    re.IGNORECASE,
)
"""What `datasets` looks for in names where no card says which files a split has."""


@dataclass(frozen=True, slots=True)
class Row:
    split: str
    result: Result

    @property
    def kind(self) -> MediaKind:
        return MediaKind(self.result.media_type.partition("/")[0])

    @property
    def name(self) -> str:
        """The file's name as the run has it, below `files`."""
        return self.result.path.partition("/")[2]

    @property
    def extension(self) -> str:
        """Without its dot: what kind of file it is to a loader of tar shards."""
        return self.name.rpartition(".")[2].lower()

    @property
    def plain_name(self) -> str:
        """The same without what a loader takes for the name of a split, as `photo of a train~`.

        One more `~` behind each such word: so two names never become one.
        """
        return _SPLIT_WORDS.sub(r"\g<0>~", self.name)


def fields_of(row: Row, file_name: str) -> dict[str, JsonValue]:
    """All that is known of a result, in the order of metadata.jsonl."""
    result = row.result
    sent = json.loads(result.body)
    return {
        "file_name": file_name,
        "id": result.job_id,
        "position": result.position,
        "model": result.model,
        "prompt": sent.get("prompt"),
        "input": sent,
        "seed": sent.get("seed"),
        "tags": json.loads(result.tags),
        "sweep": result.sweep,
        "axes": json.loads(result.axes, parse_constant=str),  # NaN is no JSON
        "pick": result.pick,
        "sha256": result.sha256,
        "media_type": result.media_type,
        "bytes": result.bytes,
        "width": result.width,
        "height": result.height,
        "seconds": result.seconds,
        "frames": result.frames,
        "request_id": result.request_id,
        "cost": result.cost,
    }


def flat_fields_of(row: Row, file_name: str) -> dict[str, JsonValue]:
    """The same for tables, where a column has one type: inputs have other keys for each model."""
    fields = fields_of(row, file_name)
    return {**fields, "input": row.result.body, "axes": row.result.axes}


def line_of(fields: dict[str, JsonValue]) -> bytes:
    """One line of JSON. A lone surrogate, which UTF-8 has no bytes for, stays an escape."""
    text = json.dumps(fields, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(fields).encode() + b"\n"


BLOCK = 1024 * 1024
CANNOT_LINK = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
)
"""Another disk, a file of another user, too many links, a file system without links."""

REPAIR = "batchgen verify MANIFEST shows all of them, batchgen repair MANIFEST fetches them again"


def blocks(path: Path, result: Result) -> Iterator[bytes]:
    """Read a file through; at its end, what was read is what the state knows.

    Raises MissingFileError, StorageError.
    """
    digest = hashlib.sha256()
    try:
        with open_to_read(path) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                yield block
    except FileNotFoundError as exc:
        raise MissingFileError(
            f"the result of {result.job_id} is missing", where=result.path, next_step=REPAIR
        ) from exc
    except (OSError, OutputError) as exc:
        detail = exc.what if isinstance(exc, OutputError) else exc.strerror
        raise StorageError(
            f"the result of {result.job_id} cannot be read: {detail}",
            where=result.path,
            next_step=REPAIR,
        ) from exc
    if digest.hexdigest() != result.sha256:
        raise StorageError(
            f"the result of {result.job_id} has another content than the one that was downloaded",
            where=result.path,
            next_step=REPAIR,
        )


def place(source: Path, result: Result, part: Path, *, copy: bool) -> None:
    """Put a verified file at `part`: a hard link where that can be, else a copy.

    What is linked is read by its new name, so that nothing can change between check and link.
    """
    with disk_errors(part):
        part.unlink(missing_ok=True)
    if not copy and _linked(source, part):
        for _ in blocks(part, result):
            pass
        return
    with disk_errors(part), part.open("xb") as file:
        file.writelines(blocks(source, result))
        file.flush()
        os.fsync(file.fileno())


def _linked(source: Path, part: Path) -> bool:
    with disk_errors(part):
        try:
            os.link(source, part, follow_symlinks=False)
        except FileNotFoundError:
            return False  # the copy says what is missing
        except OSError as exc:
            if exc.errno in CANNOT_LINK:
                return False
            raise
    return True


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
