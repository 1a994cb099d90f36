"""Rows of a dataset: a result and its split, read from the run's folder or bucket.

A file is read once, and verified while it is read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.media import MediaKind
from batchgen.errors import MissingFileError, StorageError
from batchgen.fs import disk_errors
from batchgen.references import as_published
from batchgen.storage.folders import FolderResults
from batchgen.storage.locations import FolderLocation
from batchgen.storage.stamps import ObstacleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.state.records import Result
    from batchgen.storage.results import Results


_BETWEEN = "-._ 0-9/"
_SPLIT_WORDS = re.compile(
    rf"(?:(?<=[{_BETWEEN}])|^)"
    r"(?:train|training|validation|valid|val|dev|test|testing|eval|evaluation)~*"
    rf"(?=[{_BETWEEN}]|$)",
    re.IGNORECASE,
)
"""What `datasets` takes for a split in a name, if no card lists the splits' files."""


@dataclass(frozen=True, slots=True)
class Row:
    split: str
    result: Result

    @property
    def kind(self) -> MediaKind:
        return MediaKind(self.result.media_type.partition("/")[0])

    @property
    def name(self) -> str:
        """The file's path below `files`."""
        return self.result.path.partition("/")[2]

    @property
    def extension(self) -> str:
        """Without the dot: a loader of tar shards goes by it."""
        return self.name.rpartition(".")[2].lower()

    @property
    def loader_safe_name(self) -> str:
        """The name with a `~` behind each word that a loader would take for a split: `train~`.

        A name that has such a `~` already gets one more, so two names never become one.
        """
        return _SPLIT_WORDS.sub(r"\g<0>~", self.name)


def row_fields(row: Row, file_name: str) -> dict[str, JsonValue]:
    """Return everything about a result, in the order of metadata.jsonl."""
    result = row.result
    sent = json.loads(as_published(result.body))
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
        "axes": json.loads(result.axes, parse_constant=str),  # NaN is not valid JSON
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


def flat_row_fields(row: Row, file_name: str) -> dict[str, JsonValue]:
    """Return the same with JSON as text, for tables: each model has other input keys."""
    fields = row_fields(row, file_name)
    return {**fields, "input": as_published(row.result.body), "axes": row.result.axes}


def json_line(fields: dict[str, JsonValue]) -> bytes:
    """Encode one line of JSON. A lone surrogate, which UTF-8 cannot encode, stays an escape."""
    text = json.dumps(fields, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(fields).encode() + b"\n"


CANNOT_LINK = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
)
"""Another disk, another user's file, too many links, or a file system without links."""


def blocks(files: Results, path: str, result: Result, repair: str) -> Iterator[bytes]:
    """Yield a file's blocks, and verify its hash at the end. `repair`: what to do if it is wrong.

    Raises MissingFileError, StorageError, and the bucket's errors.
    """
    with reported(result, repair), files.stream(path) as reading:
        yield from verified(reading.blocks, result, repair)


@contextmanager
def reported(result: Result, repair: str) -> Iterator[None]:
    """Raise MissingFileError or StorageError for a result that is missing or cannot be read."""
    try:
        yield
    except FileNotFoundError as exc:
        raise MissingFileError(
            f"the result of {result.job_id} is missing", where=result.path, next_step=repair
        ) from exc
    except (OSError, ObstacleError) as exc:
        detail = exc.what if isinstance(exc, ObstacleError) else exc.strerror
        raise StorageError(
            f"the result of {result.job_id} cannot be read: {detail}",
            where=result.path,
            next_step=repair,
        ) from exc


def verified(read: Iterable[bytes], result: Result, repair: str) -> Iterator[bytes]:
    """Pass on a file's blocks; raise StorageError at the end if it has another content."""
    digest = hashlib.sha256()
    for block in read:
        digest.update(block)
        yield block
    if digest.hexdigest() != result.sha256:
        raise StorageError(
            f"the result of {result.job_id} is not the content that was downloaded",
            where=result.path,
            next_step=repair,
        )


def link_or_copy(files: Results, result: Result, part: Path, repair: str, *, copy: bool) -> None:
    """Put a verified file at `part`: a hard link if possible, otherwise a copy.

    A link is verified by its new name, so that nothing can be swapped between check and link.
    """
    with disk_errors(part):
        part.unlink(missing_ok=True)
    here = files.location
    if not copy and isinstance(here, FolderLocation) and _linked(here.root / result.path, part):
        linked = FolderResults(FolderLocation(part.parent))
        for _ in blocks(linked, part.name, result, repair):
            pass
        return
    with disk_errors(part), part.open("xb") as file:
        file.writelines(blocks(files, result.path, result, repair))
        file.flush()
        os.fsync(file.fileno())


def _linked(source: Path, part: Path) -> bool:
    with disk_errors(part):
        try:
            os.link(source, part, follow_symlinks=False)
        except FileNotFoundError:
            return False  # copying reports what is missing
        except OSError as exc:
            if exc.errno in CANNOT_LINK:
                return False
            raise
    return True
