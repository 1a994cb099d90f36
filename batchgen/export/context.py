"""What every format of an export uses: its folder and journal, and how a file joins it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.export.rows import blocks
from batchgen.fs import disk_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from batchgen.export.folder import Destination, Journal
    from batchgen.export.options import ExportOptions
    from batchgen.state.records import Result


@dataclass(slots=True)
class ExportContext:
    """`tick` is called with the number of rows just done. `made` and `kept` count units.

    `repair`: what to do about a result that is missing or damaged.
    """

    run_folder: Path
    folder: Destination
    journal: Journal
    options: ExportOptions
    repair: str
    tick: Callable[[int], object]
    made: int = 0
    kept: int = 0

    def blocks(self, result: Result) -> Iterator[bytes]:
        """Yield the blocks of a result's file. Raises MissingFileError, StorageError."""
        return blocks(self.run_folder / result.path, result, self.repair)

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
