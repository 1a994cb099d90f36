"""How a file of an export is made, on this machine or by a worker of a cluster."""

from __future__ import annotations

import hashlib
import mimetypes
import tempfile
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from batchgen.concurrency import map_in_threads
from batchgen.errors import StorageError
from batchgen.export.rows import blocks
from batchgen.fs import disk_errors, open_to_read
from batchgen.storage.locations import FolderLocation
from batchgen.storage.results import open_bucket, open_results
from batchgen.storage.stamps import ObjectFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from batchgen.export.rows import Row
    from batchgen.state.records import Result
    from batchgen.storage.locations import BucketLocation, Location
    from batchgen.storage.results import Results

FETCHED_AHEAD = 8
"""Files of a bucket that are fetched at once; twice as many may be in memory."""
LARGEST_AHEAD = 8 * 1024 * 1024
PART = ".part"
_UPLOADS = BoundedSemaphore(8)
"""Each has up to 32 MiB in memory."""


@dataclass(frozen=True, slots=True)
class Made:
    """A complete file: at `part`, or in the bucket already."""

    size: int
    part: Path | None


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes files in the folder `parts` (None: wherever there is room for temporary files).

    `repair`: what to do about a result that is missing or damaged. Files for a `bucket` are sent
    there. It is pickled for workers of a cluster.
    """

    source: Location
    repair: str
    parts: Path | None
    bucket: BucketLocation | None

    @property
    def results(self) -> Results:
        return open_results(self.source)

    def make(self, path: str, write: Callable[[Path], object]) -> Made:
        """Make the file that the export calls `path`.

        No two are made at one place: a worker that is cut off may still write while another one
        makes the same file.
        """
        parts = Path(tempfile.gettempdir()) if self.parts is None else self.parts
        part = parts / f"batchgen-{token_hex(8)}{PART}"
        try:
            write(part)
            if self.bucket is None:
                return Made(part.stat().st_size, part)
            # In a thread, for which Ctrl-C does not wait.
            (made,) = map_in_threads(lambda one: self._send(one, path), [part], 1, "export")
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        with disk_errors(part):
            part.unlink()
        return made

    def _send(self, part: Path, path: str) -> Made:
        assert self.bucket is not None
        with disk_errors(part), open_to_read(part) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = part.stat().st_size
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        with _UPLOADS:
            open_bucket(self.bucket).replace(part, path, ObjectFacts(size, digest, kind, ""))
        return Made(size, None)

    def blocks(self, result: Result) -> Iterator[bytes]:
        """Yield the blocks of a result's file. Raises MissingFileError, StorageError."""
        return blocks(self.results, result.path, result, self.repair)

    def read_ahead(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Iterator[bytes]]]:
        """Yield each row with its file's blocks; of a bucket, several files are fetched at once."""
        if isinstance(self.source, FolderLocation):
            yield from ((row, self.blocks(row.result)) for row in rows)
            return
        for row, content in map_in_threads(self._fetch, rows, FETCHED_AHEAD, "fetch"):
            yield row, self.blocks(row.result) if content is None else iter((content,))

    def _fetch(self, row: Row) -> tuple[Row, bytes | None]:
        """Verified; None for a file that is too large to be kept in memory."""
        is_small = row.result.bytes <= LARGEST_AHEAD
        return row, b"".join(self.blocks(row.result)) if is_small else None


def given_up(path: str) -> StorageError:
    """The error for a file that kills the workers that make it."""
    return StorageError(
        "making this file kills the worker, as when its memory runs out",
        where=path,
        next_step="run the same command again to continue, without --ray if it happens again",
    )
