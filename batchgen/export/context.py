"""What every format of an export uses: its folder and journal, and how a file joins it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batchgen.concurrency import map_in_threads
from batchgen.export.rows import blocks
from batchgen.fs import disk_errors
from batchgen.storage.locations import FolderLocation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from batchgen.export.folder import Journal
    from batchgen.export.options import ExportOptions
    from batchgen.export.rows import Row
    from batchgen.state.records import Result
    from batchgen.storage.locations import Location
    from batchgen.storage.results import Results

FETCHED_AHEAD = 8
"""Files of a bucket that are fetched at once; twice as many may be in memory."""
LARGEST_AHEAD = 8 * 1024 * 1024


class Destination(Protocol):
    """Where an export goes. Raises OutputError, StorageError, DiskFullError, BucketError."""

    @property
    def location(self) -> Location: ...

    @property
    def at_once(self) -> int:
        """How many files are best written at once."""

    @property
    def journal(self) -> Path:
        """Its place, on a local disk."""

    def claim(self, results: Location, origin: str) -> None:
        """Make it ours. Raises UsageError for one that is not empty and not an export's."""

    def begin(self, journal: Journal) -> None:
        """Remove what an interrupted export left. Requires the journal's lock."""

    def part(self, name: str) -> Path:
        """Return the path, on a local disk, at which a unit is made."""

    def holds(self, path: str, size: int) -> bool:
        """Whether the destination has a plain file of this size there."""

    def send(self, part: Path, path: str) -> None:
        """Do as much of `publish` as may happen in any order; in a thread."""

    def publish(self, part: Path, path: str) -> int:
        """Give a complete file its final name, and return its size. `sync` makes it durable."""

    def digest(self, path: str) -> str | None:
        """Return the SHA-256 of a small file; None if there is none."""

    def remove(self, path: str) -> None:
        """Remove a file of the export."""

    def sync(self) -> None:
        """Make all names so far durable."""

    def finish(self, journal: Journal) -> None:
        """Called when the export is complete."""


@dataclass(slots=True)
class ExportContext:
    """`tick` is called with the number of rows just done. `made` and `kept` count units.

    `repair`: what to do about a result that is missing or damaged.
    """

    results: Results
    folder: Destination
    journal: Journal
    options: ExportOptions
    repair: str
    tick: Callable[[int], object]
    made: int = 0
    kept: int = 0

    def blocks(self, result: Result) -> Iterator[bytes]:
        """Yield the blocks of a result's file. Raises MissingFileError, StorageError."""
        return blocks(self.results, result.path, result, self.repair)

    def read_ahead(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Iterator[bytes]]]:
        """Yield each row with its file's blocks; of a bucket, several files are fetched at once."""
        if isinstance(self.results.location, FolderLocation):
            yield from ((row, self.blocks(row.result)) for row in rows)
            return
        for row, content in map_in_threads(self._fetch, rows, FETCHED_AHEAD, "fetch"):
            yield row, self.blocks(row.result) if content is None else iter((content,))

    def _fetch(self, row: Row) -> tuple[Row, bytes | None]:
        """Verified; None for a file that is too large to be kept in memory."""
        is_small = row.result.bytes <= LARGEST_AHEAD
        return row, b"".join(self.blocks(row.result)) if is_small else None

    @property
    def splits(self) -> list[str]:
        """The splits that have files: first those requested, in order, then others by name."""
        present = sorted({count.split for count in self.journal.counts()})
        named = [name for name in self.options.split_names if name in present]
        return named + [name for name in present if name not in named]

    @property
    def extensions(self) -> list[str]:
        return sorted({count.extension for count in self.journal.counts()})

    def is_current(self, path: str, key: str) -> bool:
        """Whether the unit exists already, made from the same content; marks it as wanted."""
        known = self.journal.want(path)
        is_current = known is not None and known[0] == key and self.folder.holds(path, known[1])
        self.kept += is_current
        return is_current

    def publish(self, part: Path, path: str, key: str) -> None:
        """Give a unit, whose bytes are durable, its name. `settle` makes that durable."""
        self.journal.published(path, key, self.folder.publish(part, path))
        self.made += 1

    def settle(self) -> None:
        """Sync the names before the journal: it must not list a unit that a power loss removed."""
        self.folder.sync()
        self.journal.commit()

    def publish_lines(self, path: str, lines: Iterable[bytes]) -> None:
        """Write a list to a temporary file, and rename it only if it has changed."""
        digest = hashlib.sha256()
        part = self.folder.part("list")
        with disk_errors(part), part.open("wb") as file:
            for line in lines:
                digest.update(line)
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        key = digest.hexdigest()
        if self.is_current(path, key):
            with disk_errors(part):
                part.unlink()
        else:
            self.publish(part, path, key)
        self.settle()
