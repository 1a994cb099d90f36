"""How downloads are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.downloads.proxies import NONE, Proxies

if TYPE_CHECKING:
    from batchgen.downloads.hosts import AllowedHosts

MIB = 1024 * 1024
MAX_BYTES = 2 * 1024 * MIB


@dataclass(frozen=True, slots=True)
class DownloadSettings:
    """Sizes in bytes, times in seconds.

    `max_bytes` is the vendor's own cap. `block_bytes` is written at once: a body that fits into
    one block is written, verified and renamed by one thread call. A block a download is held in
    memory. A body that stalls, or comes at less than `least_rate` (bytes a second) over a whole
    `rate_window`, gives its place to another file, as does one that takes `try_limit`: what came of
    it is kept where the server lets it be continued.
    """

    hosts: AllowedHosts
    max_bytes: int = MAX_BYTES
    block_bytes: int = MIB
    connect_timeout: float = 10.0
    stall_timeout: float = 60.0
    least_rate: float = 1024.0
    rate_window: float = 60.0
    try_limit: float = 3600.0
    proxies: Proxies = NONE
