"""One file: is it what the state knows, and what does it show? Runs in a process of its own."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.check.looks import look_of
from batchgen.check.measures import Measure, measured
from batchgen.check.sampling import sample
from batchgen.downloads.files import open_to_read
from batchgen.downloads.formats import CorruptFileError, OutOfMemoryError
from batchgen.downloads.media import decode
from batchgen.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

MISSING = "the file is missing"
# As `batchgen verify` says it.
LINK = "a symbolic link in its place"
NOT_A_FILE = "something that is not a file in its place"


@dataclass(frozen=True, slots=True)
class Source:
    """A file as the state knows it. `is_known`: what its content shows is known already."""

    path: str
    sha256: str
    bytes: int
    frames: int
    is_known: bool
    with_looks: bool


@dataclass(frozen=True, slots=True)
class Stamp:
    """By which a file that nobody touched is told without reading it."""

    bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Examined:
    """`trouble`: why the file is not what the state knows. `stamp`: of the file that was read."""

    trouble: str = ""
    stamp: Stamp | None = None
    measure: Measure | None = None


def stamp_of(path: Path) -> Stamp | None:
    """None where there is nothing. Follows no link."""
    try:
        return _stamp(os.lstat(path))
    except OSError:
        return None


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def examine(source: Source) -> Examined:
    """Read the file; whatever is wrong with it is told, not raised."""
    try:
        with open_to_read(Path(source.path)) as file:
            return _examine(file, source)
    except OutOfMemoryError as exc:
        return Examined(str(exc))
    except (FileNotFoundError, NotADirectoryError):
        return Examined(MISSING)
    except OutputError:
        return Examined(NOT_A_FILE)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return Examined(LINK)
        return Examined(f"the file cannot be read: {exc.strerror or exc}")


def given_up(_source: Source) -> Examined:
    """Of a file at which processes die: it has no stamp, so the next check tries it again."""
    return Examined("it cannot be looked at: that kills the process, as where memory runs out")


def _examine(file: BufferedReader, source: Source) -> Examined:
    stamp = _stamp(os.fstat(file.fileno()))
    if stamp.bytes != source.bytes:
        return Examined(f"{stamp.bytes} bytes instead of {source.bytes}{_and_decodes_not(file)}")
    if hashlib.file_digest(file, "sha256").hexdigest() != source.sha256:
        return Examined(f"another content than was downloaded{_and_decodes_not(file)}")
    # The same bytes were decoded to the last one when they came, so a part of them is enough now.
    return Examined("", stamp, None if source.is_known else measure(file, source))


def measure(file: BufferedReader, source: Source, look: Callable[..., bytes] = look_of) -> Measure:
    """Look at a content. Raises OSError where the disk fails."""
    try:
        frames, is_video = sample(file, source.frames)
    except OutOfMemoryError:
        raise  # No word about the file: with more memory the next check may look at it.
    except CorruptFileError as exc:
        return Measure(trouble=str(exc))
    looks = [look(frame) for frame in frames] if source.with_looks else []
    return measured(frames, looks, is_video=is_video)


def _and_decodes_not(file: BufferedReader) -> str:
    try:
        decode(file)
    except CorruptFileError as exc:
        return f"; {exc}"
    return ""
