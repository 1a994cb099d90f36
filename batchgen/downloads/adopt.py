"""Take a file that another run on this machine downloaded: the same bytes, or nothing.

The order of a download: bytes → hash → fsync → rename; the caller syncs the folder. For a bucket,
the caller stores what was hashed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from batchgen.downloads.media import EXTENSIONS
from batchgen.downloads.outcomes import Fetched, NotStored
from batchgen.downloads.part import make_folders
from batchgen.errors import BucketUnavailableError, NoBucketError, OutputError
from batchgen.fs import (
    TOO_MANY_OPEN,
    disk_errors,
    open_new,
    open_to_read,
    symlink_error,
    sync_folder,
)
from batchgen.storage.locations import FolderLocation
from batchgen.storage.results import open_results

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchgen.downloads.outcomes import Target, VerifiedFile
    from batchgen.storage.locations import Location


@dataclass(frozen=True, slots=True)
class SourceGone:
    """The file is not there any more, or has other bytes than it had."""

    reason: str


AdoptOutcome: TypeAlias = Fetched | SourceGone | NotStored


def adopt(
    source: Location, expected: VerifiedFile, target: Target, fsync: Callable[[int], None]
) -> AdoptOutcome:
    """Take the file `expected` of another run: a hard link, or a copy to another disk.

    NotStored if it is in a bucket that does not answer. Blocks. Raises BucketError if that refuses,
    since a login that has ended must not make the run pay again; OutputError, StorageError or
    DiskFullError for the target's disk.
    """
    relative = PurePosixPath(expected.path)
    if relative.is_absolute() or ".." in relative.parts or relative.suffix not in EXTENSIONS:
        return SourceGone(f"{expected.path} is no file of a run")
    part = reused_part(target)
    final = target.folder / f"{target.name}{relative.suffix}"
    with disk_errors(part):
        make_folders(target, fsync)
        part.unlink(missing_ok=True)
        trouble = _take(source, expected.path, part)
        if trouble is None:
            with open_to_read(part) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected.sha256:
                    where = source.of(expected.path)
                    trouble = SourceGone(f"{where} has other bytes than it had")
                elif target.bucket is None:
                    fsync(file.fileno())
        if isinstance(trouble, SourceGone):
            part.unlink(missing_ok=True)
            # Nobody takes this name again, so a loss of power must not bring the file back.
            sync_folder(part.parent, fsync)
        if trouble is not None:
            return trouble
        if target.bucket is None:
            _rename(part, final)
    return Fetched(
        replace(expected, path=f"{target.folder.name}/{final.relative_to(target.folder)}")
    )


def reused_part(target: Target) -> Path:
    """Never `.part`: a later download would write into the bytes that both runs share."""
    return target.folder / f"{target.name}.reused"


def _rename(part: Path, final: Path) -> None:
    if final.is_symlink():
        raise symlink_error(final)
    part.replace(final)
    # A rename between two links to one file does nothing: both names stay.
    part.unlink(missing_ok=True)


def _take(source: Location, path: str, part: Path) -> SourceGone | NotStored | None:
    """Link or copy; None once `part` is there."""
    where = source.of(path)
    try:
        file = open_results(source).open(path)
    except BucketUnavailableError as exc:
        return NotStored(exc.what)
    except (OutputError, NoBucketError) as exc:
        return SourceGone(f"{where}: {exc.what}")
    except OSError as exc:
        if exc.errno in TOO_MANY_OPEN:
            raise
        return SourceGone(f"{where}: {exc.strerror or 'it is not there'}")
    with file:
        if isinstance(source, FolderLocation):
            # Not every file system links, nor to every file: then it is copied.
            with suppress(OSError, NotImplementedError):
                os.link(where, part, follow_symlinks=False)
                return None
        with open_new(part) as copy:
            shutil.copyfileobj(file, copy)
    return None
