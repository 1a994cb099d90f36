"""Decoding every frame: in this process, or in a separate one with a memory limit.

Videos, sounds, and pictures far larger than any model makes, are decoded in the other process: one
that dies costs one file, not the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from batchgen.downloads.media import (
    HEAD_BYTES,
    Media,
    MediaKind,
    NotLightError,
    TooHeavyError,
    sniff,
)
from batchgen.fs import open_to_read
from batchgen.processes import ProcessDiedError, ProcessPool

if TYPE_CHECKING:
    from pathlib import Path

MEMORY_BYTES = 2 * 1024**3
"""For one process: several times what decoding the largest allowed picture needs."""
DIED = "it cannot be decoded here: it kills the decoder, as when memory runs out"


LIGHT_PIXELS = 4096 * 4096
"""In a picture that the run itself decodes: the largest that the models make."""


def decode(file: BinaryIO) -> Media:
    """Decode every frame. Blocks: call it in a thread. Leaves the file open.

    Raises CorruptFileError, and OSError if the disk fails.
    """
    file.seek(0)
    found = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    # Imported on first use: a run of pictures never loads PyAV.
    if found.kind is MediaKind.IMAGE:
        from batchgen.downloads.pictures import decode_picture  # noqa: PLC0415 - see above

        return decode_picture(file, found)
    if found.kind is MediaKind.AUDIO:
        from batchgen.downloads.sounds import decode_sound  # noqa: PLC0415 - see above

        return decode_sound(file, found)
    from batchgen.downloads.videos import decode_video  # noqa: PLC0415 - see above

    return decode_video(file, found)


def decode_light(file: BinaryIO) -> Media:
    """Like `decode`, for pictures of ordinary size; raises NotLightError for anything else."""
    file.seek(0)
    found = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    if found.kind is not MediaKind.IMAGE:
        raise NotLightError
    from batchgen.downloads.pictures import decode_picture  # noqa: PLC0415 - as in `decode`

    return decode_picture(file, found, LIGHT_PIXELS)


def decode_in_process(processes: ProcessPool, path: Path) -> Media:
    """Decode every frame. Raises CorruptFileError, TooHeavyError, and OSError if the disk fails."""
    try:
        return processes.call(decode_with_limit, path)
    except ProcessDiedError as exc:
        raise TooHeavyError(DIED) from exc


def decode_with_limit(path: Path) -> Media:
    limit_memory(MEMORY_BYTES)
    with open_to_read(path) as file:
        return decode(file)


def limit_memory(max_bytes: int) -> None:
    """Make every allocation above `max_bytes` fail in this process."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [limit for limit in (max_bytes, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
