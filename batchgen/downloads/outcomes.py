"""The outcomes of a download, one small class each, and the settings of downloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.proxies import NO_PROXIES, Proxies

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.downloads.allowed_hosts import AllowedHosts
    from batchgen.downloads.embedding import Provenance
    from batchgen.storage.locations import BucketLocation


@dataclass(frozen=True, slots=True)
class Target:
    """Where a file goes: `folder/name` plus the extension of its format.

    With a `bucket`, the `.part` is in the folder, and the finished file only in the bucket, at its
    path in the state. `request` is the id of the request that made it, stored with the object. All
    of this is for any process: it can be pickled.

    `name` comes from `safe_name`: relative, `/` between folders, no extension. The caller makes
    sure that no two downloads share a target. With `provenance`, the file gets it as metadata.
    `is_new`: no earlier download can have left a part of it, so none is looked for. `stem` is where
    its `.part` goes, on the same disk; None: beside it. Raises ValueError for a name that would
    leave the folder.
    """

    folder: Path
    name: str
    provenance: Provenance | None = None
    is_new: bool = False
    bucket: BucketLocation | None = None
    request: str = ""
    stem: Path | None = None

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        if any(part in {"", ".", ".."} for part in parts) or "\\" in self.name or "\0" in self.name:
            raise ValueError(f"not a safe file name: {self.name!r}")


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file whose every frame decoded.

    `path` has `/` between folders and begins with the name of the files folder, as in
    `files/boat.png`. `bytes` is the size; `width` and `height` are pixels, None for sounds;
    `seconds` is None for pictures.
    """

    path: str
    bytes: int
    sha256: str
    media_type: str
    width: int | None
    height: int | None
    seconds: float | None
    frames: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """`not_embedded`: why the file has not got the metadata that it should have."""

    file: VerifiedFile
    not_embedded: str | None = None


@dataclass(frozen=True, slots=True)
class UrlExpired:
    """The file server no longer serves this URL: only a new URL helps."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Over the limit; nothing is kept. `bytes` is the announced size, or what arrived so far."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Corrupt:
    """All bytes arrived, but they are not a sound picture or video; nothing is kept."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooHeavy:
    """All bytes arrived, but decoding them would take more memory than allowed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A network problem: trying again is free, and continues from the `.part` if one was kept.

    `retry_after` is in seconds, capped; None if the server did not say. `unreached`: the host did
    not respond at all, so the problem is not this file's alone.
    """

    reason: str
    retry_after: float | None = None
    unreached: bool = False


@dataclass(frozen=True, slots=True)
class NotStored:
    """All is verified, but the bucket cannot take it now: the `.part` is kept for the next try.

    Or another run's bucket cannot give a file now that is to be reused.
    """

    reason: str


FetchOutcome: TypeAlias = (
    Fetched | UrlExpired | HostNotAllowed | TooLarge | Corrupt | TooHeavy | Interrupted | NotStored
)


MIB = 1024 * 1024
MAX_BYTES = 2 * 1024 * MIB


@dataclass(frozen=True, slots=True)
class DownloadSettings:
    """Sizes in bytes, times in seconds.

    `max_bytes` is the vendor's own limit. `block_bytes` are written at once: a body that fits into
    one block is written, verified and renamed by one thread call. Each download holds one block in
    memory. An attempt ends, and makes room for another file, when the body stalls, when it arrives
    slower than `min_rate` (bytes a second) over a whole `rate_window`, or after `attempt_limit`.
    What arrived is kept if the server allows continuing.
    """

    hosts: AllowedHosts
    max_bytes: int = MAX_BYTES
    block_bytes: int = MIB
    connect_timeout: float = 10.0
    stall_timeout: float = 60.0
    min_rate: float = 1024.0
    rate_window: float = 60.0
    attempt_limit: float = 3600.0
    proxies: Proxies = NO_PROXIES
