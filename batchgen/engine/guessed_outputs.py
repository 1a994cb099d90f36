"""Results under keys that nobody documents: which of the addresses there lead to result files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from batchgen.downloads.media import MediaKind
from batchgen.downloads.outcomes import Interrupted
from batchgen.runcomfy.outcomes import Succeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from batchgen.downloads.allowed_hosts import HostNotAllowed
    from batchgen.engine.ports import Api
    from batchgen.runcomfy.outcomes import (
        CancelOutcome,
        ResultOutcome,
        StatusOutcome,
        SubmitOutcome,
    )
    from batchgen.runcomfy.upload import BeforeLast

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
VIDEOS = (".mp4", ".mov", ".webm", ".mkv")
SOUNDS = (".mp3", ".wav", ".flac", ".ogg", ".m4a")
LIKELY = (MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.IMAGE)
"""Of results of several kinds, only those of the first of these that is there are wanted."""


class Peek(Protocol):
    async def __call__(self, url: str) -> MediaKind | HostNotAllowed | Interrupted | None: ...


@dataclass(frozen=True, slots=True)
class SiftedApi:
    """The API, whose guessed outputs are checked before they are returned.

    Of those, only files on allowed hosts are taken, and of a video or a sound with pictures beside
    it only that: pictures are its preview. Apart from `PacedApi`, since a repair needs it without
    a pace.
    """

    api: Api
    peek: Peek

    async def submit(self, model: str, body: str, before_last: BeforeLast) -> SubmitOutcome:
        return await self.api.submit(model, body, before_last)

    async def status(self, request_id: str) -> StatusOutcome:
        return await self.api.status(request_id)

    async def cancel(self, request_id: str) -> CancelOutcome:
        return await self.api.cancel(request_id)

    async def result(self, request_id: str) -> ResultOutcome:
        outcome = await self.api.result(request_id)
        if isinstance(outcome, Succeeded) and outcome.guessed:
            return replace(outcome, urls=await sifted(outcome.urls, self.peek))
        return outcome


async def sifted(
    urls: tuple[str, ...],
    peek: Callable[[str], Awaitable[MediaKind | HostNotAllowed | Interrupted | None]],
) -> tuple[str, ...]:
    """Those that are media; where one cannot be peeked at now, its name decides."""
    kinds: dict[str, MediaKind] = {}
    for url in urls:
        kind = _kind_of_name(url) if url.startswith("data:") else await peek(url)
        if isinstance(kind, Interrupted):
            kind = _kind_of_name(url)
        if isinstance(kind, MediaKind):
            kinds[url] = kind
    wanted = next((kind for kind in LIKELY if kind in kinds.values()), MediaKind.IMAGE)
    return tuple(url for url, kind in kinds.items() if kind is wanted)


def _kind_of_name(url: str) -> MediaKind | None:
    path = urlsplit(url).path.lower()
    if url.startswith("data:video/") or path.endswith(VIDEOS):
        return MediaKind.VIDEO
    if url.startswith("data:audio/") or path.endswith(SOUNDS):
        return MediaKind.AUDIO
    if url.startswith("data:image/") or path.endswith(PICTURES):
        return MediaKind.IMAGE
    return None
