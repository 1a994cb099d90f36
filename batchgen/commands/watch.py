"""`batchgen watch`: the report's page, live, for one who picks while a run goes on."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.commands.console import say
from batchgen.commands.opening import open_in_browser, opened, private_page, reads_our_files
from batchgen.concurrency import stop_signals
from batchgen.errors import BatchgenError, OtherManifestError
from batchgen.runs.context import find_run
from batchgen.runs.decision_log import Decision, Verb
from batchgen.runs.decisions import decide
from batchgen.runs.folder import RunFolder, is_locked
from batchgen.runs.ownership import is_rehearsal
from batchgen.watch.ports import Heard, Ports, Said, Watched, Word
from batchgen.watch.server import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batchgen.runs.context import FoundRun
    from batchgen.runs.folder import RunFolder

_VERBS = {
    Word.KEEP: Verb.KEEP,
    Word.REJECT: Verb.REJECT,
    Word.NEITHER: Verb.UNPICK,
    Word.APPROVE: Verb.APPROVE,
}
_WORDS = {verb: word for word, verb in _VERBS.items()}
_BY_HAND = " open the address above by hand"


def watch(
    path: Path, *, port: int, show: bool, open_page: Callable[[str], bool] = open_in_browser
) -> int:
    """Serve the page until a signal comes; `show` opens it in a browser.

    Raises ManifestError, OutputError where the port is taken, and the state's errors.
    """
    run = find_run(path)
    manifest, folder = run.manifest, run.folder
    root = folder.root
    watched = Watched(manifest.name, str(path), root, folder.state, root / "report")
    _refuse_other_manifest(run)
    controls = _Run(folder)
    ports = Ports(controls.decide, controls.at_work, is_rehearsal, time.time)
    asyncio.run(_serve(watched, ports, port, open_page if show else None))
    return 0


def _refuse_other_manifest(run: FoundRun) -> None:
    """All else that may be wrong with the state is shown by the page, which waits for it."""
    try:
        with run.open():
            return
    except OtherManifestError:
        raise
    except BatchgenError:
        return


async def _serve(
    watched: Watched, ports: Ports, port: int, open_page: Callable[[str], bool] | None
) -> None:
    stop = asyncio.Event()
    with stop_signals(stop.set, stop.set):
        await _serve_until(stop, watched, ports, port, open_page)


async def _serve_until(
    stop: asyncio.Event,
    watched: Watched,
    ports: Ports,
    port: int,
    open_page: Callable[[str], bool] | None,
) -> None:
    async with serving(watched, ports, port, stop) as address:
        say(f"watching {watched.name} on {address}")
        say("  → the address is for you alone; Ctrl-C ends it", to_stderr=True)
        opening = asyncio.create_task(_open(open_page, address, watched.root), name="open the page")
        try:
            await stop.wait()
        finally:
            opening.cancel()
            with suppress(asyncio.CancelledError):
                await opening


async def _open(open_page: Callable[[str], bool] | None, address: str, root: Path) -> None:
    if open_page is None:
        return
    if not reads_our_files(os.environ):
        say("the browser of Windows cannot read a file of WSL;" + _BY_HAND, to_stderr=True)
        return
    with private_page(address, root) as page:
        if page is None:
            say("the address could not be kept from other users;" + _BY_HAND, to_stderr=True)
            return
        say(f"  → a browser that cannot read {page}:{_BY_HAND}", to_stderr=True)
        if not await opened(open_page, page.as_uri()):
            say("no browser could be opened;" + _BY_HAND, to_stderr=True)
        # Browsers read it when they like, and a page that is opened anew reads it again.
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class _Run:
    """What the page needs of the run."""

    folder: RunFolder

    def decide(self, said: Sequence[Said]) -> Heard:
        at = time.time()
        decisions = [
            Decision(_VERBS[one.word], one.job_id, at, attempt=one.attempt, position=one.position)
            for one in said
        ]
        with decide(self.folder, decisions, at) as decided:
            if decided is None:
                return Heard(handed=True)
            found = [(_said(one.decision), one.objection) for one in decided.applied]
        return Heard(False, tuple((one, why) for one, why in found if why))

    def at_work(self) -> bool | None:
        try:
            return is_locked(self.folder)
        except BatchgenError:
            return None  # who may only read cannot try the lock


def _said(one: Decision) -> Said:
    """What a decision that came from here was made of."""
    return Said(_WORDS[one.verb], one.job_id, one.attempt or 0, one.position)
