"""The limits that runs of one account on this machine share: their file, and who is alive.

Below the user's state folder, each account has a folder with a small database, and with a file for
each run, which it keeps locked: the operating system frees the lock of a process that died.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import platform
import secrets
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from batchgen.concurrency import in_thread
from batchgen.engine.ports import Unreached
from batchgen.errors import BatchgenError, DamagedStateError
from batchgen.manifest.policy import SHARED
from batchgen.runcomfy.token import find_token
from batchgen.runs.folder import HELD, open_private
from batchgen.runs.options import effective_policy
from batchgen.state.account import AccountFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from batchgen.runs.context import RunContext
    from batchgen.state.account import Claim, Shares

ROUNDS = 200_000
"""A tenth of a second: the name of the folder is of no use to someone who guesses tokens."""
NO_HOME = "there is no folder for the user's state: set HOME or XDG_STATE_HOME"


@dataclass(slots=True)
class SharedAccount:
    """The engine's port to the limits that runs of an account share. `run` names this run.

    It joins with its first exchange, and tries again with the next one if that fails.
    """

    folder: Path | None
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    _lock: int | None = None

    async def exchange(self, claims: Sequence[Claim], now: float) -> Shares | Unreached:
        return await in_thread(partial(self._exchange, claims, now))

    async def leave(self, claims: Sequence[Claim], now: float) -> None:
        await in_thread(partial(self._leave, claims, now))

    def close(self) -> None:
        """Give up the lock: from now on the others take this run for dead."""
        if self.folder is not None and self._lock is not None:
            with suppress(OSError):
                self._lock_of(self.folder, self.run).unlink()
            os.close(self._lock)
            self._lock = None

    def _exchange(self, claims: Sequence[Claim], now: float) -> Shares | Unreached:
        if self.folder is None:
            return Unreached(NO_HOME)
        file = AccountFile(self.folder / "limits.db")
        exchange = partial(
            file.exchange, self.run, claims, now, partial(self._is_alive, self.folder)
        )
        try:
            self._join(self.folder)
            try:
                return exchange()
            except DamagedStateError:
                # As a power cut may leave it. Nothing is lost: all report again what they hold.
                file.remove()
                return exchange()
        except OSError as exc:
            return Unreached(f"{self.folder}: {exc.strerror}")
        except BatchgenError as exc:
            return Unreached(f"{file.path}: {exc.what}")

    def _leave(self, claims: Sequence[Claim], now: float) -> None:
        if self.folder is not None and self._lock is not None:
            # Otherwise the others notice that this run is gone.
            with suppress(BatchgenError):
                AccountFile(self.folder / "limits.db").leave(self.run, claims, now)

    def _join(self, folder: Path) -> None:
        """Raises OSError where nothing can be written, or the file system has no locks."""
        if self._lock is not None:
            if _is_at(self._lock, self._lock_of(folder, self.run)):
                return
            # Someone has tidied the folder: the others would take this run for dead.
            os.close(self._lock)
            self._lock = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open_private(self._lock_of(folder, self.run), os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def _is_alive(self, folder: Path, run: str) -> bool:
        path = self._lock_of(folder, run)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as exc:
            return exc.errno != errno.ENOENT
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno in HELD:
                return True
            raise
        else:
            with suppress(OSError):
                path.unlink()
            return False
        finally:
            os.close(lock)

    def _lock_of(self, folder: Path, run: str) -> Path:
        return folder / f"{run}.lock"


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def account_name(token: str, base: str) -> str:
    """The same for the same token and API; it shows neither.

    Of this machine: others that have the same home have another clock.
    """
    salt = f"batchgen account {base} {platform.node()}".encode()
    return hashlib.pbkdf2_hmac("sha256", token.encode(), salt, ROUNDS, dklen=16).hex()


@asynccontextmanager
async def account_of(context: RunContext) -> AsyncIterator[SharedAccount | None]:
    """None where the run keeps its limits for itself, as a rehearsal with its own emulator does."""
    policy = effective_policy(context.manifest.policy, context.options)
    if policy.account != SHARED or context.options.emulator:
        yield None
        return
    folder = None
    if (memory := context.world.memory) is not None:
        token = find_token(context.world.env, context.world.home).header_value()
        folder = memory / "accounts" / await in_thread(partial(account_name, token, context.base))
    account = SharedAccount(folder)
    try:
        yield account
    finally:
        account.close()
