"""Limits that are changed while a run goes on: read, written down, put into a policy. Pure.

A change is kept as it is written in a manifest, so that a line in decisions.jsonl can be read by
people; `none` lifts a limit, and is null in JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from batchgen.errors import InputError, UsageError
from batchgen.jobs import model_alias
from batchgen.manifest.policy import AUTO, Concurrency, ModelPolicy, Policy
from batchgen.manifest.units import moment_text, parse_duration, parse_moment, parse_rate
from batchgen.text import format_setting, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from batchgen.jobs import JsonObject, JsonValue

P = TypeVar("P", bound=Policy)

NONE = "none"
MOST_AT_ONCE = 1000
LONGEST = 60
"""Characters. No limit is written longer."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """New values by key, None where a limit is lifted: of the run, or of these `models` alone."""

    values: Mapping[str, str | None]
    models: tuple[str, ...] = ()

    def of(self, policy: P) -> P:
        """The policy with these values."""
        read = {key: _read(key, text) for key, text in self.values.items()}
        if not self.models:
            return replace(policy, **read)
        own = {name: policy.models.get(name, ModelPolicy()) for name in self.models}
        tuned = {name: replace(one, **read) for name, one in own.items()}
        return replace(policy, models={**policy.models, **tuned})

    def to_json(self) -> JsonObject:
        return {"set": dict(self.values), "models": list(self.models)}

    def __str__(self) -> str:
        whose = ", ".join(map(model_alias, self.models))
        changes = " · ".join(f"{key} {text or NONE}" for key, text in self.values.items())
        return f"{whose}: {changes}" if whose else changes


def parse_concurrency(text: str) -> Concurrency:
    """Raises InputError."""
    if text.strip().casefold() == AUTO:
        return AUTO
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_AT_ONCE:
        return int(text)
    raise InputError(f"must be {AUTO}, or a number from 1 to {MOST_AT_ONCE}; got '{text}'")


def _budget(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if 0 < amount < float("inf"):
        return amount
    raise InputError(f"a budget is more than 0 USD; got '{text}'")


READERS: Mapping[str, Callable[[str], Any]] = {
    "concurrency": parse_concurrency,
    "rate": parse_rate,
    "budget": _budget,
    "stop_at": parse_moment,
    "max_duration": parse_duration,
}
"""What can be changed while a run goes on, with the reader that also the manifest has."""
OF_MODELS = ("concurrency", "rate")


def parse_tuning(values: Mapping[str, str], models: Iterable[str] = ()) -> Tuning:
    """Read what a person wrote. Raises UsageError for what no run can have."""
    found = Tuning({key: _lifted(text) for key, text in values.items()}, tuple(models))
    if not found.values:
        options = ", ".join(f"--{key.replace('_', '-')}" for key in READERS)
        raise UsageError("nothing is to be changed", next_step=f"give one of {options}")
    for key, text in found.values.items():
        if found.models and key not in OF_MODELS:
            raise UsageError(
                f"{key} is of the whole run: only {' and '.join(OF_MODELS)} can be a model's",
                next_step="leave the model out, or change both one after the other",
            )
        if key == "concurrency" and text is None and not found.models:
            raise UsageError(
                f"a run needs a concurrency: {AUTO}, or a number from 1 to {MOST_AT_ONCE}"
            )
        if found.models and text is not None and text.strip().casefold() == AUTO:
            raise UsageError(
                "auto is of the whole run: a model has a number, or none",
                next_step="give none, and the model has what the run has",
            )
        if text is not None and len(text) > LONGEST:
            raise UsageError(f"no {key} has more than {LONGEST} characters")
        try:
            _read(key, text)
        except InputError as exc:
            raise UsageError(exc.what, where=key, next_step=exc.next_step) from exc
    return found


def read_tuning(document: Any) -> Tuning | None:
    """Read a line that `to_json` made; None for anything else."""
    try:
        values, models = dict(document["set"]), tuple(document["models"])
        texts = {key: NONE if text is None else text for key, text in values.items()}
        sound = all(isinstance(text, str) and len(text) <= LONGEST for text in texts.values())
        sound = sound and all(isinstance(name, str) and name.encode() for name in models)
        return parse_tuning(texts, models) if sound and texts.keys() <= READERS.keys() else None
    except (KeyError, TypeError, ValueError, UsageError):
        return None


def _lifted(text: str) -> str | None:
    text = text.strip()
    return None if text.casefold() == NONE else text


def _read(key: str, text: str | None) -> Any:
    return None if text is None else READERS[key](text)


def in_force(policy: Policy, models: Iterable[str]) -> JsonObject:
    """What limits a run, as it is written in a manifest; the limits of `models`, even if none."""
    own = {name: policy.models.get(name, ModelPolicy()) for name in models}
    limits: dict[str, JsonValue] = {
        name: {"concurrency": one.concurrency, "rate": _text(one.rate)} for name, one in own.items()
    }
    longest = policy.max_duration
    return {
        "concurrency": policy.concurrency,
        "rate": _text(policy.rate),
        "budget": policy.budget,
        "stop_at": _moment(policy),
        "max_duration": None if longest is None else format_setting(longest),
        "account": policy.account,
        "models": limits,
    }


def _moment(policy: Policy) -> str | None:
    return None if policy.stop_at is None else moment_text(policy.stop_at)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def limits_line(limits: Mapping[str, Any]) -> str:
    """What is in force, for people; `limits` as `in_force` made them."""
    budget = limits["budget"]
    at_once = limits["concurrency"]
    parts = [
        "concurrency auto" if at_once == AUTO else f"{at_once} at once",
        *([limits["rate"]] if limits["rate"] else []),
        *([f"budget {budget:,.2f} USD"] if budget is not None else []),
        *([f"until {limits['stop_at'].replace('T', ' ')}"] if limits["stop_at"] else []),
        *([f"for {limits['max_duration']}"] if limits["max_duration"] else []),
    ]
    for name, own in limits["models"].items():
        at_once = [f"{own['concurrency']} at once"] if own["concurrency"] else []
        if some := [*at_once, *([own["rate"]] if own["rate"] else [])]:
            parts.append(f"{model_alias(name)}: {', '.join(some)}")
    for name, found in limits.get("found", {}).items():
        parts.append(f"{model_alias(name)}: {found['at_once']} at once: {found['why']}")
    if (shared := limits.get("shared")) is not None:
        parts.append(shared_line(shared))
    return " · ".join(parts)


def shared_line(shared: Mapping[str, Any]) -> str:
    """What this run may use of the limits that it shares, for people."""
    others = shared["others"]
    if others is None:
        return "cannot be shared with other runs just now"
    whom = plural(others, "other run") if others else "no other run just now"
    parts = [*_parts_of(shared)]
    for name, own in shared["models"].items():
        parts += [f"{model_alias(name)}: {part}" for part in _parts_of(own)]
    return f"shared with {whom}" + (f": {', '.join(parts)}" if parts else "")


def _parts_of(shared: Mapping[str, Any]) -> Iterator[str]:
    if places := shared.get("places"):
        yield f"{places['reserved']} of {plural(places['of'], 'place')}"
    if submits := shared.get("submits"):
        of = f"{plural(submits['of'], 'submit')} in {format_setting(submits['seconds'])}"
        yield f"{submits['reserved']} of {of}"
