"""The state's verified files against the disk. Reads only; needs no lock.

Files below `files/` that the state does not know are listed, never touched.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from batchgen.errors import OutputError, UsageError
from batchgen.fs import disk_errors, name_key, open_to_read
from batchgen.processes import map_in_threads
from batchgen.state.files import claimed_path, result_numbered, results_after
from batchgen.state.queries import select_any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.processes import MapFiles
    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection
    from batchgen.state.queries import Selection
    from batchgen.state.records import Result


PAGE = 256


class Damage(StrEnum):
    """What can be wrong with a file, as shown to people."""

    MISSING = "missing"
    SIZE = "another size"
    CONTENT = "another content"
    LINK = "a symbolic link in its place"
    FOLDER_LINK = "a symbolic link in the place of its folder"
    NOT_A_FILE = "something that is not a file in its place"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that was checked; `damage` is None if it is sound."""

    file: Result
    damage: Damage | None = None


def check_files(
    db: Connection,
    folder: RunFolder,
    selection: Selection,
    *,
    quick: bool = False,
    workers: MapFiles = map_in_threads,
) -> Iterator[Checked]:
    """Check every verified file, in the order of arrival; `quick` compares sizes only.

    Raises UsageError for a selection that names no job at all.
    """
    if not select_any(db, selection):
        raise UsageError(
            f"no job is called {', '.join(selection.jobs)}", next_step="batchgen status lists them"
        )
    look = partial(_look, folder.root.absolute(), quick=quick)
    for checked in workers(look, _results(db, selection), look):
        yield confirmed(db, checked, look(checked.file)) if checked.damage else checked


def _results(db: Connection, selection: Selection) -> Iterator[Result]:
    """Page by page: no snapshot is held while the files are read."""
    after = 0
    while page := results_after(db, selection, after, PAGE):
        after = page[-1].id
        yield from page


def confirmed(db: Connection, first: Checked, second: Checked) -> Checked:
    """Check again, and compare with the state: a repair may just have replaced this file."""
    is_same = result_numbered(db, first.file.id) == first.file
    return second if is_same else Checked(first.file)


def _look(root: Path, file: Result, *, quick: bool) -> Checked:
    return Checked(file, damage_of(root, file, quick=quick))


def damage_of(root: Path, file: Result, *, quick: bool = False) -> Damage | None:
    """What is wrong with a file; None if it is sound. Blocks. Follows no link."""
    path = root / file.path
    try:
        if any(folder.is_symlink() for folder in _own_folders(root, path)):
            return Damage.FOLDER_LINK
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            return Damage.LINK
        if not stat.S_ISREG(found.st_mode):
            return Damage.NOT_A_FILE
        if found.st_size != file.bytes:
            return Damage.SIZE
        return None if quick or _digest(path) == file.sha256 else Damage.CONTENT
    except (FileNotFoundError, NotADirectoryError):
        return Damage.MISSING
    except OutputError:
        return Damage.NOT_A_FILE
    except OSError:
        return Damage.UNREADABLE


def _own_folders(root: Path, path: Path) -> Iterator[Path]:
    """The folders that batchgen made. The run's own may be a link to another disk."""
    depth = len(path.relative_to(root).parts) - 1
    yield from list(path.parents)[:depth]


def _digest(path: Path) -> str:
    with open_to_read(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


_PARTS = (".part.json", ".part.new", ".part")


def orphaned_files(db: Connection, folder: RunFolder) -> Iterator[str]:
    """Paths, relative to the run's folder, of foreign files and of unneeded `.part` files."""
    if not folder.files.is_dir():
        return
    for path in walk(folder.files):
        name = path.relative_to(folder.files).as_posix()
        is_work = name == ".writable" or folder.parts in path.parents
        if not (is_work or _is_ours(db, folder, name)):
            yield f"{folder.files.name}/{name}"


def _is_ours(db: Connection, folder: RunFolder, name: str) -> bool:
    """Known or expected: a file may have been renamed but not yet recorded."""
    for ending in _PARTS:
        if name.endswith(ending):
            return claimed_path(db, name_key(name.removesuffix(ending))) == (None,)
    claimed = claimed_path(db, name_key(str(PurePosixPath(name).with_suffix(""))))
    if claimed is None:
        return False
    (path,) = claimed
    # By key: a disk may return a name in another Unicode form than it was given.
    return path is None or name_key(path) == name_key(f"{folder.files.name}/{name}")
