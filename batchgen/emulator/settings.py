"""The emulator's settings, and the error that stops it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.emulator.faults import Fault


class EmulatorError(Exception):
    """The emulator cannot start or go on: `what` happened, and the `next_step` to take."""

    def __init__(self, what: str, *, next_step: str, disk_is_full: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step
        self.disk_is_full = disk_is_full

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.next_step}"


MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """The defaults suit a rehearsal.

    `port` 0 takes a free one. `token` None accepts any that is not empty. `latency` is how long a
    request takes, in seconds, for every model; None is 1 s a picture and 2 s a video. `workers`
    requests of one model run at once. `state` is the SQLite file that keeps requests; None forgets
    them when the emulator stops. At most `rate` submits are accepted in any `rate_seconds`, and at
    most `max_parallel` requests are unfinished; None is no limit. A request makes
    `images_per_request` pictures unless it asks for `force_single`. `media_bytes` replaces each
    text-to-image picture by a small PNG of about that size, for benchmarks. A result URL is good
    for `url_ttl` seconds. `balance` is the wallet before the first charge, in USD; None is never
    used up.

    The folders `schemas` have more models, as `batchgen models add` writes them.

    Raises ValueError for a value out of range.
    """

    port: int = 0
    token: str | None = None
    latency: float | None = None
    workers: int = 8
    state: Path | None = None
    rate: int | None = None
    rate_seconds: float = 60.0
    max_parallel: int | None = None
    images_per_request: int = 1
    media_bytes: int | None = None
    url_ttl: float | None = None
    balance: float | None = None
    max_body_bytes: int = 64 * MEBIBYTE
    cache_bytes: int = 64 * MEBIBYTE
    faults: tuple[Fault, ...] = ()
    schemas: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        _at_least("workers", self.workers, 1)
        _at_least("images_per_request", self.images_per_request, 1)
        _at_least("latency", self.latency, 0)
        _at_least("rate", self.rate, 1)
        _at_least("max_parallel", self.max_parallel, 1)
        _at_least("media_bytes", self.media_bytes, 1)
        _at_least("url_ttl", self.url_ttl, 0)
        _at_least("balance", self.balance, 0)


def _at_least(name: str, value: float | None, lowest: int) -> None:
    # `not >=` also refuses NaN.
    if value is not None and not value >= lowest:
        raise ValueError(f"{name} is {value}; it must be {lowest} or more")
