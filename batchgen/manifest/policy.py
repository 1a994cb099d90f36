"""`run:` and `output:` of a manifest: how to run it, and where to put the results.

`SETTINGS` is the one table of the keys under `run:`. The schema file, the command line, the options
of a run and the engine's policy are checked against it or made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from batchgen.manifest.units import (
    Rate,
    parse_bytes,
    parse_duration,
    parse_moment,
    parse_rate,
    read_halt,
)
from batchgen.storage.locations import BucketLocation, parse_location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchgen.manifest.units import Halt, Moment


DEFAULT_NAME = "{{ id }}"

AUTO: Literal["auto"] = "auto"
Concurrency: TypeAlias = int | Literal["auto"]
"""Requests in flight: at most so many, or as many as keep the vendor's workers fed."""

OWN: Literal["own"] = "own"
SHARED: Literal["shared"] = "shared"
Account: TypeAlias = Literal["own", "shared"]
"""Whose the limits are: this run's own, or shared by runs of one account on this machine."""


class OnUnknown(StrEnum):
    """What to do with a job whose submit has an unknown outcome."""

    HOLD = "hold"
    RESUBMIT = "resubmit"


class CheckInputs(StrEnum):
    """Whether to check the images behind the URLs of an input before money is spent."""

    AUTO = "auto"
    OFF = "off"


class FullCheck(StrEnum):
    """Whether the first run of a huge manifest may start before the last job is checked."""

    AUTO = "auto"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """Limits of one model, besides those of the run. `price` is USD per request.

    `accept_fields` are keys of its input that are sent unchecked.
    """

    concurrency: int | None = None
    rate: Rate | None = None
    price: float | None = None
    accept_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """`concurrency` is the most requests in flight, or `auto`: as many as the vendor works on.

    `timeout` in seconds, for one request from accept to end; `budget` in USD.

    Nothing is submitted before `start_at`, nor after `stop_at` or `max_duration` (seconds from the
    first moment at which a submit is allowed); what is under way then goes on. `canary` jobs of
    each model and sweep go first, and the rest once those are done; 0 means no canary. `reuse`:
    take results of other runs on this machine. `account`: whether the limits are shared with the
    other runs of the account that share theirs.
    """

    concurrency: Concurrency = AUTO
    rate: Rate | None = None
    retries: int = 0
    timeout: float = 3600.0
    budget: float | None = None
    on_unknown: OnUnknown = OnUnknown.HOLD
    models: Mapping[str, ModelPolicy] = field(default_factory=dict)
    halt: Halt | None = None
    start_at: Moment | None = None
    stop_at: Moment | None = None
    max_duration: float | None = None
    canary: int = 0
    check_inputs: CheckInputs = CheckInputs.AUTO
    full_check: FullCheck = FullCheck.AUTO
    reuse: bool = False
    account: Account = OWN


DATA = "data"


@dataclass(frozen=True, slots=True)
class Output:
    """`dir` is the run's folder, relative to the working directory; it has the state.

    Results are in the `bucket`, such as `s3://bucket/prefix`, or below `dir` if that is empty.
    `name` is the template of file names.

    `allow_hosts` are hosts, or `*.domain`, that results may come from besides the vendor's own.
    Nothing is submitted unless `min_free` bytes are free: 0 never checks, None leaves the limit to
    the engine.
    """

    dir: Path
    bucket: str = ""
    name: str = DEFAULT_NAME
    allow_hosts: tuple[str, ...] = ()
    min_free: int | None = None
    embed: bool = False


@dataclass(frozen=True, slots=True)
class InputSettings:
    """How the user's own files reach the vendor.

    `send` is `data`, for data: URIs in the request itself, or a bucket such as `s3://bucket/prefix`.
    With `fit`, pictures that are too large or in another format are scaled and re-encoded as they
    are sent; the files stay as they are. With `outside`, paths in data files may lead anywhere.
    """

    send: str = DATA
    fit: bool = False
    outside: bool = False

    @property
    def by_data(self) -> bool:
        return self.send == DATA


def build_inputs(inputs: Mapping[str, Any]) -> InputSettings:
    return InputSettings(
        inputs.get("send", DATA), inputs.get("fit", False), inputs.get("outside", False)
    )


def _models(parts: Mapping[str, Any]) -> dict[str, ModelPolicy]:
    return {model_id: _model_policy(part) for model_id, part in parts.items()}


def _model_policy(part: Mapping[str, Any]) -> ModelPolicy:
    return ModelPolicy(
        part.get("concurrency"),
        _rate(part.get("rate")),
        part.get("price"),
        tuple(part.get("accept_fields", ())),
    )


def _rate(text: str | None) -> Rate | None:
    return None if text is None else parse_rate(text)


def _halt(part: Mapping[str, Any] | None) -> Halt | None:
    """None if there is no valid `failed`: an invalid one has been left out."""
    return read_halt(part["failed"], part.get("after")) if part and "failed" in part else None


def _moment_or_none(text: str | None) -> Moment | None:
    return None if text is None else parse_moment(text)


def _duration_or_none(text: str | float | None) -> float | None:
    return None if text is None else parse_duration(text)


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Setting:
    """A key under `run:`, and the field of Policy that has its name.

    `default` is written as in a manifest; `read` turns a valid value into the policy's. With
    `is_flag`, a command-line option and a field of RunOptions of the same name override it.
    """

    key: str
    default: Any = None
    read: Callable[[Any], Any] = _unchanged
    is_flag: bool = False


SETTINGS = (
    Setting("concurrency", AUTO, is_flag=True),
    Setting("rate", None, _rate, is_flag=True),
    Setting("retries", 0),
    Setting("timeout", "1h", parse_duration),
    Setting("budget", is_flag=True),
    Setting("on_unknown", "hold", OnUnknown),
    Setting("models", {}, _models),
    Setting("halt", None, _halt),
    Setting("start_at", None, _moment_or_none, is_flag=True),
    Setting("stop_at", None, _moment_or_none, is_flag=True),
    Setting("max_duration", None, _duration_or_none, is_flag=True),
    Setting("canary", 0),
    Setting("check_inputs", "auto", CheckInputs),
    Setting("full_check", "auto", FullCheck),
    Setting("reuse", default=False, is_flag=True),
    Setting("account", OWN, is_flag=True),
)


def build_policy(run: Mapping[str, Any]) -> Policy:
    """Build the policy from valid values; a key that is absent has its default.

    `run.models` names the models by their ids.
    """
    return Policy(**{one.key: one.read(run.get(one.key, one.default)) for one in SETTINGS})


def build_output(output: Mapping[str, Any], name: str) -> Output:
    results = parse_location(output.get("dir", f"output/{name}"))
    bucket, folder = "", Path(f"output/{name}")
    if isinstance(results, BucketLocation):
        bucket = results.url
    else:
        folder = results.root
    if "state" in output:
        folder = Path(output["state"])
    return Output(
        # Otherwise `~` becomes a folder of that name, which is dangerous to delete.
        dir=folder.expanduser() if folder.parts[:1] == ("~",) else folder,
        bucket=bucket,
        name=output.get("name", DEFAULT_NAME),
        allow_hosts=tuple(output.get("allow_hosts", ())),
        min_free=parse_bytes(output["min_free"]) if "min_free" in output else None,
        embed=output.get("embed", False),
    )
