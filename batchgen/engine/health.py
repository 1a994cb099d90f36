"""When trouble is no longer one job's: counting that leads to waiting, and at last to a pause.

Trouble such as a silent network, an impatient vendor, too many unknown outcomes or failures.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from batchgen.engine.backoff import delay
from batchgen.engine.events import Slowed
from batchgen.jobs import JobState
from batchgen.pauses import Pause, PauseReason, pause_for
from batchgen.runcomfy.outcomes import (
    Accepted,
    Gateway,
    Halted,
    NotSent,
    Refused,
    Throttled,
    Unclear,
)
from batchgen.state.causes import cause_key

if TYPE_CHECKING:
    from random import Random

    from batchgen.engine.control import Control
    from batchgen.engine.limits import RateLimiter
    from batchgen.manifest.units import Halt
    from batchgen.runcomfy.outcomes import SubmitOutcome


UNKNOWNS = 5
UNKNOWN_WINDOW = 60.0
GATEWAYS_IN_A_ROW = 8
REFUSALS_IN_A_ROW = 10
FEWEST_THROTTLES = 5
FAILURES_BEFORE_CONTACT = 5
SECONDS_BEFORE_CONTACT = 10.0
LONGEST_BACK_OFF = 10.0
LONGEST_BACK_OFF_ALONE = 60.0
"""Seconds between two submits that were answered with 429: with requests of ours in flight, and
without any."""
LONGEST_OUTAGE = 900.0
"""Seconds, both for a vendor that does not answer and for one that asks to wait."""


_GATEWAY_CURES = {
    401: "check the token, and whether a proxy wants a login of its own",
    407: "log in to the proxy, or go around it",
}
_GATEWAY_CURE = "check the network, a VPN and the proxy, and the vendor's status page"


@dataclass(slots=True)
class UnknownBreaker:
    """Five unknown outcomes within a minute: something is wrong with the vendor or the network."""

    _times: deque[float] = field(default_factory=lambda: deque(maxlen=UNKNOWNS))

    def trips(self, now: float) -> bool:
        """Count one more at the loop's time `now`."""
        self._times.append(now)
        return len(self._times) == UNKNOWNS and now - self._times[0] <= UNKNOWN_WINDOW


@dataclass(slots=True)
class ThrottleBreaker:
    """429 after 429 for a long time, and nothing accepted in between: waiting does not help.

    The first ones may be far apart, since each Retry-After is obeyed: so a few are needed.
    """

    in_a_row: int = 0
    since: float | None = None

    def trips(self, now: float) -> bool:
        """Count one more at the loop's time `now`."""
        self.in_a_row += 1
        self.since = now if self.since is None else self.since
        return self.in_a_row >= FEWEST_THROTTLES and now - self.since >= LONGEST_OUTAGE

    def reset(self) -> None:
        self.in_a_row = 0
        self.since = None


@dataclass(slots=True)
class GatewayBreaker:
    """Submits answered by a gateway or proxy on the way, and none accepted in between.

    With the waits in between that is about two minutes: long enough for a firewall to reload.
    """

    in_a_row: int = 0

    def trips(self) -> bool:
        self.in_a_row += 1
        return self.in_a_row >= GATEWAYS_IN_A_ROW

    def reset(self) -> None:
        self.in_a_row = 0


@dataclass(slots=True)
class RefusalBreaker:
    """The last ten submits that have an answer were all refused with the same cause.

    Each job is refused only once in a run, so these are ten jobs: the cause is not theirs, or it
    concerns all, such as an empty account that the vendor reports with an undocumented code. The
    same text may name another id or balance each time. The order is that of sending, not of the
    answers: an acceptance that comes late says nothing about what was sent after it.
    """

    _answers: list[tuple[int, str | None]] = field(default_factory=list)

    def accepted(self, sent: int) -> None:
        """`sent` numbers the submits of a run in the order in which they went out."""
        self._note(sent, None)

    def trips(self, sent: int, code: str, reason: str) -> bool:
        cause = cause_key("", JobState.FAILED, code, reason)
        self._note(sent, cause)
        is_enough = len(self._answers) == REFUSALS_IN_A_ROW
        return is_enough and {known for _, known in self._answers} == {cause}

    def _note(self, sent: int, cause: str | None) -> None:
        insort(self._answers, (sent, cause))
        del self._answers[:-REFUSALS_IN_A_ROW]


