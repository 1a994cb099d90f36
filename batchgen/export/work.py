"""What every format needs of an export at work."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from batchgen.export.asking import Asked
    from batchgen.export.folder import Destination
    from batchgen.export.journal import Journal


@dataclass(slots=True)
class Work:
    """`tick` hears how many rows are dealt with. `made`, `kept`: units."""

    run_folder: Path
    folder: Destination
    journal: Journal
    asked: Asked
    tick: Callable[[int], object]
    made: int = 0
    kept: int = 0

    @property
    def splits(self) -> list[str]:
        """Those that have files: in the order in which they were asked for, then by name."""
        present = sorted({count.split for count in self.journal.counts()})
        named = [name for name in self.asked.split_names if name in present]
        return named + [name for name in present if name not in named]

    @property
    def extensions(self) -> list[str]:
        return sorted({count.extension for count in self.journal.counts()})

    def is_made(self, path: str, key: str) -> bool:
        """Say whether the unit is there already, made of the same."""
        known = self.journal.want(path)
        is_made = known is not None and known[0] == key and self.folder.holds(path, known[1])
        self.kept += is_made
        return is_made

    def publish(self, part: Path, path: str, key: str) -> None:
        """Give a unit, whose bytes are durable, its name. `settle` makes it count."""
        self.journal.published(path, key, self.folder.publish(part, path))
        self.made += 1

    def settle(self) -> None:
        """First the names, then the record of them: it must not know what a loss of power took."""
        self.folder.sync()
        self.journal.commit()

    def publish_lines(self, path: str, lines: Iterable[bytes]) -> None:
        """Write a list aside; its name it gets only where it is another one than before."""
        digest = hashlib.sha256()
        part = self.folder.part("list")
        with disk_errors(part), part.open("wb") as file:
            for line in lines:
                digest.update(line)
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        key = digest.hexdigest()
        if self.is_made(path, key):
            with disk_errors(part):
                part.unlink()
        else:
            self.publish(part, path, key)
        self.settle()
