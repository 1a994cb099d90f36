"""Puts the user's own files into a bucket, each content once: `inputs: send: s3://bucket/prefix`."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakValueDictionary

from batchgen.byte_budget import ByteBudget, Share
from batchgen.concurrency import in_daemon_thread
from batchgen.downloads.media import HEAD_BYTES, sniff
from batchgen.input_files import files_in, resolved
from batchgen.models.file_limits import MIB
from batchgen.processes import ProcessPool, cores
from batchgen.uploads.buckets import open_bucket
from batchgen.uploads.outcomes import NotNowError
from batchgen.uploads.preparing import Preparation, prepare, read_whole
from batchgen.uploads.sending import AT_ONCE, places_of, size_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from batchgen.input_files import InputFile
    from batchgen.models.catalog import Model
    from batchgen.models.fields import FileRule
    from batchgen.models.file_rules import FileKind, FilePlace
    from batchgen.uploads.buckets import Bucket, BucketPlace
    from batchgen.uploads.preparing import Prepared

UPLOADS_AT_ONCE = 4
BYTES_AT_ONCE = 256 * MIB
"""Of all files that are read, prepared or uploaded at one moment."""
MOST_KNOWN = 10_000
"""Files whose keys are remembered; the next look asks the bucket again."""

HOUR = 3600.0
KNOWN_FOR = HOUR
"""Then the bucket is asked again: a rule may have deleted the object, and the vendor charges for a
request whose input is gone."""
SHORTEST_URL = 6 * HOUR
LONGEST_URL = 7 * 24 * HOUR
"""S3 signs for a week at most."""

CHECK_KEY = "batchgen-check.txt"
CHECK_TEXT = b"batchgen has written this to see that it may write here.\n"

Wanted: TypeAlias = "tuple[str, FileKind, tuple[FileRule, ...]]"
"""The hash of a file and what its place asks for: equal ones are sent as the same object."""


def seconds_of_urls(timeout: float) -> float:
    """How long a URL is good: as long as a request may take, and an hour more.

    Never less than six hours, as the vendor's queue may be long when the run has stopped waiting.
    """
    return min(max(timeout + HOUR, SHORTEST_URL), LONGEST_URL)


class BucketSender:
    """`folder` is what relative paths begin at.

    URLs are signed anew for each submit. May be cancelled at any moment: half an upload is no
    object.
    """

    def __init__(
        self,
        bucket: Bucket,
        folder: Path,
        processes: ProcessPool,
        *,
        fit: bool,
        url_seconds: float,
    ) -> None:
        self._bucket = bucket
        self._folder = folder
        self._processes = processes
        self._fit = fit
        self._seconds = url_seconds
        self._known: OrderedDict[Wanted, tuple[str, float]] = OrderedDict()
        self._locks: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()
        self._budget = ByteBudget(BYTES_AT_ONCE)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def check(self) -> None:
        """Find out before the first submit whether the bucket can be used. Raises BucketError.

        A small object is written: a bucket may be readable and not writable.
        """
        # What may pass is tried again with the first file.
        with suppress(NotNowError):
            await self._bucket.put(CHECK_KEY, CHECK_TEXT, "text/plain")
            await self._signed(CHECK_KEY)

    async def body_for(self, model: Model, body: str) -> tuple[str, Share]:
        """The body with URLs of its files, which takes no share of memory.

        Raises CannotSendError, NotNowError and BucketError.
        """
        files = files_in(body)
        places = places_of(model, body, files)
        urls = {}
        for file in files:
            urls[file.url] = await self._signed(await self._key_of(file, places[file.url]))
        return resolved(body, urls), Share(self._budget, 0)

    async def _signed(self, key: str) -> str:
        return await self._bucket.url(key, self._seconds)

    async def _key_of(self, file: InputFile, place: FilePlace) -> str:
        wanted: Wanted = (file.sha256, place.kind, place.rules)
        async with self._lock(wanted):
            now = asyncio.get_running_loop().time()
            key, since = self._known.get(wanted, ("", now))
            if not key or now - since >= KNOWN_FOR:
                key = await self._uploaded(file, place)
                self._known[wanted] = key, now
            self._known.move_to_end(wanted)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return key

    async def _uploaded(self, file: InputFile, place: FilePlace) -> str:
        size = await in_daemon_thread(
            partial(size_of, self._folder / file.path, file), "size of a file"
        )
        share = await self._budget.acquire(size)
        try:
            async with self._turns:
                work = partial(self._prepared, file, place)
                ready, key = await in_daemon_thread(work, "own file")
            async with self._lock(key), self._uploads:
                if not await self._bucket.has(key, len(ready.content)):
                    await self._bucket.put(key, ready.content, ready.media_type)
        finally:
            share.release()
        return key

    def _prepared(self, file: InputFile, place: FilePlace) -> tuple[Prepared, str]:
        content = read_whole(self._folder / file.path, file)
        work = Preparation(content, file.sha256, place, by_data=False, fit=self._fit)
        ready = prepare(self._processes, file.path, work)
        sha256 = hashlib.sha256(ready.content).hexdigest()
        return ready, f"{sha256}{sniff(ready.content[:HEAD_BYTES]).extension}"

    def _lock(self, name: object) -> asyncio.Lock:
        """One upload of a content at a time; the others find it there."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock


@asynccontextmanager
async def open_bucket_sender(
    place: BucketPlace,
    env: Mapping[str, str],
    folder: Path,
    *,
    fit: bool,
    url_seconds: float,
) -> AsyncIterator[BucketSender]:
    """Raises BucketError if the bucket cannot be used."""
    with ProcessPool(min(cores(), AT_ONCE)) as processes:
        async with open_bucket(place, env) as bucket:
            sender = BucketSender(bucket, folder, processes, fit=fit, url_seconds=url_seconds)
            await sender.check()
            yield sender
