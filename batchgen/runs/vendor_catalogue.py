"""The vendor's catalogue, asked for what it has: a search, one model's entry, names that it knows.

Asking is free. A rehearsal asks the emulator, which has the models of the folders that it is given.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.errors import (
    ApiUnreachableError,
    BatchgenError,
    InputError,
    OutputError,
    TokenError,
)
from batchgen.proxies import Proxies
from batchgen.runcomfy.base import api_base
from batchgen.runcomfy.client import connect
from batchgen.runcomfy.limits import Limits
from batchgen.runcomfy.listing import MOST_PAGES
from batchgen.runcomfy.outcomes import Halted, NoAnswer
from batchgen.runcomfy.token import Token, find_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from batchgen.jobs import JsonObject
    from batchgen.runcomfy.client import RunComfy

LIMITS = Limits(connect=5.0, read=15.0)
SECONDS_FOR_A_HINT = 4.0
"""How long a message about an unknown model may wait for the vendor."""
MOST_HINTS = 3


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the catalogue is asked for. With `schemas`, the emulator is asked that serves them."""

    env: Mapping[str, str]
    home: Path
    emulator: bool = False
    schemas: tuple[Path, ...] = ()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[RunComfy]:
        """Raises TokenError, UsageError for an unusable base, OutputError."""
        if not self.emulator:
            token, base = find_token(self.env, self.home), api_base(self.env)
            async with connect(base, token, limits=LIMITS, proxies=Proxies.of(self.env)) as api:
                yield api
            return
        # Loaded here: asking the vendor needs no web server.
        from batchgen.emulator import (  # noqa: PLC0415 - see above
            EmulatorError,
            EmulatorSettings,
            running_emulator,
        )

        try:
            async with running_emulator(EmulatorSettings(schemas=self.schemas)) as emulator:
                token = Token("batchgen-rehearsal-token", "the emulator")
                async with connect(emulator.base_url, token, limits=LIMITS) as api:
                    yield api
        except EmulatorError as exc:
            raise OutputError(exc.what, next_step=exc.next_step) from exc


def search(desk: Desk, words: str, category: str) -> list[JsonObject]:
    """Every entry that a search finds. Raises ApiUnreachableError and as `connected` does."""
    return asyncio.run(_search(desk, words, category))


async def _search(desk: Desk, words: str, category: str) -> list[JsonObject]:
    found: list[JsonObject] = []
    async with desk.connected() as api:
        for _ in range(MOST_PAGES):
            page = await api.listed(words, category, len(found))
            if isinstance(page, NoAnswer | Halted):
                raise _unanswered(page, "the catalogue")
            found += page.models
            if not page.models or len(found) >= page.total:
                break
    return found


def fetch(desk: Desk, model_ids: Iterable[str]) -> dict[str, JsonObject]:
    """The entry of each model, with its schema.

    Raises InputError for a model that the vendor does not have, and as `search` does.
    """
    return asyncio.run(_fetch(desk, tuple(model_ids)))


async def _fetch(desk: Desk, model_ids: tuple[str, ...]) -> dict[str, JsonObject]:
    found: dict[str, JsonObject] = {}
    async with desk.connected() as api:
        for model_id in model_ids:
            entry = await api.entry(model_id)
            if isinstance(entry, NoAnswer | Halted):
                raise _unanswered(entry, f"the model {model_id}")
            if entry is None:
                word = model_id.rsplit("/", 1)[-1]
                raise InputError(
                    f"the vendor has no model {model_id}",
                    next_step=f"batchgen models --search {word} lists similar ones",
                )
            found[model_id] = entry
    return found


def _unanswered(answer: NoAnswer | Halted, what: str) -> BatchgenError:
    if isinstance(answer, Halted):
        return TokenError(f"the API refused: {answer.reason}", where=what)
    return ApiUnreachableError(answer.reason, where=what, next_step="try again later")


def which_exist(desk: Desk, model_ids: Iterable[str]) -> dict[str, bool]:
    """Of the first few models, whether the vendor has each. Never raises; empty if not known."""
    try:
        return asyncio.run(_which_exist(desk, tuple(model_ids)[:MOST_HINTS]))
    except (BatchgenError, TimeoutError):
        return {}


async def _which_exist(desk: Desk, model_ids: tuple[str, ...]) -> dict[str, bool]:
    async with asyncio.timeout(SECONDS_FOR_A_HINT), desk.connected() as api:
        answers = await asyncio.gather(*(api.entry(one) for one in model_ids))
    return {
        model_id: answer is not None
        for model_id, answer in zip(model_ids, answers, strict=True)
        if not isinstance(answer, NoAnswer | Halted)
    }
