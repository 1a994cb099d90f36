"""Results in a folder of this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from batchgen.fs import disk_errors, open_to_read, symlink_error
from batchgen.storage.stamps import FILES, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from batchgen.storage.locations import FolderLocation


class FolderResults:
    """Follows no link, of a file or of a folder that batchgen made: its target is not ours."""

    def __init__(self, location: FolderLocation) -> None:
        self.location = location
        self._root = location.root

    def open(self, path: str) -> BinaryIO:
        return open_to_read(self._plain(path))

    def stamp(self, path: str) -> Stamp | None:
        try:
            found = self._plain(path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return stamp_of(found)

    def names(self) -> Iterator[str]:
        top = self._root / FILES
        if top.is_dir():
            for path in walk(top):
                yield f"{FILES}/{path.relative_to(top).as_posix()}"

    def move_aside(self, path: str) -> str | None:
        """Raises OutputError or StorageError. Nothing is overwritten: the run's lock is held."""
        number = 1
        with disk_errors(self._root / path):
            while os.path.lexists(self._root / f"{path}.damaged-{number}"):
                number += 1
            try:
                (self._root / path).rename(self._root / f"{path}.damaged-{number}")
            except FileNotFoundError:
                return None
        return f"{path}.damaged-{number}"

    def remove(self, path: str) -> None:
        with disk_errors(self._root / path):
            (self._root / path).unlink(missing_ok=True)

    def _plain(self, path: str) -> Path:
        """Raises OutputError if a folder on the way is a link; the root may be one."""
        folder = self._root
        for part in path.split("/")[:-1]:
            folder /= part
            if folder.is_symlink():
                raise symlink_error(folder)
        return self._root / path


def stamp_of(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, f"{found.st_ino}-{found.st_mtime_ns}")


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, one at a time: a flat folder may hold a million.

    Raises OutputError or StorageError if a folder cannot be read.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with disk_errors(here), os.scandir(here) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(here / entry.name)
                else:
                    yield here / entry.name
