"""`batchgen watch`: the report's page, live, to pick results while a run goes on."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from batchgen.cli.console import print_text
from batchgen.cli.options import MANIFEST, OPEN, PORT
from batchgen.errors import BatchgenError, OtherManifestError
from batchgen.runs.decision_log import Decision, Verb
from batchgen.watch.ports import Action, Outcome, PageDecision, Ports, Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from batchgen.runs.context import FoundRun
    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import Connection
    from batchgen.storage.locations import Location

_VERBS = {
    Action.KEEP: Verb.KEEP,
    Action.REJECT: Verb.REJECT,
    Action.NEITHER: Verb.UNPICK,
    Action.APPROVE: Verb.APPROVE,
}
_ACTIONS = {verb: action for action, verb in _VERBS.items()}
_BY_HAND = " open the address above yourself"


@click.command()
@MANIFEST
@PORT
@OPEN
def watch(manifest: Path, port: int, show: bool) -> int:
    """Serve the live page of results on this machine.

    Pictures appear as they come; k keeps, x rejects, u takes that back, a approves. The first line
    gives the address; Ctrl-C ends the page, never the run.
    """
    from batchgen.cli.browser import open_in_browser
    from batchgen.runs.context import find_run
    from batchgen.runs.ownership import is_rehearsal

    run = find_run(manifest)
    name, root = run.manifest.name, run.folder.root
    watched = Watched(name, str(manifest), root, run.folder.state, root / "report")
    _refuse_other_manifest(run)
    controls = _Run(manifest, run)
    ports = Ports(
        controls.decide, controls.at_work, is_rehearsal, controls.results, time.time, controls.tune
    )
    asyncio.run(_serve(watched, ports, port, open_in_browser if show else None))
    return 0


def _refuse_other_manifest(run: FoundRun) -> None:
    """Only that: the page shows anything else that is wrong with the state, and waits for it."""
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
    from batchgen.concurrency import stop_signals

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
    from batchgen.watch.server import serving

    async with serving(watched, ports, port, stop) as address:
        print_text(f"watching {watched.name} on {address}")
        print_text("  → keep this address to yourself; Ctrl-C ends the page", to_stderr=True)
        opening = asyncio.create_task(_open(open_page, address, watched.root), name="open the page")
        try:
            await stop.wait()
        finally:
            opening.cancel()
            with suppress(asyncio.CancelledError):
                await opening


async def _open(open_page: Callable[[str], bool] | None, address: str, root: Path) -> None:
    from batchgen.cli.browser import opened, private_page, reads_our_files

    if open_page is None:
        return
    if not reads_our_files(os.environ):
        print_text("a Windows browser cannot read files of WSL;" + _BY_HAND, to_stderr=True)
        return
    with private_page(address, root) as page:
        if page is None:
            print_text("the address could not be kept from other users;" + _BY_HAND, to_stderr=True)
            return
        print_text(f"  → if the browser cannot read {page},{_BY_HAND}", to_stderr=True)
        if not await opened(open_page, page.as_uri()):
            print_text("no browser could be opened;" + _BY_HAND, to_stderr=True)
        # The page stays until the end: a browser may read it late, and again on a reload.
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class _Run:
    """The run, as far as the page needs it."""

    manifest: Path
    found: FoundRun

    @property
    def folder(self) -> RunFolder:
        return self.found.folder

    def tune(self, values: Mapping[str, str], model: str | None) -> None:
        from batchgen.runs.tuning import tune

        tune(self.found, values, () if model is None else (model,))

    def decide(self, decisions: Sequence[PageDecision]) -> Outcome:
        from batchgen.runs.decisions import decide

        at = time.time()
        written = [
            Decision(_VERBS[one.action], one.job_id, at, attempt=one.attempt, position=one.position)
            for one in decisions
        ]
        with decide(self.folder, self.manifest, written, at) as decided:
            if decided is None:
                return Outcome(handed=True)
            found = [(_of_page(one.decision), one.objection) for one in decided.applied]
        return Outcome(False, tuple((one, why) for one, why in found if why))

    def results(self, db: Connection) -> Location:
        from batchgen.runs.ownership import results_of

        return results_of(db, self.folder)

    def at_work(self) -> bool | None:
        from batchgen.runs.folder import is_locked

        try:
            return is_locked(self.folder)
        except BatchgenError:
            return None  # a user who may only read cannot try the lock


def _of_page(one: Decision) -> PageDecision:
    """The page's decision that this one was made from."""
    return PageDecision(_ACTIONS[one.verb], one.job_id, one.attempt or 0, one.position)
