"""Opening plain files, and only those: no link is followed, no pipe or device is read."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal

from batchgen.downloads.disk import not_a_file

if TYPE_CHECKING:
    from io import BufferedRandom, BufferedReader, BufferedWriter
    from pathlib import Path


NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""For os.open: a symbolic link is not followed, but refused with ELOOP."""


def open_new(path: Path) -> BufferedWriter:
    """Open a file of one's own for writing, which only its owner may read.

    What stands there is removed, never written into: a link as well. Raises OSError.
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def open_to_read(path: Path) -> BufferedReader:
    """Raise OutputError for what is not a plain file; OSError, with ELOOP for a symbolic link."""
    return open(path, "rb", opener=_open_plain)


def open_to_write(path: Path, *, keep: bool) -> BufferedRandom:
    """Open for writing and reading, emptied unless `keep`. Raises as `open_to_read` does."""
    mode: Literal["r+b", "w+b"] = "r+b" if keep else "w+b"
    return open(path, mode, opener=_open_plain)


def _open_plain(path: str, flags: int) -> int:
    # Without O_NONBLOCK a named pipe in the way would block for ever.
    flags |= NO_LINK | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise not_a_file(path)
