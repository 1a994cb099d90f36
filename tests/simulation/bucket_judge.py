"""The judge of a bucket: what is in it against the vendor's bytes and the state's rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from batchgen.errors import LostStateError, OtherManifestError
from tests.simulation.bucket import CLAIM, CLAIM_OF_ANOTHER, FILES, METADATA, StoredObject
from tests.simulation.findings import Finding

if TYPE_CHECKING:
    from tests.simulation.bucket import ResultBucket
    from tests.simulation.night import Night
    from tests.simulation.process import Life

STORED = "SELECT path, sha256 FROM file WHERE path IS NOT NULL"


def bucket_after_life(night: Night, bucket: ResultBucket, life: Life) -> Iterator[Finding]:
    yield from bucket.findings
    bucket.findings.clear()
    # However the life ended: what the state calls stored had been acknowledged by then.
    for path, sha256 in night.query(STORED):
        found = bucket.objects.get(path)
        if found is None or hashlib.sha256(found.content).hexdigest() != sha256:
            yield Finding("not stored", f"{path} is stored by the state, and not in the bucket")
    ended = not (life.cut_at or life.aborted or life.error)
    if ended and life.summary is not None and life.summary.pause is None:
        for path in bucket.unstored.values():
            yield Finding("left behind", f"{path} was not stored, and no pause says so")


def bucket_at_the_end(night: Night, bucket: ResultBucket) -> Iterator[Finding]:
    """Everything has been calm for a while, and the last run has ended by itself."""
    known = {path for path, _ in night.query(STORED)}
    for path, found in bucket.objects.items():
        if path.startswith(FILES) and path not in known:
            yield Finding("orphan", f"nobody knows of {path} in the bucket")
        recorded = found.attributes.get("sha256")
        if recorded not in {None, hashlib.sha256(found.content).hexdigest()}:
            yield Finding("checksum", f"{path} was stored with another file's")
    for name, _ in bucket.uploads.values():
        yield Finding("half upload", f"{name} is left")
    claimed = {name for (name,) in night.query("SELECT name FROM file WHERE path IS NULL")}
    for place in (night.root / "files").rglob("*"):
        if place.name.split(".")[0] not in claimed and place.name != ".writable":
            yield Finding("folder", f"{place.name} is left on this machine")
    local = night.root / METADATA
    there = bucket.objects.get(METADATA)
    if local.exists() and (there is None or there.content != local.read_bytes()):
        yield Finding("metadata", "the bucket has another metadata.jsonl")


def without_all_that_is_local(night: Night) -> Iterator[Finding]:
    """As from another machine, which has the manifest alone: nothing may be paid for again."""
    yield from _refused(night, LostStateError, OtherManifestError)


def with_a_prefix_of_another_run(night: Night, bucket: ResultBucket) -> Iterator[Finding]:
    ours = bucket.objects[CLAIM]
    bucket.objects[CLAIM] = StoredObject(CLAIM_OF_ANOTHER, {}, 0.0)
    yield from _refused(night, OtherManifestError)
    if bucket.objects[CLAIM].content != CLAIM_OF_ANOTHER:
        yield Finding("claim", "the claim of another run was overwritten")
    bucket.objects[CLAIM] = ours


def _refused(night: Night, *errors: type[Exception]) -> Iterator[Finding]:
    submits = len(night.vendor.submits)
    error = night.live_aside().error
    if not isinstance(error, errors) or len(night.vendor.submits) > submits:
        yield Finding("claim", f"the prefix of another run was used: {error}")
