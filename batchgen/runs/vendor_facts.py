"""What the vendor currently says about its models and the account, asked before any submit.

Plans and runs work without it: what could not be asked is reported, and nothing is raised. Only
jobs that the vendor no longer takes hold a run up.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from batchgen.engine.events import Warned
from batchgen.errors import InputError, TokenError, UsageError
from batchgen.models.catalog import bundled
from batchgen.pauses import Pause, PauseReason, pause_for
from batchgen.proxies import Proxies
from batchgen.runcomfy.base import WALLET_VARIABLE, api_base, wallet_base
from batchgen.runcomfy.client import connect
from batchgen.runcomfy.limits import Limits
from batchgen.runcomfy.outcomes import NoAnswer
from batchgen.runcomfy.pricing import ModelFacts
from batchgen.runcomfy.token import Token, find_token
from batchgen.runs.drift import LiveRules, RefusedJobs, schema_differences, ways_out
from batchgen.runs.estimates import (
    UNASKED,
    Alike,
    Cost,
    Funds,
    PriceSources,
    cost_of,
    price_list,
    published_price,
)
from batchgen.runs.options import effective_policy
from batchgen.state.costs import typical_cost
from batchgen.state.due import pending_bodies, pending_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping

    from batchgen.engine.events import Listener
    from batchgen.manifest.header import Manifest
    from batchgen.manifest.policy import Policy
    from batchgen.models.catalog import Catalog, Model
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runcomfy.outcomes import Halted
    from batchgen.runs.context import RunContext, World
    from batchgen.runs.estimates import PriceList
    from batchgen.runs.options import RunOptions
    from batchgen.runs.tuning import PricesFor
    from batchgen.runs.workload import Workload
    from batchgen.state.database import Connection
    from batchgen.state.selection import Selection
    from batchgen.state.store import Store


def estimated(
    db: Connection,
    models: Iterable[str],
    selection: Selection,
    policy: Policy,
    live: VendorFacts,
) -> Cost:
    """What the selected pending jobs of these models will cost."""
    return sum((_of_model(db, model, selection, policy, live) for model in models), Cost())


def _of_model(
    db: Connection, model: str, selection: Selection, policy: Policy, live: VendorFacts
) -> Cost:
    sources = price_sources(db, model, policy, live)
    work = pending_work(db, model, selection, by_amount=sources.by_amount)
    return cost_of([Alike(*one) for one in work], sources)


def price_sources(db: Connection, model: str, policy: Policy, live: VendorFacts) -> PriceSources:
    limits, facts, known = policy.models.get(model), live.facts.get(model), live.catalog.find(model)
    return PriceSources(
        own=limits.price if limits else None,
        vendor=(facts.price if facts else None) or published_price(known),
        typical=typical_cost(db, model),
        model=known,
    )


LIMITS = Limits(connect=5.0, read=10.0)
BEFORE_A_RUN = 4.0
"""Seconds that a run waits for these facts, which it can do without."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VendorFacts:
    """`trouble` says why some models were not asked about; empty if all were.

    `balance` is the account's, in USD; None: not known, and `no_balance` says why. `catalog` has
    the schemas and prices that it is compared with.
    """

    facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    trouble: str = ""
    balance: float | None = None
    no_balance: str = ""
    catalog: Catalog = field(default_factory=bundled)

    def differences(self) -> dict[str, list[str]]:
        """For each model whose current schema differs from the one in the catalog."""
        found = {
            model: _differences(self.catalog.find(model), facts)
            for model, facts in self.facts.items()
        }
        return {model: sentences for model, sentences in found.items() if sentences}

    def rules(self, policy: Policy) -> LiveRules:
        """What the current schemas forbid."""
        changed = {name: self.facts[name].schema or {} for name in self.differences()}
        return LiveRules(changed, policy, self.catalog)

    def name_of(self, model: str) -> str:
        """What the catalog's schema of a model is called: `bundled` or `added`."""
        known = self.catalog.find(model)
        return "bundled" if known is None else name_of_known(known)

    @property
    def compared(self) -> list[str]:
        """Models with a known current schema."""
        return [model for model, facts in self.facts.items() if facts.schema is not None]


def _differences(known: Model | None, facts: ModelFacts) -> list[str]:
    if known is None or facts.schema is None:
        return []
    return schema_differences(known.schema, facts.schema, known_as=name_of_known(known))


def name_of_known(model: Model) -> str:
    """What the schema that batchgen checks with is called beside the vendor's of today."""
    return "bundled" if bundled().find(model.id) is model else "added"


async def ask_about(
    models: Iterable[str], manifest: Manifest, options: RunOptions, world: World
) -> VendorFacts:
    """Ask for a plan. Raises UsageError for an unusable base of the API."""
    base = "" if options.emulator else api_base(world.env)
    try:
        token = None if options.emulator else find_token(world.env, world.home)
    except TokenError as exc:
        # A run says where it looked for the token: a plan does not need one.
        why = exc.what.partition(":")[0]
        return VendorFacts(trouble=why, no_balance=why, catalog=manifest.catalog)
    env = {} if options.emulator else world.env
    async with _connected(base, token, Proxies.of(world.env), manifest) as api:
        return await ask_vendor(api, models, env, LIMITS.read, manifest.catalog)


