"""What the vendor says today of its models and of the account, before anything is submitted.

A plan is of use without it, and so is a run: what could not be asked is said, and raises nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from batchgen.downloads.proxies import Proxies
from batchgen.errors import TokenError, UsageError
from batchgen.models.catalog import find_model
from batchgen.runcomfy.base import WALLET_VARIABLE, api_base, wallet_base
from batchgen.runcomfy.client import Limits, connect
from batchgen.runcomfy.model_answer import ModelFacts
from batchgen.runcomfy.outcomes import NoAnswer
from batchgen.runcomfy.token import Token, find_token
from batchgen.runs.plans.schema_drift import schema_differences

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping

    from batchgen.runcomfy.client import RunComfy
    from batchgen.runcomfy.outcomes import Halted
    from batchgen.runs.options import RunOptions
    from batchgen.runs.workplace import World

LIMITS = Limits(connect=5.0, read=10.0)
BEFORE_A_RUN = 4.0
"""Seconds that the start of a night may wait for what it can do without."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LiveModels:
    """`trouble` says why some of it was not asked; empty where all was.

    `balance` is what the account has, in USD; None: not known, and `no_balance` says why.
    """

    facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    trouble: str = ""
    balance: float | None = None
    no_balance: str = ""

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
    """Ask for a plan. Raises UsageError for an unusable base of the API."""
    base = "" if options.emulator else api_base(world.env)
    try:
        token = None if options.emulator else find_token(world.env, world.home)
    except TokenError as exc:
        # The places where it was looked for are for a run to name: a plan needs none.
        why = exc.what.partition(":")[0]
        return LiveModels(trouble=why, no_balance=why)
    async with _connected(base, token, Proxies.of(world.env)) as api:
        return await ask_all(api, models, {} if options.emulator else world.env, LIMITS.read)


@asynccontextmanager
async def _connected(base: str, token: Token | None, proxies: Proxies) -> AsyncIterator[RunComfy]:
    if token is not None:
        async with connect(base, token, limits=LIMITS, proxies=proxies) as api:
            yield api
        return
    # Loaded here: a plan for the vendor needs no web server.
    from batchgen.emulator import EmulatorSettings, running_emulator  # noqa: PLC0415 - see above

    async with (
        running_emulator(EmulatorSettings()) as emulator,
        connect(emulator.base_url, Token("rehearsal", "the emulator"), limits=LIMITS) as api,
    ):
        yield api


async def ask_all(
    api: RunComfy, models: Iterable[str], env: Mapping[str, str], seconds: float
) -> LiveModels:
    """Ask for each model and for the balance once, all at the same time, and no longer than that.

    A rehearsal is given no `env`: the balance of an account is not its business.
    """

    async def soon(answer: Awaitable[T]) -> T | NoAnswer:
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            return NoAnswer(f"no answer within {seconds:g} s")

    async with asyncio.TaskGroup() as group:
        asked = {
            model: group.create_task(soon(api.describe(model)), name=f"ask about {model}")
            for model in models
        }
        balance = group.create_task(soon(_balance(api, env)), name="ask for the balance")
    answers: dict[str, ModelFacts | NoAnswer | Halted] = {
        model: task.result() for model, task in asked.items()
    }
    facts = {model: one for model, one in answers.items() if isinstance(one, ModelFacts)}
    troubles = [one.reason for one in answers.values() if not isinstance(one, ModelFacts)]
    left = balance.result()
    return LiveModels(
        facts,
        troubles[0] if troubles else "",
        left if isinstance(left, float) else None,
        "" if isinstance(left, float) else left.reason,
    )


async def _balance(api: RunComfy, env: Mapping[str, str]) -> float | NoAnswer | Halted:
    try:
        base = wallet_base(env, api.base)
    except UsageError as exc:
        # It serves to ask, and to nothing else: no run is stopped by it.
        return NoAnswer(f"{exc.where}: {exc.what}")
    if base is None:
        return NoAnswer(f"the API is not at its usual address, and {WALLET_VARIABLE} is not set")
    return await api.balance(base)
