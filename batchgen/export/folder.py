"""The folder that an export makes: taken only where it is empty or an export's, filled by renames.

Whoever sees a final name sees a whole file.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from batchgen.downloads.disk import disk_errors, link_in_the_way
from batchgen.downloads.part import sync_folder
from batchgen.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

WORK = ".batchgen-export"
"""Hidden: the loaders of datasets leave such folders out."""


class Destination:
    """Raises OutputError, StorageError, DiskFullError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._work = root / WORK
        self._touched: set[Path] = set()

    @property
    def journal(self) -> Path:
        return self._work / "journal.db"

    def claim(self, run_folder: Path) -> None:
        """Make the folder, or take one that an export made. Raises UsageError for any other."""
        if (run_folder / "files").resolve() in (self.root.resolve() / "x").parents:
            raise self._refused("that is where the run keeps its files")
        with disk_errors(self.root):
            if self.root.exists() and not self.root.is_dir():
                raise self._refused("there is a file already")
            self.root.mkdir(parents=True, exist_ok=True)
            is_ours = self._work.is_dir() and not self._work.is_symlink()
            if not is_ours and any(self.root.iterdir()):
                raise self._refused("the folder holds what no export of batchgen made")
            self._work.mkdir(exist_ok=True)

    def tidy(self) -> None:
        """Remove what an interrupted export left half-made. Only under the journal's lock."""
        with disk_errors(self._work):
            for left in self._work.glob("*.part"):
                left.unlink()

    def part(self, name: str) -> Path:
        return self._work / f"{name}.part"

    def holds(self, path: str, size: int) -> bool:
        """Say whether a plain file of this size has the name."""
        with disk_errors(self.root / path):
            try:
                found = (self.root / path).lstat()
            except (FileNotFoundError, NotADirectoryError):
                return False
        return stat.S_ISREG(found.st_mode) and found.st_size == size

    def publish(self, part: Path, path: str) -> int:
        """Give a whole file its final name; the folder's fsync is due. Returns its bytes."""
        final = self.root / path
        with disk_errors(final):
            self._make_folders(final.parent)
            size = part.stat().st_size
            part.replace(final)
            # Where both are links to one file, a rename does nothing (POSIX) and leaves the part.
            part.unlink(missing_ok=True)
        return size

    def remove(self, path: str) -> None:
        """Remove a file of ours, and the folders that are empty then."""
        final = self.root / path
        with disk_errors(final):
            final.unlink(missing_ok=True)
            for folder in final.parents:
                if folder == self.root or not folder.is_dir() or any(folder.iterdir()):
                    return
                folder.rmdir()
                self._touched.discard(folder)

    def sync(self) -> None:
        """Make all names that were given so far durable."""
        while self._touched:
            folder = self._touched.pop()
            with disk_errors(folder):
                sync_folder(folder, os.fsync)

    def _make_folders(self, folder: Path) -> None:
        if folder in self._touched:
            return
        folder.mkdir(parents=True, exist_ok=True)
        while folder != self.root:
            # Through a link, files would be written to where nobody asked for them.
            if folder.is_symlink():
                raise link_in_the_way(folder)
            self._touched.add(folder)
            folder = folder.parent
        self._touched.add(folder)

    def _refused(self, why: str) -> UsageError:
        return UsageError(why, where=str(self.root), next_step="name a new or an empty folder")
