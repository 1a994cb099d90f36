"""Errors of the operating system → the tree of errors."""

from __future__ import annotations

import errno
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgen.errors import BatchgenError, DiskFullError, OutputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NOT_WRITABLE = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENOTEMPTY,
        errno.EPERM,
        errno.EROFS,
    }
)
CONTINUE = "the same command continues"


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise DiskFullError, OutputError or StorageError in place of an OSError on `path`.

    OutputError as well for a name that the file system's encoding cannot hold.
    """
    try:
        yield
    except OSError as exc:
        raise disk_error(exc, path) from exc
    except UnicodeEncodeError as exc:
        raise unwritable_name(str(path)) from exc


def disk_error(exc: OSError, path: Path) -> BatchgenError:
    where = str(path)
    if exc.errno in FULL:
        return DiskFullError(
            f"the disk is full: {exc.strerror}", where=where, next_step=f"make room; {CONTINUE}"
        )
    if exc.errno == errno.ELOOP:
        return link_in_the_way(path)
    if exc.errno in NOT_WRITABLE:
        return OutputError(
            f"the file cannot be written: {exc.strerror}",
            where=where,
            next_step=f"see to it that the folder is there and can be written to; {CONTINUE}",
        )
    return StorageError(
        f"the disk failed: {exc.strerror or exc}",
        where=where,
        next_step=f"check the disk before anything else; then {CONTINUE}",
    )


def unwritable_name(name: str) -> OutputError:
    return OutputError(
        f"file names are written in {sys.getfilesystemencoding()} here, which cannot hold this one",
        where=name,
        next_step="set PYTHONUTF8=1, or LC_ALL to a UTF-8 locale such as C.UTF-8, and run again",
    )


def link_in_the_way(path: Path) -> OutputError:
    return OutputError(
        "a symbolic link stands where the file should go; it was not followed",
        where=str(path),
        next_step=f"remove the link; {CONTINUE}",
    )


def not_a_file(path: Path | str) -> OutputError:
    return OutputError(
        "something that is not a file stands where the file should go",
        where=str(path),
        next_step=f"move it away; {CONTINUE}",
    )
