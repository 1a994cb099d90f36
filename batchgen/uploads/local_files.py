"""Reads a file of the user's: its hash, type and size. Blocking, and safe in any thread."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from batchgen.downloads.headers import media_type_of, pixels_of
from batchgen.downloads.media import HEAD_BYTES, CorruptFileError
from batchgen.input_files import LocalFile, Unusable
from batchgen.uploads import heic

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_BYTES = 1024 * 1024
_MEASURED = frozenset({"image/png", "image/jpeg"})
"""The formats that are sent as they are: without a size, their header is damaged."""


def look_at(path: Path) -> LocalFile | Unusable:
    """Read the whole file. A symbolic link is followed: the file may be anywhere."""
    try:
        with _open(path) as file:
            kind = os.fstat(file.fileno()).st_mode
            return _look(file) if stat.S_ISREG(kind) else _not_regular(kind)
    except IsADirectoryError:
        return _not_regular(stat.S_IFDIR)
    except (FileNotFoundError, NotADirectoryError):
        return Unusable("there is no such file")
    except OSError as exc:
        return Unusable(f"it cannot be read: {exc.strerror}", "check its permissions and its disk")
    except ValueError:
        # A NUL in the path, or a character that the system's encoding does not have.
        return Unusable("no file can have this name", "rename the file with plain characters")


def _open(path: Path) -> BinaryIO:
    return open(path, "rb", opener=_open_at_once)


def _open_at_once(path: str, flags: int) -> int:
    # Without O_NONBLOCK opening a named pipe would block forever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _not_regular(mode: int) -> Unusable:
    if stat.S_ISDIR(mode):
        return Unusable("it is a folder", "name one of the files in it")
    return Unusable("it is a pipe or a device", "write its contents into a file first")


def _pixels_of(file: BinaryIO, media_type: str) -> tuple[int, int] | None:
    if heic.is_kind(media_type):
        file.seek(0)
        return heic.pixels_of(file)
    return pixels_of(file) if media_type.startswith("image/") else None


def _look(file: BinaryIO) -> LocalFile | Unusable:
    head = file.read(HEAD_BYTES)
    if not head:
        return Unusable("the file is empty", "make the file again")
    try:
        media_type = media_type_of(head)
    except CorruptFileError as exc:
        # Judged before the rest is read: it may be a huge file of another kind.
        return Unusable(str(exc), "name a picture, a video or a sound")
    pixels = _pixels_of(file, media_type)
    is_readable = media_type in _MEASURED or (heic.is_kind(media_type) and heic.reader())
    if pixels is None and is_readable:
        return Unusable("its header is damaged or cut off", "save or copy the picture again")
    file.seek(0)
    size, digest = 0, hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        size += len(block)
        digest.update(block)
    return LocalFile(digest.hexdigest(), media_type, size, *(pixels or (None, None)))
