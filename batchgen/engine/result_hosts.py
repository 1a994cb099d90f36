"""Hosts of results: one that does not answer is tried by one file at a time, and the others wait.

Pure but for the dice; times are the loop's.

Results under keys that nobody documents: which of the addresses there lead to result files.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from batchgen.downloads.media import MediaKind
from batchgen.downloads.outcomes import HostNotAllowed, Interrupted
from batchgen.engine.policy import delay
from batchgen.runcomfy.outcomes import Succeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from batchgen.engine.ports import Api
    from batchgen.runcomfy.outcomes import (
        CancelOutcome,
        ResultOutcome,
        StatusOutcome,
        SubmitOutcome,
    )


FILES_IN_A_ROW = 3
"""So many different files that fail one after another are the host's trouble, not theirs."""
TOLD_AFTER = 5.0
"""Seconds of an outage before people are told: a shorter one is nothing to read about."""


def host_of(url: str) -> str:
    """Give host and port, as far as they can be read."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


@dataclass(slots=True)
class FileHost:
    """`due` is when it may be tried again while it is down; `trying`: a file is at it just now.

    `gave_up`: it was down for longer than a run waits. `asked_in_vain`: new URLs lead here again.
    `parked` are the jobs that wait for it, `left` those that were given up: should it answer after
    all, they go again.
    """

    name: str
    is_down: bool = False
    due: float = 0.0
    trying: bool = False
    gave_up: bool = False
    asked_in_vain: bool = False
    told: bool = False
    reason: str = ""
    parked: deque[int] = field(default_factory=deque)
    left: set[int] = field(default_factory=set)
    _since: float | None = None
    _failures: int = 0
    _failed: set[int] = field(default_factory=set)

    def may_try(self, now: float) -> bool:
        return not self.is_down or (now >= self.due and not self.trying)

    def lasted(self, now: float) -> float:
        """For how many seconds it has been down."""
        return 0.0 if self._since is None else now - self._since

    def fails(
        self, file: int, outcome: Interrupted, now: float, patience: float, dice: Random
    ) -> None:
        """Count a download that failed at the loop's time `now`."""
        self._failures += 1
        self._failed.add(file)
        self.reason = outcome.reason
        self.is_down |= outcome.unreached or len(self._failed) >= FILES_IN_A_ROW
        if self.is_down and self._since is None:
            self._since = now
        self.gave_up = self.lasted(now) >= patience
        asked_for = min(outcome.retry_after or 0.0, patience)
        self.due = now + max(asked_for, delay(self._failures, dice))

    def answers(self) -> list[int]:
        """It is there; gives the jobs that were given up for it."""
        left = sorted(self.left)
        self.left.clear()
        self.is_down = self.gave_up = self.asked_in_vain = self.told = False
        self._since, self._failures = None, 0
        self._failed.clear()
        return left

    def is_news(self, now: float) -> bool:
        """Whether people should be told of it, once an outage."""
        if self.told or self.lasted(now) < TOLD_AFTER:
            return False
        self.told = True
        return True


PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
VIDEOS = (".mp4", ".mov", ".webm", ".mkv")


class Peek(Protocol):
    async def __call__(self, url: str) -> MediaKind | HostNotAllowed | Interrupted | None: ...


@dataclass(frozen=True, slots=True)
class SiftedApi:
    """The API, whose guessed outputs are looked at before anybody hears of them.

    Of those, only files on allowed hosts are taken, and of a video with pictures beside it only the
    video: pictures are its preview.
    """

    api: Api
    peek: Peek

    async def submit(self, model: str, body: str) -> SubmitOutcome:
        return await self.api.submit(model, body)

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
    """Those that are media; where one cannot be looked at now, its name has to do."""
    kinds: dict[str, MediaKind] = {}
    for url in urls:
        kind = _kind_of_name(url) if url.startswith("data:") else await peek(url)
        if isinstance(kind, Interrupted):
            kind = _kind_of_name(url)
        if isinstance(kind, MediaKind):
            kinds[url] = kind
    wanted = MediaKind.VIDEO if MediaKind.VIDEO in kinds.values() else MediaKind.IMAGE
    return tuple(url for url, kind in kinds.items() if kind is wanted)


def _kind_of_name(url: str) -> MediaKind | None:
    path = urlsplit(url).path.lower()
    if url.startswith("data:video/") or path.endswith(VIDEOS):
        return MediaKind.VIDEO
    if url.startswith("data:image/") or path.endswith(PICTURES):
        return MediaKind.IMAGE
    return None
