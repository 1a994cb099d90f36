"""One file of the user's, from its path to the bytes that are sent. Blocks: call it in a thread.

What is damaged, missing, or not what the run took it for is found out here, before it is paid for.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.downloads import decoding
from batchgen.downloads.decoding import DIED, LIGHT_PIXELS, MEMORY_BYTES, decode
from batchgen.downloads.media import (
    HEAD_BYTES,
    CorruptFileError,
    MediaKind,
    OutOfMemoryError,
)
from batchgen.errors import OutputError
from batchgen.fs import open_to_read
from batchgen.input_files import LocalFile
from batchgen.models.file_limits import MIB, TAKEN, trouble_with_file
from batchgen.processes import ProcessDiedError
from batchgen.uploads.fitting import (
    OTHER_FORMATS,
    CannotFitError,
    size_in_header,
    smaller_copy,
    sniff_own,
)
from batchgen.uploads.outcomes import CannotSendError, NotNowError, unreadable

if TYPE_CHECKING:
    from batchgen.downloads.media import Format
    from batchgen.input_files import InputFile
    from batchgen.models.file_rules import FilePlace
    from batchgen.processes import ProcessPool

MOST_READ = 512 * MIB
"""Bytes of a file that are read into memory."""


@dataclass(frozen=True, slots=True)
class Prepared:
    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is to be done with a file's bytes. It is passed to another process."""

    content: bytes
    sha256: str
    place: FilePlace
    by_data: bool
    fit: bool


def read_whole(path: Path, file: InputFile) -> bytes:
    """The file's bytes, if they are still those that its URL names.

    Raises CannotSendError and NotNowError.
    """
    try:
        # People link to their pictures; a link is followed once, and only to a plain file.
        # Not path.resolve(), which raises RuntimeError for links in a circle.
        with open_to_read(Path(os.path.realpath(path))) as opened:
            size = os.fstat(opened.fileno()).st_size
            # Python allocates as many bytes as it is asked to read.
            content = opened.read(size) if size <= MOST_READ else b""
    except OSError as exc:
        raise unreadable(path, file.path, exc) from exc
    except OutputError as exc:
        raise CannotSendError(f"{file.path} is not a file") from exc
    if size > MOST_READ:
        raise CannotSendError(f"{file.path} has more than {MOST_READ // MIB} MiB")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise CannotSendError(
            f"{file.path} has changed since this run read the manifest;"
            " run again to take the new one"
        )
    return content


def prepare(processes: ProcessPool, name: str, work: Preparation) -> Prepared:
    """Decode the file, and make a smaller copy if it needs one.

    Raises CannotSendError and NotNowError.
    """
    try:
        if _is_light(work.content):
            return prepared(work)
        return processes.call(prepared_with_limit, work)
    except OutOfMemoryError as exc:
        raise NotNowError(f"{name}: {exc}") from exc
    except (CorruptFileError, CannotFitError) as exc:
        raise CannotSendError(f"{name}: {exc}") from exc
    except ProcessDiedError as exc:
        raise CannotSendError(f"{name}: {DIED}") from exc


def prepared(work: Preparation) -> Prepared:
    """Raises CorruptFileError and CannotFitError."""
    found = sniff_own(work.content[:HEAD_BYTES])
    file = _decoded(work, found)
    if trouble_with_file(work.place, file, by_data=work.by_data, fit=False) is None:
        return Prepared(work.content, found.media_type)
    if trouble := trouble_with_file(work.place, file, by_data=work.by_data, fit=work.fit):
        raise CannotFitError("; ".join(filter(None, trouble)))
    copy = Prepared(*smaller_copy(work.content, work.place.rules, by_data=work.by_data))
    assert copy.media_type in TAKEN
    return copy


def prepared_with_limit(work: Preparation) -> Prepared:
    decoding.limit_memory(MEMORY_BYTES)
    return prepared(work)


def _decoded(work: Preparation, found: Format) -> LocalFile:
    """Every frame is decoded: here, or with the copy if the file itself is not sent."""
    size, content = len(work.content), work.content
    if found.media_type in OTHER_FORMATS:
        width, height = size_in_header(content, found)
        return LocalFile(work.sha256, found.media_type, size, width, height)
    media = decode(BytesIO(content))
    return LocalFile(work.sha256, media.media_type, size, media.width, media.height)


def _is_light(content: bytes) -> bool:
    """Pictures of ordinary size are decoded in this process; see downloads/decoding.py."""
    found = sniff_own(content[:HEAD_BYTES])
    if found.kind is not MediaKind.IMAGE:
        return False
    width, height = size_in_header(content, found)
    return width * height <= LIGHT_PIXELS
