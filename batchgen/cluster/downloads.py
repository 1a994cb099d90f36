"""Downloads on a cluster: one piece of work fetches, verifies and publishes one file.

A worker that is cut off may go on working while its file's second try is under way. So each try has
a `.part` of its own, in a folder of this command alone: a late worker writes into no one else's
file, and once that folder is removed it can publish nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from batchgen.cluster.client import WorkerLostError
from batchgen.concurrency import in_thread
from batchgen.downloads.decoding import DIED
from batchgen.downloads.fetch import DATA, NOT_BASE64, data_uri_bytes, open_downloader
from batchgen.downloads.outcomes import (
    Corrupt,
    Fetched,
    FetchOutcome,
    Interrupted,
    NotStored,
    Target,
    TooHeavy,
)
from batchgen.fs import disk_errors, remove_folder
from batchgen.storage.stamps import FILES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batchgen.cluster.client import Cluster
    from batchgen.downloads.fetch import Downloader
    from batchgen.downloads.outcomes import DownloadSettings

CPUS = 0.5
"""Of one download: while one waits for its server, the other decodes."""
AHEAD = 1.25
"""Downloads in the cluster for each that can run, so that no worker waits for the next."""


@dataclass(frozen=True, slots=True)
class Download:
    """A URL, or the content that came inside an answer, and where it goes."""

    source: str | bytes
    target: Target
    settings: DownloadSettings


def perform(work: Download) -> FetchOutcome:
    """Runs in a worker. For a bucket, the file is on the worker's own disk until it is stored."""
    if work.target.bucket is None:
        return _perform(work)
    with TemporaryDirectory(prefix="batchgen-") as place:
        target = replace(work.target, folder=Path(place) / FILES, is_new=True, stem=None)
        return _perform(replace(work, target=target))


def _perform(work: Download) -> FetchOutcome:
    runner, downloader, _ = _opened(work.settings)
    if isinstance(work.source, bytes):
        return runner.run(downloader.store(work.source, work.target))
    return runner.run(downloader.fetch(work.source, work.target))


@lru_cache(1)
def _opened(settings: DownloadSettings) -> tuple[asyncio.Runner, Downloader, AsyncExitStack]:
    """Open the downloader of a worker process; it is closed by nothing but the worker's end."""
    runner, stack = asyncio.Runner(), AsyncExitStack()
    return runner, runner.run(stack.enter_async_context(open_downloader(settings))), stack


@dataclass(slots=True)
class ClusterDownloads:
    """Fetches as a Downloader does. `parts` is the folder of this command's `.part` files.

    `tries` has, by name, how many workers died of a file, `begun` the files that have a part, and
    `unstored` what came inside an answer and that the bucket does not take yet.
    """

    cluster: Cluster
    settings: DownloadSettings
    parts: Path
    tries: dict[str, int] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    unstored: dict[str, bytes] = field(default_factory=dict)

    @property
    def at_once(self) -> int:
        """Downloads that the cluster can take."""
        return int(self.cluster.cpus / CPUS * AHEAD) + 1

    async def fetch(self, url: str, target: Target) -> FetchOutcome:
        """As Downloader.fetch. Raises ClusterLostError as well. A cancellation ends the worker."""
        source: str | bytes = url
        if url.startswith(DATA):
            # The engine takes what is verified to be kept, and does not ask for it again.
            content = self.unstored.pop(target.name, None)
            content = content or await in_thread(partial(data_uri_bytes, url))
            if content is None:
                return Corrupt(NOT_BASE64)
            source = content
        try:
            return await self._try(source, target)
        except WorkerLostError:
            self._next_part(target)
        try:
            return await self._try(source, target)
        except WorkerLostError as exc:
            self._next_part(target)
            return Interrupted(f"its node died: {exc}") if exc.with_node else TooHeavy(DIED)

    def _next_part(self, target: Target) -> None:
        """The worker that died may live on, cut off: no other try touches its part."""
        self.tries[target.name] = self.tries.get(target.name, 0) + 1
        self.begun.discard(target.name)

    async def _try(self, source: str | bytes, target: Target) -> FetchOutcome:
        number = self.tries.get(target.name, 0)
        digest = hashlib.sha256(f"{number} {target.name}".encode()).hexdigest()
        target = replace(
            target, is_new=target.name not in self.begun, stem=self.parts / digest[:32]
        )
        self.begun.add(target.name)
        future = self.cluster.submit(perform, Download(source, target, self.settings), cpus=CPUS)
        try:
            outcome = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self.cluster.cancel(future)
            raise
        if isinstance(outcome, Fetched):
            self.begun.discard(target.name)
            self.tries.pop(target.name, None)
        if isinstance(outcome, NotStored) and isinstance(source, bytes):
            self.unstored[target.name] = source
        return outcome


@asynccontextmanager
async def open_cluster_downloads(
    cluster: Cluster, settings: DownloadSettings, parts: Path
) -> AsyncIterator[ClusterDownloads]:
    """`parts` is made for this command, and removed with what is left in it."""
    await in_thread(partial(_make, parts))
    try:
        yield ClusterDownloads(cluster, settings, parts)
    finally:
        await in_thread(partial(remove_folder, parts.parent))


def _make(parts: Path) -> None:
    with disk_errors(parts):
        parts.mkdir(parents=True)
