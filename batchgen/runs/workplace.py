"""What a run stands on: the world outside, the manifest, the folder, and the way to the API."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.downloads.proxies import NONE, Proxies
from batchgen.runcomfy.base import is_loopback
from batchgen.runcomfy.client import DEFAULT_LIMITS, connect
from batchgen.runcomfy.token import find_token
from batchgen.runs.rehearsal import rehearsal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path
    from random import Random

    from batchgen.manifest import Manifest
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.options import RunOptions


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
class Workplace:
    """A run whose manifest is checked and whose state is open. `base` is empty for a rehearsal."""

    manifest: Manifest
    folder: RunFolder
    options: RunOptions
    world: World
    base: str

    @property
    def on_this_machine(self) -> bool:
        return self.options.emulator or is_loopback(self.base)

    @property
    def proxies(self) -> Proxies:
        """Raises UsageError. A rehearsal goes nowhere."""
        return NONE if self.options.emulator else Proxies.of(self.world.env)


@asynccontextmanager
async def connected(place: Workplace, asks: int = 0) -> AsyncIterator[RunComfy]:
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
