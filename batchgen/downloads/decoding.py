"""Decoding in a process apart, within a bound of memory.

A picture far larger than any model makes, and every video, is decoded there: a process that dies
costs this one file, not the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.downloads.media import Media, TooHeavyError, decode
from batchgen.fs import open_to_read
from batchgen.processes import ProcessDiedError, Processes

if TYPE_CHECKING:
    from pathlib import Path

MEMORY_BYTES = 2 * 1024**3
"""For one process: several times what the largest picture that is decoded at all needs."""
DIED = "it cannot be decoded here: that kills the decoder, as when memory runs out"


def decode_apart(processes: Processes, path: Path) -> Media:
    """Decode every frame. Raises CorruptFileError, TooHeavyError; OSError of the disk."""
    try:
        return processes.call(decode_bounded, path)
    except ProcessDiedError as exc:
        raise TooHeavyError(DIED) from exc


def decode_bounded(path: Path) -> Media:
    bound_memory(MEMORY_BYTES)
    with open_to_read(path) as file:
        return decode(file)


def bound_memory(most: int) -> None:
    """Make every allocation above the bound fail in this process."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [limit for limit in (most, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
