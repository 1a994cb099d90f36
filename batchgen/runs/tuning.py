"""Limits of the run in progress: what is in force, and how you change it.

They hold until the run ends, however it ends: the next one begins with its manifest and flags.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

from batchgen.engine.auto_concurrency import MOST_AUTO
from batchgen.engine.events import Noted, Tuned, Warned
from batchgen.errors import BatchgenError, LockedError, OutputError, UsageError
from batchgen.jobs import model_alias
from batchgen.manifest.policy import AUTO
from batchgen.manifest.tuning import in_force, parse_tuning
from batchgen.runs.decision_log import Decision, Verb
from batchgen.runs.decisions import decide
from batchgen.runs.folder import is_locked
from batchgen.state.meta import Meta, limits_in_force, set_meta
from batchgen.state.queries import visible_models
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from batchgen.engine.events import Listener
    from batchgen.engine.policy import EnginePolicy
    from batchgen.engine.scheduler import Scheduler
    from batchgen.manifest.policy import Policy
    from batchgen.manifest.tuning import Tuning
    from batchgen.runs.context import FoundRun
    from batchgen.runs.decision_log import Applied
    from batchgen.runs.estimates import PriceList
    from batchgen.runs.folder import RunFolder
    from batchgen.runs.open_files import OpenFiles
    from batchgen.state.database import Connection
    from batchgen.state.store import Store


class PricesFor(Protocol):
    """Asks for the prices that the budget of a policy needs. Raises BatchgenError."""

    def __call__(self, policy: Policy, /, *, collecting: bool) -> Awaitable[PriceList]: ...


@dataclass(slots=True)
class Tuner:
    """Applies changes of limits to the running engine, and records what is in force."""

    scheduler: Scheduler
    store: Store
    listener: Listener
    open_files: OpenFiles
    prices: PriceList
    prices_for: PricesFor
    _policy: EnginePolicy = field(init=False)
    _models: tuple[str, ...] = field(init=False, default=())

    async def begin(self, policy: EnginePolicy, models: tuple[str, ...]) -> None:
        """Record what the run begins with; `models` are those that it may submit to."""
        self._policy, self._models = policy, models
        await self._record(None, None)

    async def take_up(self, applied: Iterable[Applied]) -> None:
        """Apply the changes that were decided, in order."""
        for one in applied:
            if one.decision.tuning is not None:
                await self._tune(one.decision.tuning, one.decision.at)

    async def _tune(self, tuning: Tuning, at: float) -> None:
        refused: str | None = None
        try:
            policy = await self._prepared(tuning.of(self._policy))
        except BatchgenError as exc:
            refused = exc.what
        else:
            if (pause := self.scheduler.retune(policy, at)) is None:
                self._policy = policy
            else:
                refused = f"the run only finishes what is under way: {pause.sentence}"
        await self._record(at, refused)
        if refused is None:
            self.listener(Tuned(str(tuning), in_force(self._policy, self._models)))
        else:
            self.listener(Noted(f"not tuned ({tuning}): {refused}", on_screen=True))

    async def _prepared(self, policy: EnginePolicy) -> EnginePolicy:
        """The part of it that this machine allows. Raises BatchgenError if a price is unknown."""
        if policy.budget is not None and self._policy.budget is None:
            self.prices.replace_by(await self.prices_for(policy, collecting=False))
        if policy.concurrency == self._policy.concurrency:
            return policy
        asked = MOST_AUTO if policy.concurrency == AUTO else policy.concurrency
        self.open_files = self.open_files.retuned(asked)
        if warning := self.open_files.warning(asked):
            self.listener(Warned(warning))
        return policy.within(self.open_files.submits)

    async def _record(self, at: float | None, refused: str | None) -> None:
        limits = in_force(self._policy, self._models)
        document = {**limits, "tuned_at": at, "refused": refused}
        await self.store.run(set_meta, Meta.LIMITS, json.dumps(document))


TAKEN_UP_WITHIN = 5.0
"""Seconds to wait for the run in progress, which reads decisions every second."""
ASK_EVERY = 0.1


def tune(
    run: FoundRun,
    values: Mapping[str, str],
    names: Sequence[str] = (),
    wait: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any] | None:
    """Change limits of the run in progress; returns those in force then, None if that takes longer.

    `names` are globs of models, by id or short name. Raises UsageError for what no run can have,
    where none is in progress, or where it refuses; LockedError where it has only begun;
    MissingFileError before the first run.
    """
    with run.open() as opened:
        tuning = parse_tuning(values, _models(opened.db, names))
        if not is_running(run.folder):
            raise _nothing_runs(run)
        if limits_in_force(opened.db) is None:
            raise LockedError(
                "the run in progress submits nothing yet, or nothing any more: nothing was changed",
                next_step="if it has just begun, try again in a moment",
            )
    decision = Decision(Verb.TUNE, "", time.time(), tuning=tuning)
    with decide(run.folder, run.manifest.path, [decision]) as decided:
        if decided is not None:
            raise _nothing_runs(run)
    with run.open() as opened:
        for _ in range(round(TAKEN_UP_WITHIN / ASK_EVERY)):
            limits = limits_in_force(opened.db)
            if limits is None:
                raise _nothing_runs(run)
            if (limits["tuned_at"] or 0.0) >= decision.at:
                # A later change, of another shell, may have been answered since.
                if limits["refused"] and limits["tuned_at"] == decision.at:
                    raise UsageError(f"nothing was changed: {limits['refused']}")
                return limits
            wait(ASK_EVERY)
    return None


def _models(db: Connection, names: Sequence[str]) -> list[str]:
    known = visible_models(db)
    for name in names:
        if not any(_is_called(model, name) for model in known):
            shorts = [model_alias(model) for model in known]
            raise UsageError(
                f"no job of this run has a model called '{name}'",
                next_step=did_you_mean(name, shorts) or f"its models: {', '.join(shorts)}",
            )
    return [model for model in known if any(_is_called(model, name) for name in names)]


def _is_called(model: str, name: str) -> bool:
    return fnmatchcase(model, name) or fnmatchcase(model_alias(model), name)


def _nothing_runs(run: FoundRun) -> UsageError:
    return UsageError(
        "no run is in progress: nothing was changed",
        where=run.manifest.name,
        next_step="give the limits to `batchgen run` as flags, or write them under `run:` in the"
        " manifest",
    )


def is_running(folder: RunFolder) -> bool:
    """Whether a run is in progress; yes if that cannot be found out."""
    try:
        return is_locked(folder)
    except OutputError:
        return True  # a user who may only read cannot try the lock
