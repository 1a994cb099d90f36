"""What a run may use of one limit that runs of its account share, and what it needs of it.

A limit is either of places, which requests in flight take, or of submits in a window of seconds:
so many in any such window. Arithmetic on the loop's time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from batchgen.state.account import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.units import Rate
    from batchgen.state.account import Grant

FEW, MANY = 10, 20
"""Submits in a window. More would make the wait longer for one that is given back."""


def window_of(rate: Rate) -> tuple[int, float]:
    """So many submits in so many seconds: a part of the rate that is quicker to pass on.

    A run that keeps 20 in each 20 seconds keeps 60 in each minute.
    """
    fewest = -(-rate.count // MANY)
    parts = {max(fewest, rate.count // size) for size in range(FEW, MANY + 1)}
    most, fewest_parts = max((rate.count // part * part, -part) for part in parts)
    return most // -fewest_parts, rate.seconds / -fewest_parts


@dataclass(slots=True)
class Holding:
    """One limit of the account, called `what`: what this run declares of it, and holds.

    `most` in `seconds` is declared, or at once if `seconds` is 0; None: no limit. `held` is what
    the run may use of the account's `of`, in `window`; None: no run declares such a limit. `keep`
    of it are its own: others lack the rest. `lacks`: it would have used more. `waits`: a start that
    lacks something else would use one.
    """

    what: str
    most: int | None = None
    seconds: float = 0.0
    held: int | None = 0
    of: int = 0
    keep: int = 0
    window: float = 0.0
    lacks: bool = False
    waits: bool = False
    reported_lack: bool = False

    def declare(self, most: int | None, seconds: float = 0.0) -> None:
        self.most, self.seconds = most, seconds

    def take(self, grant: Grant | None) -> None:
        self.held = self.keep = 0
        if grant is None:
            self.held = None
        else:
            self.held, self.keep = grant.reserved, grant.keep
            self.of, self.window = grant.most, grant.seconds

    def give_back(self, used: int) -> bool:
        """Give back what is not used and others lack; whether there was any."""
        if self.held is None or self.held <= max(self.keep, used):
            return False
        self.held = max(self.keep, used)
        return True

    def to_json(self) -> JsonObject:
        found: dict[str, JsonValue] = {"reserved": self.held, "of": self.of}
        return {**found, "seconds": self.window} if self.window else found

    def lack(self) -> bool:
        """More would be used at once. Whether the account does not know that yet."""
        self.lacks = True
        return not self.reported_lack


@dataclass(slots=True)
class Reserved:
    """Of one limiter. `on_news` is called when the account should know something soon.

    `unsent` jobs have started, and their submits have not gone out: each needs one. After
    `valid_until`, others may have taken what is reserved: the run was suspended.
    """

    places: Holding
    submits: Holding
    on_news: Callable[[], None]
    unsent: int = 0
    valid_until: float = inf
    _peak: int = 0
    _last_start: float = 0.0
    _sent: deque[float] = field(default_factory=lambda: deque(maxlen=MANY))

    @property
    def at_most(self) -> float:
        """How many places may be taken."""
        return inf if self.places.held is None else self.places.held

    @property
    def lacks(self) -> bool:
        return self.places.lacks or self.submits.lacks

    @property
    def pace(self) -> float:
        """Seconds between two submits. One that has started is sent in any case."""
        held = self.submits.held
        return 0.0 if held is None else self.submits.window / max(1, held)

    def opens_at(self, opening: float, now: float, taken: int, last_begun: float) -> float | None:
        """When one more may start that could start at `opening` by itself.

        None: once the account grants more, which it knows of. A place comes first, then a submit,
        in every run: if each kept one and waited for the other, nobody would go on.
        """
        if taken >= self.at_most or now > self.valid_until:
            if opening > now:
                return opening
            self._note_lack(self.places)
            return None
        self.places.waits = True
        paced = inf if self.submits.held == 0 else max(opening, last_begun + self.pace)
        if paced <= now:
            self.submits.waits = True
        elif self.submits.held is not None:
            self._note_lack(self.submits)
        return None if paced == inf else paced

    def _note_lack(self, holding: Holding) -> None:
        if holding.lack():
            self.on_news()

    def enter(self, now: float, taken: int) -> None:
        self._peak = max(self._peak, taken)
        self._last_start = now
        self.unsent += 1

    def prepared(self, sent_at: float | None, taken: int) -> None:
        """A start is over: its submit goes out at `sent_at`, or not at all."""
        self.unsent -= 1
        if sent_at is not None:
            self._sent.append(sent_at)
        self.give_back(taken)

    def give_back(self, taken: int) -> None:
        """Give back what is above this run's fair part, as far as it is not in use."""
        given = [self.places.give_back(taken), self.submits.give_back(self._due)]
        if any(given):
            self.on_news()

    @property
    def _due(self) -> int:
        return min(1, self.unsent)

    def claims(self, now: float, taken: int, ceiling: int) -> tuple[Claim, Claim]:
        """What the account is to know; `ceiling` is what is wanted where places are lacking."""
        claims = self._of_places(taken, ceiling), self._of_submits(now)
        for holding in (self.places, self.submits):
            holding.reported_lack, holding.lacks, holding.waits = holding.lacks, False, False
        self._peak = taken
        return claims

    def _of_places(self, taken: int, ceiling: int) -> Claim:
        mine, peak = self.places, max(self._peak, taken)
        return Claim(
            mine.what,
            mine.most,
            0.0,
            reserved=taken if mine.held is None else mine.held,
            used=taken,
            # One more than was used: the next start need not ask.
            wanted=ceiling if mine.lacks else min(ceiling, peak + (mine.waits or peak > 0)),
            last_used=self._last_start,
        )

    def _of_submits(self, now: float) -> Claim:
        mine, window = self.submits, self.submits.window
        sent = tuple(at for at in self._sent if at > now - window)
        recent = self._due + len(sent)
        return Claim(
            mine.what,
            mine.most,
            mine.seconds,
            reserved=mine.held or 0,
            used=self._due,
            wanted=MANY if mine.lacks else recent + (mine.waits or recent > 0),
            window=window,
            last_used=self._last_start,
            sent=sent,
        )

    def lapse(self, now: float, taken: int) -> None:
        """Count only what is in use, if the rest may be another run's by now."""
        if now > self.valid_until:
            for holding, used in ((self.places, taken), (self.submits, self._due)):
                holding.keep = 0
                holding.give_back(used)

    def take(self, grants: Mapping[str, Grant], taken: int, valid_until: float = inf) -> None:
        """What the account grants from now on."""
        self.valid_until = valid_until
        for holding in (self.places, self.submits):
            holding.take(grants.get(holding.what))
        self.give_back(taken)
