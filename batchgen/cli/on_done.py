"""`--on-done COMMAND`: a command of the user's for the end of a run, with BATCHGEN_* variables."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.cli.console import print_text
from batchgen.concurrency import (
    TERMINATION_SECONDS,
    TERMINATION_SIGNALS,
    in_daemon_thread,
    on_signals,
)
from batchgen.engine.events import Draining, Notified, Paused, RunStarted
from batchgen.errors import BatchgenError
from batchgen.jobs import JobState
from batchgen.runcomfy.token import TOKEN_VARIABLES
from batchgen.runs.folder import RunFolder
from batchgen.runs.notifications import read_standing, report_of
from batchgen.runs.ownership import results_of
from batchgen.state.database import reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.engine.events import Event, Pause
    from batchgen.errors import ExitCode

GRACE_SECONDS = 5.0
"""How long a command that got a signal to end is waited for."""

SIGNALS = (signal.SIGINT, *TERMINATION_SIGNALS)


@dataclass(slots=True)
class RunRecorder:
    """Records the events that the end of a run needs. `asked_to_stop` by the monotonic clock."""

    started: RunStarted | None = None
    pause: Pause | None = None
    asked_to_stop: float | None = None
    unsent: list[Notified] = field(default_factory=list)

    def on_event(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.started = event
            case Paused(pause):
                self.pause = pause
            case Draining():
                self.asked_to_stop = time.monotonic()
            case Notified(trouble=str()):
                self.unsent.append(event)
            case _:
                pass


def print_unsent(recorder: RunRecorder) -> None:
    """Print it with --quiet, too: a user who waits for a message must see why none came."""
    for one in recorder.unsent:
        print_text(f"not notified ({one.about}): {one.to}: {one.trouble}", to_stderr=True)


def run_on_done(
    command: str | None, recorder: RunRecorder, code: ExitCode, manifest: Path, *, as_json: bool
) -> None:
    """Run the command, if there is one and the run began at all, and print how it ended.

    Not if nothing began, as with a wrong manifest or another active runner: a command that switches
    the machine off would end that other run.
    """
    if command is None or recorder.started is None:
        return
    env = variables(recorder, code, manifest)
    try:
        outcome = asyncio.run(_run(command, env, _seconds(recorder, code), as_json=as_json))
    except OSError as exc:
        outcome = f"could not be started: {exc.strerror}"
    print_text(f"--on-done {outcome}", to_stderr=True)


def variables(recorder: RunRecorder, code: ExitCode, manifest: Path) -> dict[str, str]:
    """The environment of the command: ours without the token, and the variables about the run."""
    assert recorder.started is not None
    folder = RunFolder(recorder.started.folder)
    own = {
        "NAME": recorder.started.name,
        "FOLDER": str(folder.root.absolute()),
        "RESULTS": _results(folder),
        "MANIFEST": str(manifest.absolute()),
        "EXIT_CODE": str(int(code)),
        "PAUSED": recorder.pause.reason.value if recorder.pause else "",
        "REPORT": str(report_of(folder) or ""),
        **_figures(folder),
    }
    return without_tokens(os.environ) | {f"BATCHGEN_{key}": value for key, value in own.items()}


def without_tokens(env: Mapping[str, str]) -> dict[str, str]:
    """Leave out the API token, under each of its names, and copies of it."""
    tokens = {env[name] for name in TOKEN_VARIABLES if env.get(name)}
    return {
        name: value
        for name, value in env.items()
        if name not in TOKEN_VARIABLES and value not in tokens and not _is_secret(name)
    }


def _is_secret(name: str) -> bool:
    return name.startswith("RUNCOMFY_") and name.endswith(("TOKEN", "KEY", "SECRET"))


def _results(folder: RunFolder) -> str:
    """Where the files are: the folder again, or `s3://…`."""
    try:
        with reading(folder.state) as db:
            return str(results_of(db, folder).absolute())
    except BatchgenError:
        # That error ended the run, and is printed already.
        return str(folder.root.absolute())


def _figures(folder: RunFolder) -> dict[str, str]:
    """`DONE`, `FAILED` and so on, and `SPENT_USD`; nothing if the state cannot be read."""
    try:
        figures = read_standing(folder)
    except BatchgenError:
        # That error ended the run, and is printed already.
        return {}
    counts = {state.name: str(figures.counts.get(state, 0)) for state in JobState}
    return {**counts, "SPENT_USD": f"{figures.money.spent:.6f}"}


def _seconds(recorder: RunRecorder, code: ExitCode) -> float | None:
    """How long the command is waited for: for ever, unless a SIGKILL will follow the SIGTERM."""
    if recorder.asked_to_stop is None or code not in {
        128 + number for number in TERMINATION_SIGNALS
    }:
        return None
    return max(0.0, recorder.asked_to_stop + TERMINATION_SECONDS - time.monotonic())


async def _run(
    command: str, env: Mapping[str, str], seconds: float | None, *, as_json: bool
) -> str:
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []

    def forward(number: signal.Signals) -> None:
        """Forward it to the command; stop waiting after a second one, or GRACE_SECONDS."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        if received:
            waiting.cancel()
        received.append(number)
        if number in TERMINATION_SIGNALS:
            loop.call_later(GRACE_SECONDS, waiting.cancel)

    # The loop calls `forward` at the earliest from the wait below. Were the signals taken only once
    # the command has started, one in between would end this process and not the command.
    with on_signals(forward, *SIGNALS):
        # In a process group of its own, so that Ctrl-C reaches all of it just once: by us.
        process = subprocess.Popen(  # noqa: S602, ASYNC220 - the user's own command; starts at once
            command,
            shell=True,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if as_json else None,
            process_group=0,
        )
        name = f"wait for process {process.pid}"
        waiting = asyncio.create_task(in_daemon_thread(process.wait, name), name=name)
        await asyncio.wait({waiting}, timeout=seconds)
    if not waiting.done() or waiting.cancelled():
        waiting.cancel()
        return f"was not waited for; it continues as process {process.pid}"
    return _outcome(waiting.result())


def _outcome(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
