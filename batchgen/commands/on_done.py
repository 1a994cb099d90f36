"""`--on-done COMMAND`: what the user wants done when a run has ended; it knows BATCHGEN_*."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.commands.console import say
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batchgen.engine.events import Event, Pause
    from batchgen.errors import ExitCode

GRACE_SECONDS = 5.0
"""How long a command that was told to end is waited for."""

SIGNALS = (signal.SIGINT, *TERMINATION_SIGNALS)


@dataclass(slots=True)
class Witness:
    """What of a run its end needs. `asked_to_stop` by the monotonic clock."""

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


def say_unsent(witness: Witness) -> None:
    """Also with --quiet: who waits for a word must be able to find out why none came."""
    for one in witness.unsent:
        say(f"not notified of {one.about}: {one.to}: {one.trouble}", to_stderr=True)


def run_on_done(
    command: str | None, witness: Witness, code: ExitCode, manifest: Path, *, as_json: bool
) -> None:
    """Run the command, if there is one and the run began at all, and say how it ended.

    Not where nothing began, as with a wrong manifest or another runner at work: a command that
    switches the machine off would end what goes on there.
    """
    if command is None or witness.started is None:
        return
    env = variables(witness, code, manifest)
    try:
        told = asyncio.run(_run(command, env, _seconds(witness, code), as_json=as_json))
    except OSError as exc:
        told = f"could not be started: {exc.strerror}"
    say(f"--on-done {told}", to_stderr=True)


def variables(witness: Witness, code: ExitCode, manifest: Path) -> dict[str, str]:
    """The environment of the command: ours, without the token, and what there is to tell."""
    assert witness.started is not None
    folder = RunFolder(witness.started.folder)
    told = {
        "NAME": witness.started.name,
        "FOLDER": str(folder.root.absolute()),
        "MANIFEST": str(manifest.absolute()),
        "EXIT_CODE": str(int(code)),
        "PAUSED": witness.pause.reason.value if witness.pause else "",
        "REPORT": str(report_of(folder) or ""),
        **_figures(folder),
    }
    return without_tokens(os.environ) | {f"BATCHGEN_{key}": value for key, value in told.items()}


def without_tokens(env: Mapping[str, str]) -> dict[str, str]:
    """Leave out the API token, under whichever name it is known, and copies of it."""
    tokens = {env[name] for name in TOKEN_VARIABLES if env.get(name)}
    return {
        name: value
        for name, value in env.items()
        if name not in TOKEN_VARIABLES and value not in tokens and not _is_secret(name)
    }


def _is_secret(name: str) -> bool:
    return name.startswith("RUNCOMFY_") and name.endswith(("TOKEN", "KEY", "SECRET"))


def _figures(folder: RunFolder) -> dict[str, str]:
    """`DONE`, `FAILED` and so on, and `SPENT_USD`; nothing where the state cannot be read."""
    try:
        figures = read_standing(folder)
    except BatchgenError:
        # That was told already: it is what ended the run.
        return {}
    counts = {state.name: str(figures.counts.get(state, 0)) for state in JobState}
    return {**counts, "SPENT_USD": f"{figures.money.spent:.6f}"}


def _seconds(witness: Witness, code: ExitCode) -> float | None:
    """How long the command is waited for: for ever, unless a SIGTERM is on the way to SIGKILL."""
    if witness.asked_to_stop is None or code not in {
        128 + number for number in TERMINATION_SIGNALS
    }:
        return None
    return max(0.0, witness.asked_to_stop + TERMINATION_SECONDS - time.monotonic())


async def _run(
    command: str, env: Mapping[str, str], seconds: float | None, *, as_json: bool
) -> str:
    # In a group of its own, so that a Ctrl-C reaches all of it once: by us.
    process = subprocess.Popen(  # noqa: S602, ASYNC220 - the user's own words; starts at once
        command,
        shell=True,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if as_json else None,
        process_group=0,
    )
    name = f"wait for process {process.pid}"
    waiting = asyncio.create_task(in_daemon_thread(process.wait, name), name=name)
    with _forwarding(process, waiting):
        await asyncio.wait({waiting}, timeout=seconds)
    if not waiting.done() or waiting.cancelled():
        waiting.cancel()
        return f"was not waited for; it goes on as process {process.pid}"
    return _outcome(waiting.result())


def _outcome(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


@contextmanager
def _forwarding(process: subprocess.Popen[bytes], waiting: asyncio.Task[int]) -> Iterator[None]:
    """Hand signals on to the command. A second one leaves it, and so does one that lasts."""
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []

    def forward(number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        if received:
            waiting.cancel()
        received.append(number)
        if number in TERMINATION_SIGNALS:
            loop.call_later(GRACE_SECONDS, waiting.cancel)

    with on_signals(forward, *SIGNALS):
        yield
