"""Opens what a run works with: the API or the emulator, downloads, input images, sockets.

The emulator keeps its state in the run's folder, so a stopped rehearsal can continue. A socket is
an open file too: the soft limit of open files is often 256 or 1024, far below the hard one, and a
program may raise its own.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from yarl import URL

from batchgen.concurrency import in_thread
from batchgen.downloads.allowed_hosts import AllowedHosts
from batchgen.downloads.fetch import open_downloader
from batchgen.downloads.outcomes import DownloadSettings, Target
from batchgen.downloads.probe import ProbeSettings
from batchgen.engine.ports import DiskUsage, InputsBroken, InputsUnclear, Sendable
from batchgen.errors import BucketError, DiskFullError, OutputError
from batchgen.fs import CONTINUE, disk_errors, remove_folder
from batchgen.manifest.policy import CheckInputs
from batchgen.pauses import PauseReason, pause_for
from batchgen.runcomfy.client import connect
from batchgen.runcomfy.limits import DEFAULT_LIMITS
from batchgen.runcomfy.token import Token, find_token
from batchgen.runs.folder import RunFolder
from batchgen.runs.input_images import open_input_images
from batchgen.storage.locations import BucketLocation
from batchgen.uploads.outcomes import CannotSendError, NotNowError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from batchgen.byte_budget import Share
    from batchgen.cluster.client import Cluster
    from batchgen.cluster.downloads import ClusterDownloads
    from batchgen.downloads.adopt import AdoptOutcome
    from batchgen.downloads.embedding import Provenance
    from batchgen.downloads.fetch import Downloader
    from batchgen.downloads.outcomes import FetchOutcome, VerifiedFile
    from batchgen.models.catalog import Catalog, Model
    from batchgen.pauses import Pause
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runs.context import RunContext
    from batchgen.runs.input_images import InputImages
    from batchgen.runs.options import RunOptions
    from batchgen.state.store import Store
    from batchgen.storage.locations import Location
    from batchgen.uploads.bucket_sending import BucketSender
    from batchgen.uploads.sending import DataSender


@asynccontextmanager
async def rehearsal(
    folder: RunFolder, options: RunOptions, schemas: tuple[Path, ...]
) -> AsyncIterator[tuple[str, Token]]:
    """Run the emulator; gives its base and its own token, so that the real one is not sent."""
    # Loaded here: a real run needs neither a web server nor an encoder.
    from batchgen.emulator import (  # noqa: PLC0415 - see above
        EmulatorError,
        EmulatorSettings,
        running_emulator,
    )

    settings = EmulatorSettings(
        state=folder.emulator, latency=options.emulator_latency, schemas=schemas
    )
    try:
        async with (
            # Without its disk, the emulator ends no request: the run would wait for ever.
            asyncio.timeout(None) as until_failure,
            running_emulator(
                settings, on_failure=partial(until_failure.reschedule, 0.0)
            ) as emulator,
        ):
            # Not a string that may occur in an answer: the token is masked there.
            yield emulator.base_url, Token("batchgen-rehearsal-token", "the emulator")
    except EmulatorError as exc:
        if exc.disk_is_full:
            raise DiskFullError(
                "the disk is full: the emulator's state could not be recorded",
                where=str(folder.emulator),
                next_step=f"make room; {CONTINUE}",
            ) from exc
        # The emulator's own next step names an option of `batchgen emulator`.
        restart = f"start the rehearsal over, which is free: rm -r {shlex.quote(str(folder.root))}"
        raise OutputError(exc.what, where=str(folder.emulator), next_step=restart) from exc


@asynccontextmanager
async def connected(context: RunContext, asks: int = 0) -> AsyncIterator[RunComfy]:
    """The API, or the emulator in its place, with `asks` queries open at once (0: any number).

    Raises TokenError.
    """
    wall_clock, limits = context.world.now, replace(DEFAULT_LIMITS, asks=asks)
    if not context.options.emulator:
        token = find_token(context.world.env, context.world.home)
        async with connect(
            context.base, token, limits=limits, wall_clock=wall_clock, proxies=context.proxies
        ) as api:
            yield _discreet(api, context)
        return
    async with (
        rehearsal(context.folder, context.options, context.manifest.schema_folders) as (
            base,
            token,
        ),
        connect(base, token, limits=limits, wall_clock=wall_clock) as api,
    ):
        yield _discreet(api, context)


def _discreet(api: RunComfy, context: RunContext) -> RunComfy:
    """Even where nothing is sent: answers repeat the URLs that earlier runs signed."""
    if not context.manifest.inputs.by_data:
        api.hide_urls_of(urlsplit(context.manifest.inputs.send).netloc)
    return api


@dataclass(frozen=True, slots=True)
class FilesBelow:
    """The engine's ports to the disk: names become files below one folder, or objects of a bucket.

    With `embeds`, the files get metadata. `cluster` downloads in the downloader's place.
    """

    downloader: Downloader
    folder: Path
    embeds: bool
    bucket: BucketLocation | None = None
    cluster: ClusterDownloads | None = None

    async def fetch(
        self, url: str, name: str, provenance: Provenance, *, request: str, is_new: bool
    ) -> FetchOutcome:
        embedded = provenance if self.embeds else None
        target = Target(self.folder, name, embedded, is_new, self.bucket, request)
        return await (self.cluster or self.downloader).fetch(url, target)

    async def adopt(self, source: Location, expected: VerifiedFile, name: str) -> AdoptOutcome:
        target = Target(self.folder, name, bucket=self.bucket)
        return await self.downloader.adopt(source, expected, target)

    async def usage(self) -> DiskUsage:
        return await in_thread(self._room)

    def _room(self) -> DiskUsage:
        with disk_errors(self.folder):
            usage = shutil.disk_usage(self.folder)
        return DiskUsage(usage.free, usage.total, str(self.folder))


@asynccontextmanager
async def files_of(context: RunContext, cluster: Cluster | None) -> AsyncIterator[FilesBelow]:
    """The caller has the run's lock. With a `cluster`, its workers download."""
    hosts = AllowedHosts.of(context.manifest.output.allow_hosts, loopback=context.on_this_machine)
    settings, folder = DownloadSettings(hosts, proxies=context.proxies), context.folder.files
    # A worker of a command that was killed may still be at work: now it can publish nothing.
    await in_thread(partial(remove_folder, context.folder.parts))
    async with AsyncExitStack() as stack:
        downloader = await stack.enter_async_context(open_downloader(settings))
        remote = None
        if cluster is not None:
            # Loaded here: few runs have a cluster.
            from batchgen.cluster.downloads import (  # noqa: PLC0415 - see above
                open_cluster_downloads,
            )

            root = await in_thread(context.folder.root.absolute)
            own = RunFolder(root).parts / token_hex(8)
            remote = await stack.enter_async_context(open_cluster_downloads(cluster, settings, own))
            folder = RunFolder(root).files
        results, embeds = context.results, context.manifest.output.embed
        bucket = results if isinstance(results, BucketLocation) else None
        yield FilesBelow(downloader, folder, embeds, bucket, remote)


