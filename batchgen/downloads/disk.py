"""Errors of the operating system → the tree of errors."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgen.errors import (
    BatchgenError,
    DiskFullError,
    OpenFilesError,
    OutputError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOO_MANY_OPEN = frozenset({errno.EMFILE, errno.ENFILE})
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
    if exc.errno in TOO_MANY_OPEN:
        return too_many_open(where)
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


def too_many_open(where: str) -> OpenFilesError:
    return OpenFilesError(
        f"too many files are open at once{_limit()}; nothing is wrong with the disk",
        where=where,
        next_step=f"`ulimit -n 4096`, or a lower run.concurrency; {CONTINUE}",
    )


def may_open_no_more() -> bool:
    """Whether this process has all the files open that it may: SQLite does not tell."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as exc:
        return exc.errno in TOO_MANY_OPEN
    return False


def _limit() -> str:
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return ""
    return f" (limit {resource.getrlimit(resource.RLIMIT_NOFILE)[0]})"


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
