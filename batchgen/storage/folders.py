"""Results in a folder of this machine."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgen.errors import MissingFileError, OutputError
from batchgen.fs import CONTINUE, disk_errors, open_to_read
from batchgen.storage.stamps import FILES, Obstacle, ObstacleError, Reading, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from batchgen.storage.locations import FolderLocation

BLOCK = 1024 * 1024


class FolderResults:
    """Follows no link, of a file or of a folder that batchgen made: its target is not ours."""

    at_once = 4
    """Enough to keep a disk busy; a hash leaves Python's lock alone."""

    def __init__(self, location: FolderLocation) -> None:
        self.location = location
        self._root = location.root

    def require(self) -> None:
        if not (self._root / FILES).is_dir():
            raise MissingFileError(
                "the folder of the results is not there",
                where=str(self._root / FILES),
                next_step="mount it or put it back; if it is really gone, make an empty one"
                " (mkdir) and repair",
            )

    def open(self, path: str) -> BinaryIO:
        plain = self._plain(path)
        try:
            return open_to_read(plain)
        except OutputError:
            raise obstacle_error(Obstacle.NOT_A_FILE, plain) from None
        except OSError as exc:
            if exc.errno == errno.ELOOP:
                raise obstacle_error(Obstacle.LINK, plain) from exc
            raise

    def open_stamped(self, path: str) -> tuple[BinaryIO, Stamp]:
        file = self.open(path)
        return file, stamp_of(os.fstat(file.fileno()))

    @contextmanager
    def stream(self, path: str, start: int = 0, stop: int | None = None) -> Iterator[Reading]:
        file, stamp = self.open_stamped(path)
        with file:
            yield Reading(stamp, _blocks(file, start, stamp.bytes if stop is None else stop))

    def stamp(self, path: str) -> Stamp | None:
        plain = self._plain(path)
        try:
            found = plain.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(found.st_mode):
            raise obstacle_error(Obstacle.LINK, plain)
        if not stat.S_ISREG(found.st_mode):
            raise obstacle_error(Obstacle.NOT_A_FILE, plain)
        return stamp_of(found)

    def stamps(self, paths: Sequence[str]) -> Iterator[Stamp | None]:
        for path in paths:
            try:
                yield self.stamp(path)
            except ObstacleError:
                yield None

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
        """Raises ObstacleError if a folder on the way is a link; the root may be one."""
        folder = self._root
        for part in path.split("/")[:-1]:
            folder /= part
            if folder.is_symlink():
                raise obstacle_error(Obstacle.FOLDER_LINK, folder)
        return self._root / path


def obstacle_error(obstacle: Obstacle, path: Path) -> ObstacleError:
    error = ObstacleError(
        f"there is {obstacle}; it was not followed",
        where=str(path),
        next_step=f"move it away; {CONTINUE}",
    )
    error.obstacle = obstacle
    return error


def _blocks(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    file.seek(start)
    while start < stop and (block := file.read(min(BLOCK, stop - start))):
        start += len(block)
        yield block


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