@dataclass(slots=True)
class FailureBreaker:
    """So many jobs of this run failed that the next ones would be paid for in vain.

    Only jobs count that this run sent and that have ended: delivered by the vendor, or failed for
    good. A delivery counts before its download, since failures have none and would be counted
    sooner. What an earlier run sent does not count: its lost requests would halt each run again.
    """

    halt: Halt | None
    ended: int = 0
    failed: int = 0
    _causes: Counter[str] = field(default_factory=Counter)
    _reasons: dict[str, str] = field(default_factory=dict)

    def delivered(self) -> bool:
        """Count one more; True where the limit is reached now that enough have ended."""
        self.ended += 1
        return self._is_reached()

    def fails(self, code: str, reason: str) -> bool:
        """Count one more; True where the limit is reached."""
        self.ended += 1
        self.failed += 1
        self._causes[code] += 1
        self._reasons.setdefault(code, reason)
        return self._is_reached()

    def pause(self) -> Pause:
        """The counts and the commonest cause, once something failed."""
        ((code, times),) = self._causes.most_common(1)
        return pause_for(
            PauseReason.FAILURES,
            failed=self.failed,
            ended=self.ended,
            times=times,
            code=code,
            reason=self._reasons[code],
        )

    def _is_reached(self) -> bool:
        return self.halt is not None and self.halt.is_reached(self.failed, self.ended)


@dataclass(slots=True)
class OutageBreaker:
    """The API does not answer.

    Before the first answer of a run a few tries are enough to pause; after it, the run must survive
    a network that is down for some minutes.
    """

    reached: bool = False
    in_a_row: int = 0
    since: float | None = None

    def contact(self) -> None:
        self.reached = True
        self.in_a_row = 0
        self.since = None

    def trips(self, now: float) -> bool:
        """Count one more failure at the loop's time `now`."""
        self.in_a_row += 1
        self.since = now if self.since is None else self.since
        lasted = now - self.since
        if not self.reached:
            return self.in_a_row >= FAILURES_BEFORE_CONTACT and lasted >= SECONDS_BEFORE_CONTACT
        return lasted >= LONGEST_OUTAGE


@dataclass(slots=True)
class ModelHealth:
    """How one model does in this run. `refused`: the vendor refuses the model as a whole."""

    name: str
    limiter: RateLimiter
    throttles: ThrottleBreaker = field(default_factory=ThrottleBreaker)
    refusals: RefusalBreaker = field(default_factory=RefusalBreaker)
    refused: bool = False


