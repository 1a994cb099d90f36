"""The options of a run, and the policy that they and the manifest make together. Pure.

An option overrides the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, time
from typing import TYPE_CHECKING

from batchgen.cluster.address import LOCAL, parse_address
from batchgen.engine.policy import EnginePolicy
from batchgen.errors import InputError, UsageError
from batchgen.manifest.policy import AUTO, OWN, SETTINGS, SHARED
from batchgen.manifest.units import Moment, Rate, moment_text
from batchgen.notify import read_address
from batchgen.state.queries import Selection
from batchgen.state.reconcile import OnChanged
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.manifest.policy import Account, Concurrency, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """At most `limit` jobs are started; `emulator` rehearses without a token or money.

    `budget` in USD. Submits begin at `start_at`; `stop_at` and `max_duration` (seconds) end them.
    `emulator_latency` is how many seconds a rehearsed request takes; None: the emulator's default.
    `accept_copy` continues with a copied state file. If the state is gone, `recover` continues with
    the requests that run.log names, and `start_over` pays for all jobs again. `take_over` continues
    in a folder that another manifest was last run in. `strict` refuses a manifest with a warning.
    `reuse` takes results of other runs on this machine. `account="shared"` shares concurrency and
    rate with the other runs of the account that do so.
    `ray` is a cluster that does the heavy work on files: HOST:PORT, or "local" for one of its own.
    `notify` are apprise addresses that replace the manifest's; they may contain secrets.
    """

    emulator: bool = False
    emulator_latency: float | None = None
    concurrency: Concurrency | None = None
    rate: Rate | None = None
    retry_failed: bool = False
    selection: Selection = field(default_factory=Selection)
    limit: int | None = None
    budget: float | None = None
    start_at: Moment | None = None
    stop_at: Moment | None = None
    max_duration: float | None = None
    reuse: bool | None = None
    account: Account | None = None
    on_changed: OnChanged = OnChanged.REFUSE
    accept_copy: bool = False
    recover: bool = False
    start_over: bool = False
    take_over: bool = False
    strict: bool = False
    ray: str | None = None
    notify: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name in ("limit", "concurrency"):
            number = getattr(self, name)
            if number in {None, AUTO} and name == "concurrency":
                continue
            if number is not None and not (isinstance(number, int) and number >= 1):
                raise UsageError(f"{name} is {number}; it must be 1 or more")
        if self.recover and self.start_over:
            raise UsageError("recover follows earlier requests, start_over forgets them: set one")
        if self.rate is not None and not isinstance(self.rate, Rate):
            raise UsageError("rate must be a batchgen.Rate, e.g. Rate(60, 60.0) for 60 a minute")
        if self.max_duration is not None and not self.max_duration > 0:
            raise UsageError(f"max_duration is {self.max_duration}; it must be more than 0 seconds")
        if self.budget is not None and not 0 < self.budget < float("inf"):
            raise UsageError(f"budget is {self.budget}; it must be more than 0 USD")
        self._check_kinds()
        parse_address(self.ray or LOCAL)
        if not isinstance(self.notify, tuple):
            raise UsageError("notify must be a tuple of addresses")
        for position, url in enumerate(self.notify, start=1):
            _check_address(url, position)

    def _check_kinds(self) -> None:
        for name in ("start_at", "stop_at"):
            if not isinstance(getattr(self, name), time | datetime | None):
                raise UsageError(f"{name} must be a datetime.time or a datetime.datetime")
        if self.account not in {None, OWN, SHARED}:
            raise UsageError(f"account is {self.account!r}; it must be '{OWN}' or '{SHARED}'")
        if not isinstance(self.on_changed, OnChanged):
            raise UsageError("on_changed must be one of batchgen.OnChanged's values")

    def command(
        self, manifest: Path, *more: str, emulator: bool | None = None, verb: str = ""
    ) -> str:
        """Build the command that asks for the same again, and for the options `more` besides.

        It has no addresses of `notify`, which may hold secrets. `emulator` overrides the option.
        """
        emulator = self.emulator if emulator is None else emulator
        verb = verb or ("retry" if self.retry_failed else "run")
        words = [*self._option_words(emulator=emulator)]
        # These two exclude each other.
        if not {"--recover", "--start-over"}.intersection(more):
            words += ["--recover"] * self.recover + ["--start-over"] * self.start_over
        words += [one for one in more if one not in words]
        return command_line(verb, manifest, *words, emulator=emulator)

    def _option_words(self, *, emulator: bool) -> Iterator[str]:
        one = self.selection
        for name, globs in (
            ("job", one.jobs),
            ("model", one.models),
            ("tag", one.tags),
            ("state", one.states),
            ("cause", one.causes),
        ):
            yield from (f"--{name}={glob}" for glob in globs)
        values = {
            "limit": self.limit,
            "budget": None if self.budget is None else f"{self.budget:.15g}",
            "concurrency": self.concurrency,
            "rate": self.rate,
            "account": self.account,
            "start-at": self.start_at and moment_text(self.start_at),
            "stop-at": self.stop_at and moment_text(self.stop_at),
            "max-duration": self.max_duration and f"{self.max_duration:.15g}s",
            "latency": self.emulator_latency if emulator else None,
            "ray": self.ray,
            "changed": None if self.on_changed is OnChanged.REFUSE else self.on_changed,
        }
        if self.reuse is not None:
            yield "--reuse" if self.reuse else "--no-reuse"
        yield from (f"--{name}={value}" for name, value in values.items() if value is not None)
        flags = {"accept-copy": self.accept_copy, "take-over": self.take_over}
        yield from (f"--{name}" for name, given in flags.items() if given)
        yield from ["--strict"] * self.strict


PLAIN = RunOptions()
"""What `batchgen run MANIFEST` asks for."""


def _check_address(url: str, position: int) -> None:
    """Raise UsageError for an address that cannot be used, without showing the address."""
    try:
        read_address(url)
    except InputError as exc:
        raise UsageError(
            f"address {position} {exc.what}", where="--notify", next_step=exc.next_step
        ) from exc


def effective_policy(policy: Policy, options: RunOptions) -> Policy:
    """The manifest's policy, overridden by the options."""
    given = {one.key: getattr(options, one.key) for one in SETTINGS if one.is_flag}
    return replace(policy, **{key: value for key, value in given.items() if value is not None})


def engine_policy(policy: Policy, options: RunOptions) -> EnginePolicy:
    """The engine's policy, without what is known only once the run starts."""
    policy = effective_policy(policy, options)
    return EnginePolicy(**{one.key: getattr(policy, one.key) for one in SETTINGS})
