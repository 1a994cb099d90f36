"""What became of a download: one small class an outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """Where a file goes: `folder/name` and the extension that its bytes ask for.

    `name` is what naming.safe_name made: relative, `/` between folders, no extension. The caller
    sees to it that no two downloads share a target. Raises ValueError for a name that would leave
    the folder.
    """

    folder: Path
    name: str

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        if any(part in {"", ".", ".."} for part in parts) or "\\" in self.name or "\0" in self.name:
            raise ValueError(f"not a safe name of a file: {self.name!r}")


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A file of which every frame decoded.

    `path` has `/` between folders and begins with the name of the files folder, as in
    `files/boat.png`. `bytes` is the size; `width` and `height` are pixels; `seconds` is None for
    pictures.
    """

    path: str
    bytes: int
    sha256: str
    media_type: str
    width: int
    height: int
    seconds: float | None
    frames: int


@dataclass(frozen=True, slots=True)
class Fetched:
    file: VerifiedFile


@dataclass(frozen=True, slots=True)
class UrlExpired:
    """The store will not give this URL again: only a new URL helps."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class HostNotAllowed:
    """Nothing was sent there. `host` is empty where the URL has none.

    `by_dns`: not the URL is to blame, but where its host's name leads at the moment.
    """

    host: str
    reason: str
    by_dns: bool = False


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Over the cap; nothing of it is kept. `bytes` is the size announced, or seen so far."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Corrupt:
    """All bytes came, but they are no sound picture or video; nothing of them is kept."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooHeavy:
    """All bytes came, and unpacking them would take more memory than a result may have."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The network's trouble: trying again is free, and continues where a `.part` was kept.

    `retry_after` is in seconds, clamped; None where the server did not say. `unreached`: the host
    did not answer at all, which is no trouble of this file alone.
    """

    reason: str
    retry_after: float | None = None
    unreached: bool = False


FetchOutcome: TypeAlias = (
    Fetched | UrlExpired | HostNotAllowed | TooLarge | Corrupt | TooHeavy | Interrupted
)
