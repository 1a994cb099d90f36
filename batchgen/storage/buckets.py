"""Results in a bucket: each is stored whole under its name, with its checksum, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from batchgen.errors import OutputError
from batchgen.fs import CONTINUE, disk_errors
from batchgen.storage.opening import endpoint_of, open_client
from batchgen.storage.stamps import FILES, ObjectFacts, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from batchgen.storage.locations import BucketLocation

SHA256 = "sha256"
REQUEST = "request"
"""Names of the metadata of an object. Azure takes no hyphens in them."""

MIB = 1024 * 1024
MOST_AT_ONCE = 16 * MIB
"""A larger object goes in parts: only up to here is it in memory whole."""
PART_BYTES = 8 * MIB
PARTS_AT_ONCE = 4
IN_MEMORY = 8 * MIB
"""What is read of a larger object goes into a temporary file."""
MOST_ASIDE = 1000


class BucketResults:
    """Thread-safe. Reads give a local copy: decoders seek, and a hash needs every byte anyway."""

    def __init__(self, location: BucketLocation) -> None:
        self.location = location
        endpoint = endpoint_of(location.url, os.environ)
        self._client = open_client(location.url, endpoint)
        self._store = self._client.store

    def open(self, path: str) -> BinaryIO:
        copy = tempfile.SpooledTemporaryFile(IN_MEMORY, prefix="batchgen-")  # noqa: SIM115 - returned
        try:
            for block in obstore.get(self._store, path).stream(MIB):
                with disk_errors(Path(tempfile.gettempdir())):
                    copy.write(block)
        except BaseError as exc:
            copy.close()
            raise self._client.translated(exc, doing="downloads") from None
        except BaseException:
            copy.close()
            raise
        copy.seek(0)
        return copy  # type: ignore[return-value]  # all of BinaryIO, by another name

    def stamp(self, path: str) -> Stamp | None:
        try:
            found = obstore.head(self._store, path)
        except FileNotFoundError:
            return None
        except BaseError as exc:
            raise self._client.translated(exc, doing="reads") from None
        return Stamp(found["size"], found["e_tag"] or str(found["last_modified"]))

    def facts(self, path: str) -> ObjectFacts | None:
        """What was stored with an object; None if there is none."""
        try:
            found = obstore.get(self._store, path, options={"head": True})
        except FileNotFoundError:
            return None
        except BaseError as exc:
            raise self._client.translated(exc, doing="reads") from None
        known = found.attributes
        return ObjectFacts(
            found.meta["size"],
            known.get(SHA256, ""),
            known.get("Content-Type", ""),
            known.get(REQUEST, ""),
        )

    def names(self) -> Iterator[str]:
        try:
            for page in obstore.list(self._store, f"{FILES}/", chunk_size=1000):
                for found in page:
                    yield found["path"]
        except BaseError as exc:
            raise self._client.translated(exc, doing="listing") from None

    def publish(self, part: Path, path: str, facts: ObjectFacts) -> None:
        """Store a local file as a whole object; nothing of another's is overwritten.

        Returns once the bucket has acknowledged it. If it is there already, because an answer was
        lost or the process died before it was recorded, that is as good. Raises OutputError for a
        foreign object under that name.
        """
        try:
            self._create(part, path, facts)
        except AlreadyExistsError:
            self._settle(part, path, facts)
        except (FileNotFoundError, BaseError) as exc:
            raise self._client.translated(exc, doing="uploads") from None

    def _create(self, part: Path, path: str, facts: ObjectFacts) -> None:
        if facts.bytes <= MOST_AT_ONCE:
            self._put(part, path, facts, is_new=True)
        elif self.facts(path) is None:
            # No store takes a condition for an object in parts; the run's claim keeps others out.
            self._put(part, path, facts, is_new=False)
        else:
            self._settle(part, path, facts)

    def _settle(self, part: Path, path: str, facts: ObjectFacts) -> None:
        there = self.facts(path)
        if there is None:
            self._put(part, path, facts, is_new=False)
        elif (there.bytes, there.sha256) == (facts.bytes, facts.sha256):
            return
        elif facts.request and there.request == facts.request:
            # Ours, of a try that was never recorded: the vendor serves other bytes by now.
            self._put(part, path, facts, is_new=False)
        else:
            raise OutputError(
                "another object has the name of this result; it was not overwritten",
                where=self.location.of(path),
                next_step=f"move it away, or set another output.dir; {CONTINUE}",
            )

    def _put(self, part: Path, path: str, facts: ObjectFacts, *, is_new: bool) -> None:
        in_parts = facts.bytes > MOST_AT_ONCE
        with disk_errors(part):
            content = part if in_parts else part.read_bytes()
            obstore.put(
                self._store,
                path,
                content,
                mode="create" if is_new else "overwrite",
                attributes={
                    "Content-Type": facts.media_type,
                    SHA256: facts.sha256,
                    REQUEST: facts.request,
                },
                use_multipart=in_parts,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    def put_text(self, path: str, text: str, *, only_new: bool = False) -> bool:
        """Store a small object, over an older one unless `only_new`; False if that was there."""
        try:
            obstore.put(
                self._store,
                path,
                text.encode(),
                mode="create" if only_new else "overwrite",
                attributes={"Content-Type": "application/json"},
            )
        except AlreadyExistsError:
            return False
        except (FileNotFoundError, BaseError) as exc:
            raise self._client.translated(exc, doing="uploads") from None
        return True

    def move_aside(self, path: str) -> str | None:
        """Copied, then removed: after a crash in between, both are there."""
        for number in range(1, MOST_ASIDE):
            aside = f"{path}.damaged-{number}"
            if self.stamp(aside) is None:
                break
        else:
            raise OutputError(
                f"there are {MOST_ASIDE - 1} damaged files of that name",
                where=self.location.of(path),
                next_step="remove some of them",
            )
        try:
            obstore.copy(self._store, path, aside)
        except FileNotFoundError:
            return None
        except BaseError as exc:
            raise self._client.translated(exc, doing="copies") from None
        self.remove(path)
        return aside

    def remove(self, path: str) -> None:
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            return
        except BaseError as exc:
            raise self._client.translated(exc, doing="deletions") from None
