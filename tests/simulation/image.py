"""The content of a folder at one moment, and the way back to it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation import shim

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCK = "run.lock"
WAL_INDEX = "-shm"


@dataclass(frozen=True, slots=True)
class Image:
    """Bytes by path below the root, and the folders; without locks and the index of a WAL."""

    files: Mapping[str, bytes]
    folders: frozenset[str]

    def restore(self, root: Path) -> None:
        """Make the folder `root` hold this and nothing else. A file that is there keeps its inode.

        Close the files and databases of the life before: SQLite would share their locks and the
        index of their WAL with the next.
        """
        with shim.aside(root):
            self._remove_others(root)
            for folder in sorted(self.folders):
                (root / folder).mkdir(exist_ok=True)
            for path, content in self.files.items():
                _overwrite(root / path, content)

    def _remove_others(self, root: Path) -> None:
        for found, folders, files in os.walk(root):
            here = Path(found)
            for name in files:
                path = here / name
                if path.relative_to(root).as_posix() not in self.files and name != LOCK:
                    path.unlink()
            for name in list(folders):
                path = here / name
                if path.relative_to(root).as_posix() not in self.folders:
                    shutil.rmtree(path)
                    folders.remove(name)


def take(root: Path) -> Image:
    """Read what the folder `root` holds now: all that a death of the process leaves."""
    files: dict[str, bytes] = {}
    folders: set[str] = set()
    for found, inside, names in os.walk(root):
        here = Path(found)
        inside.sort()
        folders.update((here / name).relative_to(root).as_posix() for name in inside)
        for name in sorted(names):
            if name != LOCK and not name.endswith(WAL_INDEX):
                path = here / name
                files[path.relative_to(root).as_posix()] = path.read_bytes()
    return Image(files, frozenset(folders))


def _overwrite(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        if file.read() != content:
            file.seek(0)
            file.truncate()
            file.write(content)
