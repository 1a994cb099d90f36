"""From a verified file of this machine to an object of a bucket, which makes a result done."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from batchgen.byte_budget import ByteBudget
from batchgen.concurrency import Threads
from batchgen.downloads.outcomes import Fetched, NotStored
from batchgen.errors import BucketUnavailableError, OpenFilesError
from batchgen.storage.results import open_bucket
from batchgen.storage.stamps import ObjectFacts, memory_to_store

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.storage.locations import BucketLocation

MEMORY = 128 * 1024 * 1024
"""Bytes of all objects on their way. Each takes up to 32 MiB."""
AT_ONCE = 32
"""As many as downloads at once (runs/ports.py)."""


class Storing:
    """Stores several files at once.

    In threads of its own: those that write to the disk must not wait for a slow bucket.
    """

    def __init__(self) -> None:
        self._budget = ByteBudget(MEMORY)
        self._threads = Threads(AT_ONCE, "bucket")

    def close(self) -> None:
        """End the threads, without waiting for a bucket that does not answer."""
        self._threads.shutdown(wait=False)

    async def store(
        self, fetched: Fetched, source: Path, bucket: BucketLocation, request: str
    ) -> Fetched | NotStored:
        """Return Fetched once the bucket has acknowledged the whole object with its checksum.

        Raises BucketError if it refuses, OutputError for a foreign object under the name. Ends at
        once when cancelled: a thread that goes on stores the same bytes under the same name.
        """
        file = fetched.file
        facts = ObjectFacts(file.bytes, file.sha256, file.media_type, request)
        share = await self._budget.acquire(memory_to_store(file.bytes))
        work = partial(_publish, bucket, source, file.path, facts)
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (BucketUnavailableError, OpenFilesError) as exc:
            return NotStored(exc.what)  # other files will be closed
        finally:
            share.release()
        return fetched


def _publish(bucket: BucketLocation, source: Path, path: str, facts: ObjectFacts) -> None:
    open_bucket(bucket).publish(source, path, facts)
