"""What the vendor says of its models today: prices and schemas, for a plan. Nothing is submitted.

A plan is of use without it: what could not be asked is said in one line, and raises nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.errors import TokenError
from batchgen.models.catalog import find_model
from batchgen.runcomfy.base import api_base
from batchgen.runcomfy.client import Limits, connect
from batchgen.runcomfy.model_answer import ModelFacts
from batchgen.runcomfy.token import Token, find_token
from batchgen.runs.plans.schema_drift import schema_differences

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from batchgen.runcomfy.client import RunComfy
    from batchgen.runcomfy.outcomes import Halted, NoAnswer
    from batchgen.runs.options import RunOptions
    from batchgen.runs.workplace import World

LIMITS = Limits(connect=5.0, read=10.0)
"""A person waits for the plan."""


@dataclass(frozen=True, slots=True)
class LiveModels:
    """`trouble` says why some of it was not asked; empty where all was."""

    facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    trouble: str = ""

    def differences(self) -> dict[str, list[str]]:
        """By model, where its schema of today differs from the bundled one."""
        found = {model: _differences(model, facts) for model, facts in self.facts.items()}
        return {model: sentences for model, sentences in found.items() if sentences}

    @property
    def compared(self) -> list[str]:
        """Models whose schema was seen."""
        return [model for model, facts in self.facts.items() if facts.schema is not None]


def _differences(model: str, facts: ModelFacts) -> list[str]:
    known = find_model(model)
    if known is None or facts.schema is None:
        return []
    return schema_differences(known.schema, facts.schema)


async def ask_about(models: Iterable[str], options: RunOptions, world: World) -> LiveModels:
    """Ask for each model once, all at the same time. Raises UsageError for an unusable base."""
    base = "" if options.emulator else api_base(world.env)
    try:
        token = None if options.emulator else find_token(world.env, world.home)
    except TokenError as exc:
        # The places where it was looked for are for a run to name: a plan needs none.
        return LiveModels(trouble=exc.what.partition(":")[0])
    async with _connected(base, token) as api:
        return await _ask_all(api, models)


@asynccontextmanager
async def _connected(base: str, token: Token | None) -> AsyncIterator[RunComfy]:
    if token is not None:
        async with connect(base, token, limits=LIMITS) as api:
            yield api
        return
    # Loaded here: a plan for the vendor needs no web server.
    from batchgen.emulator import EmulatorSettings, running_emulator  # noqa: PLC0415 - see above

    async with (
        running_emulator(EmulatorSettings()) as emulator,
        connect(emulator.base_url, Token("rehearsal", "the emulator"), limits=LIMITS) as api,
    ):
        yield api


async def _ask_all(api: RunComfy, models: Iterable[str]) -> LiveModels:
    async with asyncio.TaskGroup() as group:
        asked = {
            model: group.create_task(api.describe(model), name=f"ask about {model}")
            for model in models
        }
    answers: dict[str, ModelFacts | NoAnswer | Halted] = {
        model: task.result() for model, task in asked.items()
    }
    facts = {model: one for model, one in answers.items() if isinstance(one, ModelFacts)}
    troubles = [one.reason for one in answers.values() if not isinstance(one, ModelFacts)]
    return LiveModels(facts, troubles[0] if troubles else "")
