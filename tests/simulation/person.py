"""The person of a night: decides about what is unknown, approves, edits the manifest, retries."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from batchgen.errors import BatchgenError
from batchgen.runs.decision_log import Decision, Verb
from batchgen.runs.decisions import decide
from batchgen.runs.folder import RunFolder
from batchgen.state.approvals import awaiting
from batchgen.state.database import reading
from batchgen.state.meta import limits_in_force
from tests.simulation.chain import TAKES
from tests.simulation.gatekeeper import Approval
from tests.simulation.vendor import EPOCH

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.chain import Chain
    from tests.simulation.night import Night
    from tests.simulation.tuning import Tune


class Person:
    """Speaks through decisions.jsonl, as the commands do. The books are for the judge.

    `resubmits` and `retries` count the leaves to pay again by job, `retakes` those for all stills.
    """

    def __init__(self, night: Night, dice: Random) -> None:
        self._night = night
        self._dice = dice
        self.resubmits: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.retakes = 0
        self.tunes = 0
        self.adopted: set[str] = set()
        self.written_off: set[str] = set()

    def decide(self) -> None:
        """Between two lives."""
        self._settle_unknown()
        if habits := self._night.scenario.habits:
            self._night.picker.pick(habits)
        if (chain := self._night.scenario.chain) is None:
            return
        self.approve(chain)
        if self._dice.random() < chain.retakes:
            self._retake()

    def wants_a_retry(self) -> bool:
        chain = self._night.scenario.chain
        return chain is not None and self._dice.random() < chain.retries

    def retry(self) -> None:
        """All that ended without being done, by the option of the next command."""
        ended = self._night.query(
            "SELECT id FROM job WHERE state IN ('failed', 'cancelled', 'lost')"
        )
        self.retries.update(job for (job,) in ended)

    def approve(self, chain: Chain) -> bool:
        """Some of the results that wait for it; whether any was approved."""
        state = RunFolder(self._night.root).state
        if not chain.gates or not self._night.query("SELECT 1 FROM job"):
            return False
        with reading(state) as db:
            waiting = [(one.id, one.attempts) for one in awaiting(db)]
            requests: dict[str, str] = dict(
                db.execute(
                    "SELECT id, request_id FROM job JOIN attempt ON job = seq AND number = attempts"
                )
            )
        chosen = [one for one in waiting if self._dice.random() < chain.picks]
        # Before the word is written: a disk that fails half-way may have taken it.
        for job, _ in chosen:
            self._night.gatekeeper.approvals[job] = Approval(requests[job], self._night.clock())
        at = EPOCH + self._night.clock()
        decisions = [Decision(Verb.APPROVE, job, at, attempt=number) for job, number in chosen]
        if decisions:
            with decide(RunFolder(self._night.root), self._night.manifest, decisions):
                self._night.note(f"approved {', '.join(job for job, _ in chosen)}")
        return bool(chosen)

    def look_in(self, chain: Chain) -> None:
        """Approve beside the run that is at work; its disk may fail this command too."""
        with suppress(BatchgenError):
            self.approve(chain)

    def tune(self, tune: Tune) -> None:
        """Change limits beside the run at work; its disk may fail this command too."""
        if self._night.limits.calm:
            return
        folder = RunFolder(self._night.root)
        decision = Decision(Verb.TUNE, "", EPOCH + self._night.clock(), tuning=tune.change)
        sure = False
        with suppress(BatchgenError):
            with reading(folder.state) as db:
                if limits_in_force(db) is None:
                    return  # the command refuses
            self.tunes += 1
            with decide(folder, self._night.manifest, [decision]) as decided:
                assert decided is None, "the run at work does not hold its lock"
            sure = True
        self._night.limits.tune(self._night.clock(), tune.change, sure=sure)
        self._night.note(f"tuned {tune.change}")

    def _retake(self) -> None:
        """Another input for all stills, now and then one that they had before."""
        gatekeeper = self._night.gatekeeper
        take = self._dice.choice([one for one in TAKES if one != gatekeeper.take])
        for charge in self._night.vendor.ledger.values():
            charge.outdated |= charge.take is not None
        self._night.write_manifest(take)
        self.retakes += 1

    def _settle_unknown(self) -> None:
        for job in [job for job, state in self._night.states().items() if state == "unknown"]:
            match self._dice.choice(("wait", "wait", "resubmit", "adopt", "write off")):
                case "resubmit":
                    self._say(Verb.RESUBMIT, job)
                case "write off":
                    self._say(Verb.WRITE_OFF, job)
                case "adopt":
                    self._adopt(job)

    def _adopt(self, job: str) -> None:
        known = {row[0] for row in self._night.query("SELECT request_id FROM attempt")}
        for charge in self._night.vendor.ledger.values():
            if charge.job == job and charge.id not in known:
                self._say(Verb.ADOPT, job, charge.id)
                self.adopted.add(charge.id)
                charge.known = True
                return

    def _say(self, verb: Verb, job: str, request_id: str | None = None) -> None:
        decision = Decision(verb, job, EPOCH + self._night.now, request_id)
        with decide(RunFolder(self._night.root), self._night.manifest, [decision]) as decided:
            assert decided is not None, "the lock of a dead process was not given back"
            if not [*decided.applied][-1].objection:
                if verb is Verb.RESUBMIT:
                    self.resubmits[job] += 1
                elif verb is Verb.WRITE_OFF:
                    self.written_off.add(job)
        self._night.note(f"decided {verb.value} {job}")
