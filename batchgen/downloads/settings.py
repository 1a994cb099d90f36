"""How downloads are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchgen.downloads.hosts import AllowedHosts

MIB = 1024 * 1024
MAX_BYTES = 2 * 1024 * MIB


@dataclass(frozen=True, slots=True)
class DownloadSettings:
    """Sizes in bytes, times in seconds.

    `max_bytes` is the vendor's own cap. `block_bytes` is written at once: a body that fits into
    one block is written, verified and renamed by one thread call. A block a download is held in
    memory. There is no total deadline: a large file on a slow line is no error, a stalled one is.
    """

    hosts: AllowedHosts
    max_bytes: int = MAX_BYTES
    block_bytes: int = MIB
    connect_timeout: float = 10.0
    stall_timeout: float = 60.0