@asynccontextmanager
async def input_images_of(context: RunContext, store: Store) -> AsyncIterator[InputImages]:
    """Input images may be on any public host; a rehearsal probes only those of this machine."""
    hosts = AllowedHosts.in_public()
    if context.on_this_machine:
        hosts = AllowedHosts.of(context.manifest.output.allow_hosts, loopback=True)
    checking = context.manifest.policy.check_inputs is CheckInputs.AUTO
    async with open_input_images(
        ProbeSettings(hosts, proxies=context.proxies),
        store,
        context.manifest.catalog,
        checking=checking,
        only_here=context.on_this_machine,
    ) as images:
        yield images


@dataclass(frozen=True, slots=True)
class UnusableBucket:
    error: BucketError

    async def body_for(self, _model: Model, _body: str) -> tuple[str, Share]:
        raise self.error


@dataclass(frozen=True, slots=True)
class SentFiles:
    """The engine's port to the user's own files, in the request itself or in a bucket.

    `pause` says why nothing can be submitted, if the bucket cannot be used.
    """

    sender: DataSender | BucketSender | UnusableBucket
    catalog: Catalog
    pause: Pause | None = None

    async def sendable(self, model: str, body: str) -> Sendable | InputsBroken | InputsUnclear:
        known = self.catalog.find(model)
        if known is None:
            return InputsBroken(f"the model {model} is unknown")
        try:
            text, share = await self.sender.body_for(known, body)
        except CannotSendError as exc:
            return InputsBroken(str(exc))
        except NotNowError as exc:
            return InputsUnclear(str(exc), exc.next_step)
        except BucketError as exc:
            # It could be used when the run began: access that is restored later suffices.
            return InputsUnclear(f"{exc.where}: {exc.what}", exc.next_step or "")
        return Sendable(text, share.release)


@asynccontextmanager
async def own_files_of(
    context: RunContext, api: RunComfy, *, collecting: bool
) -> AsyncIterator[SentFiles]:
    """A rehearsal sends them as a real run does, to the emulator.

    Raises BucketError for a bucket that cannot be used, unless `collecting`: credentials that have
    ended overnight must not keep the run from results that are paid for.
    """
    # Loaded here: most runs send no pictures.
    from batchgen.uploads.bucket_sending import (  # noqa: PLC0415 - see above
        open_bucket_sender,
        seconds_of_urls,
    )
    from batchgen.uploads.buckets import BucketPlace  # noqa: PLC0415 - see above
    from batchgen.uploads.sending import open_data_sender  # noqa: PLC0415 - see above

    manifest, folder = context.manifest, context.manifest.path.parent
    if manifest.inputs.by_data:
        with open_data_sender(folder, fit=manifest.inputs.fit) as sender:
            yield SentFiles(sender, manifest.catalog)
        return
    emulator = str(URL(api.base).origin()) if context.on_this_machine else ""
    opening = open_bucket_sender(
        BucketPlace(manifest.inputs.send, emulator),
        context.world.env,
        folder,
        fit=manifest.inputs.fit,
        url_seconds=seconds_of_urls(manifest.policy.timeout),
    )
    async with AsyncExitStack() as stack:
        try:
            found = SentFiles(await stack.enter_async_context(opening), manifest.catalog)
        except BucketError as exc:
            if not collecting:
                raise
            found = SentFiles(UnusableBucket(exc), manifest.catalog, _pause_for_bucket(exc))
        yield found


def _pause_for_bucket(error: BucketError) -> Pause:
    reason = f"{error.where}: {error.what}"
    pause = pause_for(PauseReason.UNREACHABLE, whose="the bucket", reason=reason)
    return replace(pause, next_step=error.next_step or pause.next_step)
