"""The emulator inside a run. Its memory is in the run's folder, so a stopped rehearsal goes on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from batchgen.errors import OutputError
from batchgen.runcomfy.token import Token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from batchgen.runs.folder import RunFolder
    from batchgen.runs.options import RunOptions


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
