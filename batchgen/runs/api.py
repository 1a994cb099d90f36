"""What other programs call; the commands call it too."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

import platformdirs

from batchgen.concurrency import run_loop
from batchgen.errors import OutputError, UsageError
from batchgen.runs.cancel import cancel
from batchgen.runs.context import World, find_run
from batchgen.runs.execute import execute
from batchgen.runs.options import RunOptions
from batchgen.runs.planning import named_jobs, plan, planned_jobs
from batchgen.runs.repair import Listeners, repair
from batchgen.runs.results import EVERYTHING, JobResult, job_results
from batchgen.runs.reuse import index_of
from batchgen.runs.reuse_index import rebuild_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from batchgen.engine.events import Listener
    from batchgen.runs.cancel import Cancellation
    from batchgen.runs.plan import Plan
    from batchgen.runs.planning import Listing
    from batchgen.runs.repair import Repair
    from batchgen.runs.reuse_index import Rebuilt
    from batchgen.runs.summary import Summary
    from batchgen.runs.verify import Checked
    from batchgen.state.queries import Selection


def run(
    manifest: str | os.PathLike[str],
    options: RunOptions | None = None,
    *,
    on_event: Listener | None = None,
    signals: bool = False,
) -> Summary:
    """Start, continue or finish the run of a manifest; returns how it ended.

    `on_event` gets every event as it happens (batchgen.events). With `signals`, Ctrl-C
    and SIGTERM drain the run; that needs the main thread. Raises errors of batchgen.errors, each
    with an `exit_code`.
    """
    _outside_of_loops("run")
    return run_loop(run_async(manifest, options, on_event=on_event, signals=signals))


async def run_async(
    manifest: str | os.PathLike[str],
    options: RunOptions | None = None,
    *,
    on_event: Listener | None = None,
    signals: bool = False,
) -> Summary:
    """The same as `run`, for code in a running event loop."""
    return await execute(
        Path(manifest), options or RunOptions(), on_event or _ignore, _world(signals=signals)
    )


def cancel_jobs(
    manifest: str | os.PathLike[str], options: RunOptions | None = None
) -> Cancellation:
    """Cancel the jobs that `options.selection` names. Raises as `run` does."""
    return asyncio.run(cancel(Path(manifest), options or RunOptions(), _world(signals=False)))


def plan_run(
    manifest: str | os.PathLike[str], options: RunOptions | None = None, *, offline: bool = False
) -> Plan:
    """Return what `run` would do, its cost and duration; sends and writes nothing.

    Unless `offline`, the vendor is asked for prices and schemas, where there is a token. Raises as
    `run` does.
    """
    _outside_of_loops("plan")
    return plan(Path(manifest), options or RunOptions(), _world(signals=False), offline=offline)


async def plan_async(
    manifest: str | os.PathLike[str], options: RunOptions | None = None, *, offline: bool = False
) -> Plan:
    """The same as `plan`, for code in a running event loop."""
    # It blocks while it reads and checks, and asks the vendor in a loop of its own.
    return await asyncio.to_thread(plan_run, manifest, options, offline=offline)


def results(
    manifest: str | os.PathLike[str], selection: Selection = EVERYTHING
) -> Iterator[JobResult]:
    """Each job of a run with its files and costs, also while it goes on in another process.

    They are read while they are asked for. Raises ManifestError, and MissingFileError before the
    first run.
    """
    return job_results(find_run(Path(manifest)).folder, selection)


def list_jobs(
    manifest: str | os.PathLike[str], options: RunOptions | None = None
) -> AbstractContextManager[Listing]:
    """Each job that `run` would find, with the body that it would send; asks and writes nothing.

    The jobs are read while the block lasts. Raises as `run` does.
    """
    return planned_jobs(Path(manifest), options or RunOptions(), _world(signals=False))


def look_up_jobs(
    manifest: str | os.PathLike[str], names: Sequence[str], *, emulator: bool = False
) -> AbstractContextManager[Listing]:
    """Jobs by ids or globs, with everything that happened to them. Otherwise like `list_jobs`."""
    return named_jobs(Path(manifest), names, _world(signals=False), emulator=emulator)


def repair_files(
    manifest: str | os.PathLike[str],
    options: RunOptions | None = None,
    *,
    on_checked: Callable[[Checked], None] | None = None,
    on_event: Listener | None = None,
    signals: bool = False,
) -> Repair:
    """Verify the files of `options.selection`, and fetch again, without paying, what is wrong.

    `on_checked` is called for each checked file. Raises as `run` does.
    """
    listeners = Listeners(on_checked or _ignore, on_event or _ignore)
    return repair(Path(manifest), options or RunOptions(), _world(signals=signals), listeners)


def rebuild_results_index(folders: Sequence[str | os.PathLike[str]] = ()) -> Rebuilt:
    """Make the index of results anew, from remembered runs and those in or below these folders.

    Raises MissingFileError, OutputError.
    """
    memory = _user_state()
    index = index_of(memory)
    if memory is None or index is None:
        raise OutputError("there is no state folder of this user", next_step="set HOME")
    return rebuild_index(index, memory, [Path(one) for one in folders])


def _outside_of_loops(name: str) -> None:
    """Raise UsageError in a running loop, where `asyncio.run` would leave a coroutine behind."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        f"an event loop is running here, as in a notebook: call `await batchgen.{name}_async(...)`"
        f" instead of `batchgen.{name}(...)`"
    )


def _world(*, signals: bool) -> World:
    try:
        home = Path.home()
    except RuntimeError:
        # Neither HOME nor an entry in passwd, so the vendor's login cannot be found.
        home = NO_HOME
    return World(os.environ, home, time.time, SystemRandom(), signals=signals, memory=_user_state())


def _user_state() -> Path | None:
    """The user's state folder; None for a user who has none."""
    try:
        path = platformdirs.user_state_path("batchgen", appauthor=False)
    except RuntimeError:
        return None
    # Older versions give a path below "~" instead.
    return path if path.is_absolute() else None


NO_HOME = Path(os.devnull)
"""Nothing can exist below it."""


def _ignore(_: object) -> None:
    pass
