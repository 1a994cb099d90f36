"""Trouble that is not one job's: a silent line, an impatient vendor, too many unknown outcomes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.engine.backoff import delay
from batchgen.engine.breaker import (
    REFUSALS_IN_A_ROW,
    FailureBreaker,
    GatewayBreaker,
    OutageBreaker,
    RefusalBreaker,
    ThrottleBreaker,
    UnknownBreaker,
)
from batchgen.engine.events import Pause, PauseReason, Slowed

if TYPE_CHECKING:
    from random import Random

    from batchgen.engine.control import Control
    from batchgen.engine.limits import Gate
    from batchgen.manifest import Halt


@dataclass(slots=True)
class Lane:
    """What the run knows of one model while it submits to it.

    `in_hand` are the jobs that somebody works at though the state says pending: until the intent
    to submit is recorded, and no longer, since a late answer must not hold a person's word back.
    """

    model: str
    gate: Gate
    throttles: ThrottleBreaker = field(default_factory=ThrottleBreaker)
    refusals: RefusalBreaker = field(default_factory=RefusalBreaker)
    refused: bool = False
    in_hand: set[int] = field(default_factory=set)


class Trouble:
    """Turns what is noticed into waiting (the gates shut for a while) and, at last, into a pause.

    Requests that meet the same trouble at the same time count once: who is behind a shut gate
    was on its way already. `halted` is set once too many jobs failed: a reason to pause as soon as
    there is something left to submit.
    """

    def __init__(
        self, control: Control, overall: Gate, dice: Random, halt: Halt | None = None
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

    def accepted(self, lane: Lane, sent: int) -> None:
        """A submit went through: whatever stood in the way of others was theirs."""
        self.contact()
        self._gateways.reset()
        self._refusals.accepted(sent)
        lane.refusals.accepted(sent)
        lane.throttles.reset()

    def gateway(self, status: int, reason: str) -> None:
        """Somebody on the way to the API answered a submit in its stead."""
        now = _loop_time()
        if self._overall.is_shut(now):
            return
        tripped = self._gateways.trips()
        self._overall.shut(now, delay(self._gateways.in_a_row, self._dice))
        if tripped:
            self._control.pause(_gateway_pause(status, reason, self._gateways.in_a_row))

    def refused(self, lane: Lane, sent: int, code: str, reason: str) -> None:
        """A job was refused for itself; the same for many in a row is no longer about them."""
        # By model as well: what is accepted of another model says nothing about this one's trouble.
        tripped = [one.trips(sent, code, reason) for one in (self._refusals, lane.refusals)]
        if any(tripped):
            self._control.pause(
                Pause(
                    PauseReason.REFUSALS,
                    f"the API refused {REFUSALS_IN_A_ROW} jobs in a row for the same reason"
                    f" ({code}: {reason})",
                    "see to the cause: the account, the model or the input; the same command goes"
                    " on with the jobs that are left, `batchgen retry` with those refused as well",
                )
            )

    def no_contact(self, reason: str, whose: str = "the API") -> None:
        """The API, or who else is asked before a submit, did not answer."""
        now = _loop_time()
        if self._overall.is_shut(now):
            return
        tripped = self._outage.trips(now)
        self._overall.shut(now, delay(self._outage.in_a_row, self._dice))
        if tripped:
            self._control.pause(
                Pause(
                    PauseReason.UNREACHABLE,
                    f"{whose} cannot be reached ({reason})",
                    "check the network, and behind a proxy HTTPS_PROXY; the same command continues",
                    lets_go=True,
                )
            )

    def throttled(self, lane: Lane, retry_after: float | None, reason: str) -> None:
        """The vendor refused a submit for its rate: wait as told, then slower."""
        self.contact()
        now = _loop_time()
        if lane.gate.is_shut(now):
            lane.gate.shut(now, retry_after or 0.0)
            return
        tripped = lane.throttles.trips(now)
        # "Retry-After: 0" is no leave to storm, nor is 1 for the hundredth time: ours grows.
        seconds = max(retry_after or 0.0, delay(lane.throttles.in_a_row, self._dice))
        lane.gate.halve()
        lane.gate.shut(now, seconds)
        self._control.emit(Slowed(lane.model, seconds))
        if tripped:
            self._control.pause(
                Pause(
                    PauseReason.THROTTLED,
                    f"the API keeps refusing {lane.model} for its rate ({reason})",
                    "set run.rate or a lower run.concurrency; the same command continues",
                )
            )

    def unknown(self) -> None:
        if self._unknowns.trips(_loop_time()):
            self._control.pause(
                Pause(
                    PauseReason.UNKNOWN_OUTCOMES,
                    "five submits within a minute had an outcome that cannot be known",
                    "see `batchgen status`, decide with `batchgen resolve`, then run again",
                )
            )

    def delivered(self) -> None:
        """A job has its result."""
        if self._failures.delivered():
            self._halt()

    def failed(self, code: str, reason: str) -> None:
        """A job failed for good; nothing will try it again in this run."""
        if self._failures.fails(code, reason):
            self._halt()

    def _halt(self) -> None:
        # The first time stays: deliveries that follow make the share smaller, not the harm.
        if self.halted is None:
            self.halted = Pause(
                PauseReason.FAILURES,
                self._failures.sentence(),
                "see to the cause; the same command continues and counts anew",
            )


def _gateway_pause(status: int, reason: str, count: int) -> Pause:
    cures = {
        401: "check the token, and whether a proxy wants a login of its own",
        407: "log in to the proxy, or go round it",
    }
    cure = cures.get(status, "check the network, a VPN and the proxy, and the vendor's status page")
    return Pause(
        PauseReason.GATEWAY,
        f"a gateway or proxy on the way answers in place of the API: {count} submits in a row"
        f" came back with no JSON ({reason})",
        f"{cure}; the same command continues",
    )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
