"""What a failure needs to happen: a user and an emulator in this process, and real HTTP between.

A start of Python costs more than most of the rows themselves, so commands run here; `start` still
gives a process of its own to whoever must signal or kill one.
"""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from batchgen.cli import main
from batchgen.emulator import EmulatorSettings, running_emulator
from batchgen.run import context, execute
from batchgen.run.options import engine_policy
from batchgen.runcomfy import client
from tests.acceptance.shell import Done, Emulator, Shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from batchgen.engine.policy import EnginePolicy

T = TypeVar("T")

QUICK = 0.02
"""Seconds that a request takes, unless a row needs them to be more."""

TOKENS = ("RUNCOMFY_TOKEN", "RUNCOMFY_API_TOKEN", "RUNCOMFY_API_KEY", "YOUR_API_TOKEN")


@dataclass(frozen=True)
class User(Shell):
    """A shell whose `run` and `expect` stay in this process."""

    def run(self, *words: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with self.at_home(), redirect_stdout(out), redirect_stderr(err):
            code = main(words)
        return Done(code, out.getvalue(), err.getvalue())

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """Stand in this user's folder with this user's environment, as `batchgen.run` needs it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in (*TOKENS, "RUNCOMFY_MODEL_API_BASE"):
                patch.delenv(name, raising=False)
            for name, value in {"HOME": str(self.folder), **self.env}.items():
                patch.setenv(name, value)
            yield

    def using(self, emulator: Emulator, token: str = "any-token") -> User:
        """The same user, with the emulator in the vendor's place."""
        env = {"RUNCOMFY_MODEL_API_BASE": emulator.base, "RUNCOMFY_TOKEN": token}
        return replace(self, env={**self.env, **env})

    def files(self) -> list[str]:
        """Every name below the folder of results, `.part` files too."""
        folder = self.folder / "out/files"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

    def log(self) -> str:
        return (self.folder / "out/run.log").read_text("utf-8")


@contextmanager
def emulating(**settings: Any) -> Iterator[Emulator]:
    """An emulator in a thread, as EmulatorSettings say; its ledger is empty."""
    opened: Future[tuple[str, Callable[[], object]]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        close = partial(asyncio.get_running_loop().call_soon_threadsafe, over.set)
        async with running_emulator(EmulatorSettings(**{"latency": QUICK, **settings})) as emulator:
            opened.set_result((emulator.base_url, close))
            await over.wait()

    with ThreadPoolExecutor(1, "emulator") as pool:
        served = pool.submit(asyncio.run, serve())
        either: list[Future[Any]] = [opened, served]
        wait(either, return_when=FIRST_COMPLETED)
        if not opened.done():
            served.result()
        base, close = opened.result()
        try:
            yield Emulator(base)
        finally:
            close()
            served.result()


def impatient(patch: pytest.MonkeyPatch, **policy: Any) -> None:
    """Let runs of this process have a shorter EnginePolicy, e.g. `submit_deadline=0.3`."""

    def shortened(*asked: Any) -> EnginePolicy:
        return replace(engine_policy(*asked), **policy)

    patch.setattr(execute, "engine_policy", shortened)


def limited(patch: pytest.MonkeyPatch, **limits: Any) -> None:
    """Let runs of this process have other Limits of the API's client, e.g. `connect=0.2`."""
    patch.setattr(context, "connect", partial(client.connect, limits=client.Limits(**limits)))


def only(items: Sequence[T]) -> T:
    (item,) = items
    return item
