"""The ports of the engine: API, files, disk, inputs, prices and chance come in through these.

The state's port is `batchgen.state.store.Store`; time is the event loop's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from batchgen.models.catalog import bundled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from batchgen.downloads.adopt import AdoptOutcome
    from batchgen.downloads.embedding import Provenance
    from batchgen.downloads.outcomes import FetchOutcome, VerifiedFile
    from batchgen.downloads.probe import Probed
    from batchgen.models.catalog import Catalog
    from batchgen.runcomfy.outcomes import (
        CancelOutcome,
        ResultOutcome,
        StatusOutcome,
        SubmitOutcome,
    )
    from batchgen.runcomfy.upload import BeforeLast
    from batchgen.state.account import Claim, Shares
    from batchgen.state.records import JobRow
    from batchgen.state.reuse import Source
    from batchgen.state.store import Store
    from batchgen.storage.locations import Location


class Api(Protocol):
    """The vendor. No method raises for what the network or the vendor does."""

    async def submit(self, model: str, body: str, before_last: BeforeLast) -> SubmitOutcome:
        """`before_last` is awaited just before the vendor can have the whole body.

        A large body may take long to upload. Until `before_last` has returned nothing can be
        charged, and the task may be cancelled; if it raises, the rest of the body is never sent. An
        upload that makes no progress ends by itself.
        """
        ...

    async def result(self, request_id: str) -> ResultOutcome: ...

    async def status(self, request_id: str) -> StatusOutcome: ...

    async def cancel(self, request_id: str) -> CancelOutcome: ...


class Files(Protocol):
    """Result files: from a URL to a verified file. Raises the tree's errors.

    `provenance` is for the file's own metadata, if the manifest asks for that; `request` made the
    file. `is_new`: no earlier download can have left a part of it. After NotStored the next `fetch`
    fetches nothing, and only stores the file.
    """

    async def fetch(
        self, url: str, name: str, provenance: Provenance, *, request: str, is_new: bool
    ) -> FetchOutcome: ...

    async def adopt(self, source: Location, expected: VerifiedFile, name: str) -> AdoptOutcome: ...


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes of the disk that results are put on: what is free for us, and its size."""

    free: int
    total: int
    where: str


class Disk(Protocol):
    async def usage(self) -> DiskUsage:
        """Raises the tree's errors where the disk does not say."""
        ...


class Prices(Protocol):
    """USD for one request, reserved before the submit; None where it is unknown."""

    def price(self, model: str, body: str) -> float | None: ...


@dataclass(frozen=True, slots=True)
class RecoveryEntry:
    """An accepted request that the state could not record: the last trace of a paid job."""

    job_id: str
    attempt: int
    request_id: str


class RecoveryLog(Protocol):
    """Where the ids of paid requests go when the state file fails."""

    def record(self, entry: RecoveryEntry) -> None: ...


@dataclass(frozen=True, slots=True)
class InputsSound:
    """The vendor will be able to use every file that the input names, as far as we can see."""


@dataclass(frozen=True, slots=True)
class InputsBroken:
    """The vendor would refuse the input, or fail it at our expense."""

    reason: str


@dataclass(frozen=True, slots=True)
class InputsUnclear:
    """A file could not be had just now: our network's or disk's trouble, or its server's.

    `next_step` is what to do if it lasts; empty: what helps against a silent network.
    """

    reason: str
    next_step: str = ""


InputVerdict: TypeAlias = InputsSound | InputsBroken | InputsUnclear


class Inputs(Protocol):
    """Files that an input names, probed before the submit. Free; no network failure raises."""

    async def check(self, model: str, body: str) -> InputVerdict: ...

    async def probe(self, url: str) -> Probed: ...


@dataclass(frozen=True, slots=True)
class Sendable:
    """The body with the user's files in it, as it is sent; large, so it is never stored.

    `release` gives back its memory's share of what all bodies may take; it may be called twice.
    """

    body: str
    release: Callable[[], None]


class OwnFiles(Protocol):
    """The user's own files that an input names: checked, uploaded if need be, put into the body.

    Free. No failure of the network or of a file raises.
    """

    async def sendable(self, model: str, body: str) -> Sendable | InputsBroken | InputsUnclear: ...


class Results(Protocol):
    """Results of other runs on this machine. No method raises for an index that cannot be used."""

    async def find(self, jobs: Sequence[JobRow]) -> Mapping[int, Source]:
        """At most one result for each job, by its number, and no result twice."""
        ...

    async def drop(self, source: Source) -> None:
        """It is gone, so no run is to find it again."""
        ...


@dataclass(frozen=True, slots=True)
class Unreached:
    """What the runs of the account share could not be read or written just now."""

    reason: str


class Account(Protocol):
    """What the runs of one account on this machine share. No method raises for a bad disk.

    `now` is the loop's time, which all processes of a machine share.
    """

    async def exchange(self, claims: Sequence[Claim], now: float) -> Shares | Unreached:
        """Report what this run holds and needs, and learn what it may use."""
        ...

    async def leave(self, claims: Sequence[Claim], now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """`disk` is checked before submits; None where nothing is submitted or no disk is filled.

    Without `inputs` the files that inputs name are not probed, and without `results` nothing is
    reused. `own_files` is needed by jobs that use the user's own files. `catalog` says what models
    make. Without an `account` this run shares its limits with no other.
    """

    api: Api
    store: Store
    files: Files
    prices: Prices
    recovery_log: RecoveryLog
    dice: Random
    disk: Disk | None = None
    inputs: Inputs | None = None
    catalog: Catalog = field(default_factory=bundled)
    results: Results | None = None
    own_files: OwnFiles | None = None
    account: Account | None = None
