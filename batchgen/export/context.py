"""What every format of an export uses: its folder and journal, and how a file joins it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from batchgen.concurrency import map_in_threads
from batchgen.export.making import PART
from batchgen.fs import disk_errors
from batchgen.storage.results import open_results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from batchgen.export.folder import Journal
    from batchgen.export.making import Made, Maker
    from batchgen.export.options import ExportOptions
    from batchgen.processes import MapFiles
    from batchgen.storage.locations import BucketLocation, Location

T = TypeVar("T")
R = TypeVar("R")


class Destination(Protocol):
    """Where an export goes. Raises OutputError, StorageError, DiskFullError, BucketError."""

    @property
    def location(self) -> Location: ...

    @property
    def journal(self) -> Path:
        """Its place, on a local disk."""

    def claim(self, results: Location, origin: str) -> None:
        """Make it ours. Raises UsageError for one that is not empty and not an export's."""

    def begin(self, journal: Journal) -> None:
        """Remove what an interrupted export left. Requires the journal's lock."""

    @property
    def parts(self) -> Path:
        """The folder, on a local disk, in which units are made."""

    @property
    def bucket(self) -> BucketLocation | None:
        """Where units are sent to; None for a folder."""

    def holds(self, path: str, size: int) -> bool:
        """Whether the destination has a plain file of this size there."""

    def publish(self, made: Made, path: str) -> None:
        """Give a complete file its final name. `sync` makes it durable."""

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

    `workers` are those of a cluster, if there is one.
    """

    maker: Maker
    folder: Destination
    journal: Journal
    options: ExportOptions
    tick: Callable[[int], object]
    workers: MapFiles | None = None
    made: int = 0
    kept: int = 0

    def map(
        self, work: Callable[[T], R], items: Iterable[T], lost: Callable[[T], R]
    ) -> Iterator[R]:
        """Yield `work(item)` for each item, in order: in threads, or on a cluster."""
        if self.workers is not None:
            return self.workers(work, items, lost)
        places = (self.maker.source, self.folder.location)
        at_once = max(open_results(place).at_once for place in places)
        return map_in_threads(work, items, at_once, "export")

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

    def publish(self, made: Made, path: str, key: str) -> None:
        """Give a unit, whose bytes are durable, its name. `settle` makes that durable."""
        self.folder.publish(made, path)
        self.journal.published(path, key, made.size)
        self.made += 1

    def settle(self) -> None:
        """Sync the names before the journal: it must not list a unit that a power loss removed."""
        self.folder.sync()
        self.journal.commit()

    def publish_lines(self, path: str, lines: Iterable[bytes]) -> None:
        """Write a list to a temporary file, and rename it only if it has changed."""
        draft = self.folder.parts / f"list{PART}"
        with disk_errors(draft), draft.open("wb") as file:
            digest = hashlib.sha256()
            for line in lines:
                digest.update(line)
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        key = digest.hexdigest()
        if self.is_current(path, key):
            with disk_errors(draft):
                draft.unlink()
        else:
            here = replace(self.maker, parts=self.folder.parts)
            self.publish(here.make(path, draft.replace), path, key)
        self.settle()
