"""What every command stands on: the run of a manifest, its state, the way to the API.

`open_run` opens a run to read its state; `connected` gives the API, or the emulator in its place.
A state belongs to one manifest and to one provider: the vendor, or what stands in for it here.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from batchgen.errors import OtherManifestError, OutputError, ProviderMismatchError
from batchgen.proxies import NONE, Proxies
from batchgen.runcomfy.base import api_base, is_loopback
from batchgen.runcomfy.client import DEFAULT_LIMITS, connect
from batchgen.runcomfy.token import Token, find_token
from batchgen.runs.folder import RunFolder
from batchgen.runs.prepare import read_header
from batchgen.state.database import open_for_reading, translated
from batchgen.state.meta import Meta, get_meta, set_meta
from batchgen.state.recovery import has_attempts
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path
    from random import Random

    from batchgen.manifest.header import Manifest
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection


EMULATOR = "the emulator"
LOOPBACK = "a server on this machine"


def provider_name(base: str, *, emulator: bool) -> str:
    """Name who takes the requests. A server on this machine may come back at another port."""
    if emulator:
        return EMULATOR
    return LOOPBACK if is_loopback(base) else base


def claim_for_provider(db: Connection, provider: str, folder: RunFolder) -> None:
    """Bind a state without attempts to its provider. Raises ProviderMismatchError for another one.

    A rehearsal that went on with the real API would take its pictures for paid ones; the reverse
    would lose requests that are paid.
    """
    known = get_meta(db, Meta.PROVIDER)
    if known is None or not has_attempts(db):
        set_meta(db, Meta.PROVIDER, provider)
    elif known != provider:
        raise ProviderMismatchError(
            f"this run was begun with {known}, and would now go to {provider}",
            where=str(folder.root),
            next_step=f"{_way_back(known, provider)}; to start anew instead, move the folder away"
            f" or set another output.dir{_anew(known, provider)}",
        )


def recorded_provider(db: Connection) -> str:
    return get_meta(db, Meta.PROVIDER) or ""


def is_rehearsal(db: Connection) -> bool:
    """Whether the next command needs --emulator."""
    return get_meta(db, Meta.PROVIDER) == EMULATOR


def _way_back(known: str, provider: str) -> str:
    if known == EMULATOR:
        return "give --emulator to continue the rehearsal"
    if provider == EMULATOR:
        return "leave --emulator out to continue"
    return "set RUNCOMFY_MODEL_API_BASE back"


def _anew(known: str, provider: str) -> str:
    """Without a rehearsal, a folder that was moved away is one that is missing."""
    return "" if EMULATOR in {known, provider} else ", and say --start-over"


def claim_for_manifest(db: Connection, manifest: Manifest, *, take_over: bool) -> None:
    """Make the state this manifest's. Raises OtherManifestError unless it is, or is taken over."""
    if not take_over:
        refuse_other_manifest(db, manifest)
    # What comes from a pipe has no place of its own.
    set_meta(db, Meta.MANIFEST, _place_of(manifest.path) if manifest.path.is_file() else "")


def refuse_other_manifest(db: Connection, manifest: Manifest) -> None:
    """Raise OtherManifestError where the state was last brought up to another manifest's jobs.

    One that is no longer there was renamed or moved: then this is it.
    """
    known, here = get_meta(db, Meta.MANIFEST), manifest.path
    if not known or known == _place_of(here) or not os.path.exists(known):  # noqa: PTH110 - bytes of any kind
        return
    raise OtherManifestError(
        f"{manifest.output.dir} was last run from {known} (name {get_meta(db, Meta.NAME)}):"
        f" its jobs stand there, not those of {here}; nothing was sent",
        where=str(here),
        next_step="give each manifest an output.dir of its own; or go on with this one there, and"
        f" leave the other's jobs as they are: batchgen run {here} --take-over",
    )


