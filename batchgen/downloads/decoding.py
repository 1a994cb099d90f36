"""Decoding in a separate process with a memory limit.

Videos, and pictures far larger than any model makes, are decoded there: a process that dies costs
one file, not the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.downloads.media import Media, TooHeavyError, decode
from batchgen.fs import open_to_read
from batchgen.processes import ProcessDiedError, ProcessPool

if TYPE_CHECKING:
    from pathlib import Path

MEMORY_BYTES = 2 * 1024**3
"""For one process: several times what decoding the largest allowed picture needs."""
DIED = "it cannot be decoded here: it kills the decoder, as when memory runs out"


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
