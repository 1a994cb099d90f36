"""What a manifest may read of the environment: the token goes to the API and nowhere else.

Whose a state is: it belongs to one manifest, and to the vendor or what stands for it here.

The emulator inside a run. Its memory is in the run's folder, so a stopped rehearsal goes on.

What a run stands on: the world outside, the manifest, the folder, and the way to the API.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.errors import OtherManifestError, OutputError, ProviderMismatchError, TokenError
from batchgen.net import NONE, Proxies
from batchgen.runcomfy.base import is_loopback
from batchgen.runcomfy.client import DEFAULT_LIMITS, connect
from batchgen.runcomfy.token import (
    SHORTEST_SECRET,
    TOKEN_VARIABLES,
    Token,
    find_token,
    read_login,
    token_file,
)
from batchgen.state.database import open_for_reading, translated
from batchgen.state.meta import Meta, get_meta, set_meta
from batchgen.state.recovery import has_attempts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from random import Random

    from batchgen.manifest import Manifest
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection


@dataclass(frozen=True, slots=True)
class Offered:
    """`env` is what templates may name; `withheld` says of the other variables what they are.

    Without an `env` nothing is asked of it.
    """

    env: Mapping[str, str] | None
    withheld: Mapping[str, str]


NOTHING_OFFERED = Offered(None, {})


def offered(env: Mapping[str, str]) -> Offered:
    secrets = tuple(_secrets(env))
    withheld = {
        name: "holds the token"
        for name, value in env.items()
        if any(secret in value for secret in secrets)
    }
    # Also those that are not set: the answer must not be to set them.
    withheld |= dict.fromkeys(TOKEN_VARIABLES, "is the token")
    return Offered({name: value for name, value in env.items() if name not in withheld}, withheld)


def _secrets(env: Mapping[str, str]) -> Iterator[str]:
    """Every token in reach. One too short to be a secret would withhold the whole environment."""
    found = [env.get(name, "").strip() for name in TOKEN_VARIABLES]
    if home := env.get("HOME"):
        # A broken login is for whoever needs the token to tell.
        with suppress(TokenError):
            found.append(read_login(token_file(env, Path(home))) or "")
    return (one for one in found if len(one) >= SHORTEST_SECRET)


EMULATOR = "the emulator"
LOOPBACK = "a server on this machine"


def provider_name(base: str, *, emulator: bool) -> str:
    """Whose requests these are. A server on this machine may come back at another port."""
    if emulator:
        return EMULATOR
    return LOOPBACK if is_loopback(base) else base


def claim_state(db: Connection, provider: str, folder: RunFolder) -> None:
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


def provider_of(db: Connection) -> str:
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


@contextmanager
def state_of(manifest: Manifest, state: Path) -> Iterator[Connection]:
    """The state of just this manifest, to read.

    Raises as `open_for_reading` does, and OtherManifestError.
    """
    db = open_for_reading(state)
    try:
        with translated(state):
            refuse_other_manifest(db, manifest)
            yield db
    finally:
        db.close()


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
