"""How long calls to the vendor may take, and how many may be open at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, but for `connections`.

    `submit` is very long: the engine has its own deadline and records late answers. If it were less
    than `connect`, it would be unclear whether anything was sent. Of a large body it counts from
    the moment that all of it was handed over; before, `stall` is the longest time without progress.
    `keep_alive` is short, so that a poll seldom gets a connection that the server just closed.
    `connections` 0 is no limit: the engine limits what is in flight, and a second queue here would
    only hide it. `asks`, where it is not 0, is how many GET requests may be open at once, since
    open files are limited; others wait before their time starts.
    """

    connect: float = 10.0
    read: float = 30.0
    submit: float = 600.0
    stall: float = 60.0
    keep_alive: float = 4.0
    connections: int = 0
    asks: int = 0


DEFAULT_LIMITS = Limits()