@asynccontextmanager
async def _connected(
    base: str, token: Token | None, proxies: Proxies, manifest: Manifest
) -> AsyncIterator[RunComfy]:
    if token is not None:
        async with connect(base, token, limits=LIMITS, proxies=proxies) as api:
            yield api
        return
    # Loaded here: a plan for the vendor needs no web server.
    from batchgen.emulator import EmulatorSettings, running_emulator  # noqa: PLC0415 - see above

    async with (
        running_emulator(EmulatorSettings(schemas=manifest.schema_folders)) as emulator,
        connect(emulator.base_url, Token("rehearsal", "the emulator"), limits=LIMITS) as api,
    ):
        yield api


async def ask_vendor(
    api: RunComfy,
    models: Iterable[str],
    env: Mapping[str, str],
    seconds: float,
    catalog: Catalog,
) -> VendorFacts:
    """Ask about each model and the balance, all at once, and wait at most `seconds`.

    A rehearsal is given no `env`: it must not ask for an account's balance.
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
    return VendorFacts(
        facts,
        troubles[0] if troubles else "",
        left if isinstance(left, float) else None,
        "" if isinstance(left, float) else left.reason,
        catalog,
    )


async def _balance(api: RunComfy, env: Mapping[str, str]) -> float | NoAnswer | Halted:
    try:
        base = wallet_base(env, api.base)
    except UsageError as exc:
        # Used only to ask for the balance, so it stops no run.
        return NoAnswer(f"{exc.where}: {exc.what}")
    if base is None:
        return NoAnswer(f"the API is not at its usual address, and {WALLET_VARIABLE} is not set")
    return await api.balance(base)


SHOWN_RULES = 20


@dataclass(frozen=True, slots=True)
class FactsBeforeRun:
    """What the vendor says before a run submits anything. `outdated`: inputs it takes no longer."""

    rules: LiveRules
    outdated: Pause | None
    funds: Funds
    prices: PriceList
    prices_for: PricesFor


async def facts_before_run(
    context: RunContext,
    store: Store,
    workload: Workload,
    api: RunComfy,
    emit: Listener,
    *,
    streams: bool,
) -> FactsBeforeRun:
    """Raises InputError for an input or a price that the run cannot go on with.

    `streams`: jobs of any model may still come.
    """
    catalog = context.manifest.catalog
    late_models = tuple(catalog.models) if streams else ()
    live = await _of_models(context, api, workload, late_models)
    rules = live.rules(context.manifest.policy)
    outdated = await _pause_or_refuse_outdated(store, rules, workload)
    funds = await _funds_of(context, store, workload, live)
    if short_of_funds := funds.warning():
        emit(Warned(short_of_funds))
    prices_for = partial(
        price_list,
        api,
        models=workload.priced,
        catalog=catalog,
        may_come=late_models,
        known=live.facts,
    )
    policy = effective_policy(context.manifest.policy, context.options)
    prices = await prices_for(policy, collecting=workload.is_collecting)
    return FactsBeforeRun(rules, outdated, funds, prices, prices_for)


async def _of_models(
    context: RunContext, api: RunComfy, workload: Workload, late_models: Iterable[str]
) -> VendorFacts:
    """What the vendor currently says, if there is something to submit."""
    if not workload.models:
        return VendorFacts(catalog=context.manifest.catalog)
    env = {} if context.options.emulator else context.world.env
    models = dict.fromkeys((*workload.models, *late_models))
    return await ask_vendor(api, models, env, BEFORE_A_RUN, context.manifest.catalog)


async def _pause_or_refuse_outdated(
    store: Store, rules: LiveRules, workload: Workload
) -> Pause | None:
    """Check what is to be submitted against the vendor's current schemas.

    Raises InputError. If something is already paid for, it returns a pause instead: the paid
    results are collected, and nothing is submitted.
    """
    outdated = await store.run(_judged, rules, workload.selection)
    if not outdated:
        return None
    what, next_step = _sentences(outdated), ways_out(outdated.models[0])
    if workload.is_collecting:
        return pause_for(PauseReason.SCHEMA, problems=what, ways_out=next_step)
    raise InputError(what, next_step=next_step)


def _judged(db: Connection, rules: LiveRules, selection: Selection) -> RefusedJobs:
    return rules.judged(lambda model: pending_bodies(db, model, selection))


def _sentences(outdated: RefusedJobs) -> str:
    lines = outdated.lines()
    shown = [f"  {line}" for line in lines[:SHOWN_RULES]]
    more = [f"  and {len(lines) - SHOWN_RULES} more"] if len(lines) > SHOWN_RULES else []
    what = "the vendor's current schema no longer takes some inputs; nothing is submitted"
    return "\n".join([what, *shown, *more])


async def _funds_of(
    context: RunContext, store: Store, workload: Workload, live: VendorFacts
) -> Funds:
    if live.balance is None:
        return UNASKED
    policy, selection = context.manifest.policy, workload.selection
    cost = await store.run(estimated, workload.models, selection, policy, live)
    budget = effective_policy(policy, context.options).budget
    most = None if budget is None else max(0.0, budget - workload.money.committed)
    return Funds(live.balance, cost, most)