def _place_of(path: Path) -> str:
    return os.fsencode(path.resolve()).decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class FoundRun:
    """The run of a manifest: the manifest's header, and the run's folder."""

    manifest: Manifest
    folder: RunFolder

    @contextmanager
    def open(self) -> Iterator[OpenRun]:
        """Open the state to read it.

        Raises MissingFileError before the first run, OtherManifestError, and the state's errors.
        """
        db = open_for_reading(self.folder.state)
        try:
            with translated(self.folder.state):
                refuse_other_manifest(db, self.manifest)
                yield OpenRun(self.manifest, self.folder, db)
        finally:
            db.close()


@dataclass(frozen=True, slots=True)
class OpenRun(FoundRun):
    """A run whose state can be read."""

    db: Connection

    @property
    def is_rehearsal(self) -> bool:
        """Whether the next command needs --emulator."""
        return is_rehearsal(self.db)

    def command(self, verb: str, *words: str) -> str:
        """Build the command that goes on with this run, to be copied into a shell."""
        return command_line(verb, self.manifest.path, *words, emulator=self.is_rehearsal)


def find_run(path: Path) -> FoundRun:
    """Read the header of a manifest. Raises ManifestError, MissingFileError."""
    manifest = read_header(path)
    return FoundRun(manifest, RunFolder(manifest.output.dir))


@contextmanager
def open_run(path: Path) -> Iterator[OpenRun]:
    """Find the run of a manifest and open its state. Raises as `find_run` and `open` do."""
    with find_run(path).open() as run:
        yield run


@asynccontextmanager
async def rehearsal(folder: RunFolder, options: RunOptions) -> AsyncIterator[tuple[str, Token]]:
    """Run the emulator; gives its base and a token of its own: the real one stays at home."""
    # Loaded here: a real run needs neither a web server nor an encoder.
    from batchgen.emulator import (  # noqa: PLC0415 - see above
        EmulatorError,
        EmulatorSettings,
        running_emulator,
    )

    settings = EmulatorSettings(state=folder.emulator, latency=options.emulator_latency)
    try:
        async with running_emulator(settings) as emulator:
            # No word that an answer may have in it: the token is masked there.
            yield emulator.base_url, Token("batchgen-rehearsal-token", "the emulator")
    except EmulatorError as exc:
        raise OutputError(exc.what, where=str(folder.emulator), next_step=exc.next_step) from exc


@dataclass(frozen=True, slots=True)
class World:
    """What a run takes from outside: environment, wall clock (epoch seconds), chance.

    `signals`: whether Ctrl-C and SIGTERM are the run's to handle, as in a command. `memory` is the
    folder of the user's in which runs are remembered; None where there is none.
    """

    env: Mapping[str, str]
    home: Path
    now: Callable[[], float]
    dice: Random
    signals: bool = True
    memory: Path | None = None


@dataclass(frozen=True, slots=True)
class RunContext(FoundRun):
    """A run, and all that it stands on. `base` is the API's; empty for a rehearsal."""

    options: RunOptions
    world: World
    base: str

    @classmethod
    def of(cls, path: Path, options: RunOptions, world: World) -> Self:
        """Read no more than the header of the manifest. Raises ManifestError, UsageError."""
        found = find_run(path)
        base = "" if options.emulator else api_base(world.env)
        return cls(found.manifest, found.folder, options, world, base)

    @property
    def provider(self) -> str:
        return provider_name(self.base, emulator=self.options.emulator)

    @property
    def on_this_machine(self) -> bool:
        return self.options.emulator or is_loopback(self.base)

    @property
    def proxies(self) -> Proxies:
        """Raises UsageError. A rehearsal goes nowhere."""
        return NONE if self.options.emulator else Proxies.of(self.world.env)


@asynccontextmanager
async def connected(place: RunContext, asks: int = 0) -> AsyncIterator[RunComfy]:
    """The API, or the emulator in its stead, with `asks` questions open at once (0: any number).

    Raises TokenError.
    """
    wall_clock, limits = place.world.now, replace(DEFAULT_LIMITS, asks=asks)
    if not place.options.emulator:
        token = find_token(place.world.env, place.world.home)
        async with connect(
            place.base, token, limits=limits, wall_clock=wall_clock, proxies=place.proxies
        ) as api:
            yield api
        return
    async with (
        rehearsal(place.folder, place.options) as (base, token),
        connect(base, token, limits=limits, wall_clock=wall_clock) as api,
    ):
        yield api
