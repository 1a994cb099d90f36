"""What every command works with: the run of a manifest, its state, and the outside world."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from batchgen.runcomfy.base import api_base, is_loopback
from batchgen.runs.folder import RunFolder
from batchgen.runs.ownership import (
    is_rehearsal,
    provider_name,
    refuse_other_manifest,
    results_of,
)
from batchgen.runs.prepare import read_header
from batchgen.state.database import reading
from batchgen.storage.locations import BucketLocation, FolderLocation
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from random import Random

    from batchgen.manifest.header import Manifest
    from batchgen.proxies import Proxies
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection
    from batchgen.storage.locations import Location


@dataclass(frozen=True, slots=True)
class FoundRun:
    """The run of a manifest: the manifest's header, and the run's folder."""

    manifest: Manifest
    folder: RunFolder

    @property
    def first_command(self) -> str:
        """The command that starts the run."""
        return command_line("run", self.manifest.path)

    @contextmanager
    def open(self) -> Iterator[OpenRun]:
        """Open the state to read it.

        Raises MissingFileError before the first run, OtherManifestError, and the state's errors.
        """
        with reading(self.folder.state, self.first_command) as db:
            refuse_other_manifest(db, self.manifest)
            yield OpenRun(self.manifest, self.folder, db)


@dataclass(frozen=True, slots=True)
class OpenRun(FoundRun):
    """A run whose state can be read."""

    db: Connection

    @property
    def is_rehearsal(self) -> bool:
        """Whether the next command needs --emulator."""
        return is_rehearsal(self.db)

    @property
    def results(self) -> Location:
        """Where the files of the results are."""
        return results_of(self.db, self.folder)

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


@dataclass(frozen=True, slots=True)
class World:
    """What a run takes from outside: environment, wall clock (epoch seconds), randomness.

    `signals`: whether the run handles Ctrl-C and SIGTERM, as in a command. `memory` is the user's
    folder in which runs are remembered, if there is one.
    """

    env: Mapping[str, str]
    home: Path
    now: Callable[[], float]
    dice: Random
    signals: bool = True
    memory: Path | None = None


@dataclass(frozen=True, slots=True)
class RunContext(FoundRun):
    """A run, and everything that it works with. `base` is the API's; empty for a rehearsal."""

    options: RunOptions
    world: World
    base: str

    @classmethod
    def of(cls, path: Path, options: RunOptions, world: World) -> Self:
        """Read only the header of the manifest. Raises ManifestError, UsageError."""
        found = find_run(path)
        base = "" if options.emulator else api_base(world.env)
        return cls(found.manifest, found.folder, options, world, base)

    @property
    def first_command(self) -> str:
        return command_line("run", self.manifest.path, emulator=self.options.emulator)

    @property
    def provider(self) -> str:
        return provider_name(self.base, emulator=self.options.emulator)

    @property
    def on_this_machine(self) -> bool:
        return self.options.emulator or is_loopback(self.base)

    @property
    def results(self) -> Location:
        """Where the files of the results go: a rehearsal's stay on this machine."""
        bucket = "" if self.options.emulator else self.manifest.output.bucket
        return BucketLocation(bucket) if bucket else FolderLocation(self.folder.root)

    @property
    def proxies(self) -> Proxies:
        """Raises UsageError. A rehearsal needs none."""
        # Imported here because a command that only reads the state opens no connection.
        from batchgen.proxies import NO_PROXIES, Proxies  # noqa: PLC0415 - see above

        return NO_PROXIES if self.options.emulator else Proxies.of(self.world.env)
