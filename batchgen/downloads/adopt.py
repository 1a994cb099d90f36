"""Take a file that another run on this machine downloaded: the same bytes, or nothing.

The order of a download: bytes → hash → fsync → rename; the caller syncs the folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from batchgen.downloads.media import EXTENSIONS
from batchgen.downloads.outcomes import Fetched
from batchgen.downloads.part import make_folders
from batchgen.errors import OutputError
from batchgen.fs import TOO_MANY_OPEN, disk_errors, open_new, open_to_read, symlink_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchgen.downloads.outcomes import Target, VerifiedFile


@dataclass(frozen=True, slots=True)
class SourceGone:
    """The file is not there any more, or has other bytes than it had."""

    reason: str


def adopt(
    folder: Path, expected: VerifiedFile, target: Target, fsync: Callable[[int], None]
) -> Fetched | SourceGone:
    """Take the file `expected` of the run in `folder`: a hard link, or a copy to another disk.

    Blocks. Raises OutputError, StorageError or DiskFullError for the target's disk.
    """
    relative = PurePosixPath(expected.path)
    if relative.is_absolute() or ".." in relative.parts or relative.suffix not in EXTENSIONS:
        return SourceGone(f"{expected.path} is no file of a run")
    source = folder / relative
    # Never `.part`: a later download would write into the bytes that both runs share.
    part = target.folder / f"{target.name}.reused"
    final = target.folder / f"{target.name}{relative.suffix}"
    with disk_errors(part):
        make_folders(target, fsync)
        part.unlink(missing_ok=True)
        gone = _take(source, part)
        if gone is not None:
            return gone
        with open_to_read(part) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected.sha256:
                part.unlink()
                return SourceGone(f"{source} has other bytes than it had")
            fsync(file.fileno())
        if final.is_symlink():
            raise symlink_error(final)
        part.replace(final)
        # A rename between two links to one file does nothing: both names stay.
        part.unlink(missing_ok=True)
    return Fetched(
        replace(expected, path=f"{target.folder.name}/{final.relative_to(target.folder)}")
    )


def _take(source: Path, part: Path) -> SourceGone | None:
    """Link or copy; None once `part` is there."""
    try:
        file = open_to_read(source)
    except OutputError as exc:
        return SourceGone(f"{source}: {exc.what}")
    except OSError as exc:
        if exc.errno in TOO_MANY_OPEN:
            raise
        return SourceGone(f"{source}: {exc.strerror}")
    with file:
        # Not every file system links, nor to every file: then it is copied.
        with suppress(OSError, NotImplementedError):
            os.link(source, part, follow_symlinks=False)
            return None
        with open_new(part) as copy:
            shutil.copyfileobj(file, copy)
    return None