class Health:
    """Turns trouble into waiting (the rate limiters shut for a while) and at last into a pause.

    Requests that meet the same trouble at the same time count once: those that end while a limiter
    is shut were on their way already. `halted` is set once too many jobs failed: a reason to pause
    as soon as there is something left to submit.
    """

    def __init__(
        self, control: Control, overall: RateLimiter, dice: Random, halt: Halt | None = None
    ) -> None:
        self.halted: Pause | None = None
        self._control = control
        self._overall = overall
        self._dice = dice
        self._outage = OutageBreaker()
        self._gateways = GatewayBreaker()
        self._refusals = RefusalBreaker()
        self._unknowns = UnknownBreaker()
        self._failures = FailureBreaker(halt)

    @property
    def reached(self) -> bool:
        """Whether the API has answered in this run."""
        return self._outage.reached

    def contact(self) -> None:
        """The API answered."""
        self._outage.contact()

    def after_submit(self, model: ModelHealth, sent: int, outcome: SubmitOutcome) -> None:
        """What an answer says about the network and the vendor; `sent` is the submit's number."""
        match outcome:
            case NotSent(reason):
                self.no_contact(reason)
            case Throttled(retry_after, reason):
                self.throttled(model, retry_after, reason)
            case Gateway(status, reason):
                self.gateway(status, reason)
            case Accepted():
                self.accepted(model, sent)
            case Refused() | Halted():
                self.contact()
            case Unclear():
                pass

    def accepted(self, model: ModelHealth, sent: int) -> None:
        """A submit went through: what stopped others was their own trouble."""
        self.contact()
        self._gateways.reset()
        self._refusals.accepted(sent)
        model.refusals.accepted(sent)
        model.throttles.reset()

    def gateway(self, status: int, reason: str) -> None:
        """A gateway or proxy answered a submit in place of the API."""
        now = _loop_time()
        if self._overall.is_shut(now):
            return
        tripped = self._gateways.trips()
        self._overall.shut(now, delay(self._gateways.in_a_row, self._dice))
        if tripped:
            self._control.pause(
                pause_for(
                    PauseReason.GATEWAY,
                    count=self._gateways.in_a_row,
                    reason=reason,
                    cure=_GATEWAY_CURES.get(status, _GATEWAY_CURE),
                )
            )

    def refused(self, model: ModelHealth, sent: int, code: str, reason: str) -> None:
        """A job was refused; if many in a row are, the cause is not theirs."""
        # By model as well: an acceptance of another model says nothing about this one's trouble.
        tripped = [one.trips(sent, code, reason) for one in (self._refusals, model.refusals)]
        if any(tripped):
            self._control.pause(
                pause_for(PauseReason.REFUSALS, count=REFUSALS_IN_A_ROW, code=code, reason=reason)
            )

    def no_contact(self, reason: str, whose: str = "the API", next_step: str = "") -> None:
        """The API, or something else that a submit needs, did not answer.

        `next_step`: what helps, if it is not the network.
        """
        now = _loop_time()
        if self._overall.is_shut(now):
            return
        tripped = self._outage.trips(now)
        self._overall.shut(now, delay(self._outage.in_a_row, self._dice))
        if tripped:
            pause = pause_for(PauseReason.UNREACHABLE, lets_go=True, whose=whose, reason=reason)
            self._control.pause(replace(pause, next_step=next_step or pause.next_step))

    def throttled(self, model: ModelHealth, retry_after: float | None, reason: str) -> None:
        """The vendor refused a submit: it has as many as it takes, or they come too fast.

        A Retry-After holds the submits of this model, as long as it asks for. Without one nothing
        is shut, but "Retry-After: 0" must not cause a storm, nor must 1 for the hundredth time: so
        a back-off of our own grows until a submit is accepted. It stays short while requests are in
        flight, since the first of them that ends makes room.
        """
        self.contact()
        now, limiter = _loop_time(), model.limiter
        asked = retry_after or 0.0
        if limiter.is_shut(now):
            limiter.shut(now, asked)
            return
        tripped = model.throttles.trips(now)
        limiter.refuse(now, asked)
        longest = LONGEST_BACK_OFF if limiter.accepted else LONGEST_BACK_OFF_ALONE
        own = delay(model.throttles.in_a_row, self._dice, longest=longest)
        limiter.shut(now, asked)
        limiter.back_off(now, own)
        at_once = None if limiter.found.value == inf else int(limiter.ceiling)
        self._control.emit(Slowed(model.name, max(asked, own), at_once))
        if tripped:
            self._control.pause(
                pause_for(PauseReason.THROTTLED, what=f"submits to {model.name}", reason=reason)
            )

    def unknown(self) -> None:
        if self._unknowns.trips(_loop_time()):
            self._control.pause(pause_for(PauseReason.UNKNOWN_OUTCOMES))

    def delivered(self) -> None:
        """A job has its result."""
        if self._failures.delivered():
            self._halt()

    def failed(self, code: str, reason: str) -> None:
        """A job failed for good: this run does not try it again."""
        if self._failures.fails(code, reason):
            self._halt()

    def _halt(self) -> None:
        # The first time stays: deliveries that follow make the share smaller, not the harm.
        if self.halted is None:
            self.halted = self._failures.pause()


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
