"""Files below `files/` that the state does not know. They are named, and never touched."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from batchgen.downloads.naming import name_key
from batchgen.runs.verifying import walk
from batchgen.state.files import claimed_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from batchgen.runs.folder import RunFolder

_PARTS = (".part.json", ".part")


def stray_files(db: sqlite3.Connection, folder: RunFolder) -> Iterator[str]:
    """Paths relative to the run's folder: foreign files, and `.part` files that nobody awaits."""
    if not folder.files.is_dir():
        return
    for path in walk(folder.files):
        name = path.relative_to(folder.files).as_posix()
        if not (name == ".writable" or _is_ours(db, folder, name)):
            yield f"{folder.files.name}/{name}"


def _is_ours(db: sqlite3.Connection, folder: RunFolder, name: str) -> bool:
    """Known, or awaited: a download in its moment between the rename and the record is no stray."""
    for ending in _PARTS:
        if name.endswith(ending):
            return claimed_path(db, name_key(name.removesuffix(ending))) == (None,)
    claimed = claimed_path(db, name_key(str(PurePosixPath(name).with_suffix(""))))
    if claimed is None:
        return False
    (path,) = claimed
    # By key: a disk may give a name back in another form of Unicode than it was given.
    return path is None or name_key(path) == name_key(f"{folder.files.name}/{name}")
