"""`batchgen emulator`: the vendor's API on this machine, as a server of its own."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from batchgen.commands.console import say
from batchgen.emulator import EmulatorError, EmulatorSettings, running_emulator
from batchgen.errors import OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def emulate(*, port: int, latency: float | None, state: Path | None, token: str | None) -> int:
    """Serve until a signal comes. Raises UsageError, OutputError."""
    try:
        settings = EmulatorSettings(port=port, latency=latency, state=state, token=token)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    try:
        asyncio.run(_serve(settings))
    except EmulatorError as exc:
        raise OutputError(exc.what, next_step=exc.next_step) from exc
    return 0


async def _serve(settings: EmulatorSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running_emulator(settings) as emulator:
        say(f"listening on {emulator.base_url}")
        say(
            f"  → in another terminal: RUNCOMFY_MODEL_API_BASE={emulator.base_url}"
            " RUNCOMFY_TOKEN=any batchgen run MANIFEST",
            to_stderr=True,
        )
        await stop.wait()
