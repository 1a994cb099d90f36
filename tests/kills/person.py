"""The person of a round: starts the run, loses it to SIGKILL, decides, and comes back."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.kills.evidence import Scene
from tests.kills.judge import Rule, Violation, after_a_kill, after_a_run
from tests.kills.memory import Memory, read_memory
from tests.kills.picks import Picks
from tests.kills.plan import Beside, Kill, Plan
from tests.shell import Done, Emulator, Shell, ended

RUN = ("run", "m.yaml", "--quiet")
RETRY = ("retry", "m.yaml", "--state", "rejected", "--quiet")
LOOK_EVERY = 0.02
MOST_RUNS = 12
USAGE = 64
HALF, ALL = 0.5, 1.0
REJECTS, KEEPS, RETRIES = 0.2, 0.2, 0.4
"""Likelihoods in a round with picks: of a done result, of a rejected one, of a killed run."""


@dataclass(slots=True)
class Person:
    """Keeps the books of a round: kills that hit, resubmits allowed, rules that were broken.

    `said` has how many charges there were when a result was approved, by its request.
    """

    shell: Shell
    scene: Scene
    plan: Plan
    dice: Random
    memory: Memory = field(default_factory=Memory)
    approved: Counter[str] = field(default_factory=Counter)
    said: dict[str, int] = field(default_factory=dict)
    picks: Picks = field(default_factory=Picks)
    unknown_by_kill: list[int] = field(default_factory=list)
    adopted: int = 0
    violations: list[Violation] = field(default_factory=list)

    @property
    def emulator(self) -> Emulator:
        return self.scene.emulator

    def strike(self, kill: Kill) -> None:
        """Start the run and kill it. One that ended before the moment came counts for nothing."""
        if chosen := self._pick(HALF):
            self._order(*self._approval(chosen))
        self._judge_results()
        retries = bool(self.picks.rejected) and self.dice.random() < RETRIES
        charged = len(self.emulator.charges())
        process = self.shell.start(*(RETRY if retries else RUN))
        beside = None
        try:
            if not kill.at_start:
                self._wait_for_a_charge(process, charged)
            beside = self._start_beside(kill)
            _linger(process, kill.seconds)
        finally:
            # SIGKILL: no handler, no last words, no flush.
            process.kill()
            done = ended(process)
            self._end_beside(beside)
        self._look(done, retries=retries)

    def settle(self) -> None:
        """Run to the end, and decide about what is unknown, until nothing is left to decide.

        Where results are picked, once more when all is there: what is rejected then is made again.
        """
        last, looked = "", not self.plan.picks
        for _ in range(MOST_RUNS):
            retries = bool(self.picks.rejected)
            done = self.shell.run(*(RETRY if retries else RUN))
            self._look(done, retries=retries)
            if done.code in (0, 1) and not retries:
                if looked:
                    return
                looked = True
                self._judge_results()
            last = f"the last ended with {done.code}: {done.err.partition(chr(10))[0]}"
            if unknown := self.memory.jobs_in("unknown"):
                self._decide(unknown)
            if chosen := self._pick(ALL):
                self._order(*self._approval(chosen))
        words = f"after {MOST_RUNS} runs: {Counter(self.memory.states.values())}; {last}"
        self.violations.append(Violation(Rule.UNSETTLED, "", words))

    def has_work(self) -> bool:
        """Whether a run would submit, as far as the last look showed."""
        return not self.memory.states or bool(self.memory.jobs_in("pending"))

    def _pick(self, share: float) -> list[str]:
        """Of the results that wait for a word; one that was given may not be taken up yet."""
        waiting = [
            job
            for job in self.memory.to_approve
            if self._result_of(job) not in self.said and job not in self.picks.rejected
        ]
        return [job for job in waiting if self.dice.random() < share]

    def _result_of(self, job: str) -> str:
        request_id = self.memory.latest[job].request_id
        assert request_id is not None, f"{job} is done by a request that nobody knows"
        return request_id

    def _approval(self, chosen: list[str]) -> tuple[str, ...]:
        results = [self._result_of(job) for job in chosen]
        self.said.update(dict.fromkeys(results, len(self.emulator.charges())))
        return ("approve", "m.yaml", *chosen)

    def _judge_results(self) -> None:
        """Reject some results, and keep some of those after all, before or after their retry."""
        if not self.plan.picks:
            return
        if chosen := self._to_reject():
            self._order("pick", "m.yaml", *chosen, "--reject")
            self.picks.reject(chosen)
        rejected = self.picks.may_keep(self.memory)
        if kept := [job for job in rejected if self.dice.random() < KEEPS]:
            self._order("pick", "m.yaml", *kept, "--keep")
            for job in kept:
                self.picks.keep(job, self.memory)
            self.memory = read_memory(self.scene.out)

    def _to_reject(self) -> list[str]:
        done = [job for job in self.memory.jobs_in("done") if job not in self.picks.rejected]
        return [job for job in done if self.dice.random() < REJECTS]

    def _look(self, done: Done, *, retries: bool) -> None:
        """See what a process left that is no more."""
        before, self.memory = self.memory, read_memory(self.scene.out)
        self._check_screen(done)
        again = frozenset(self.picks.rejected if retries else ())
        if retries:
            self.picks.retried(before, self.memory)
        if done.code == -signal.SIGKILL:
            self.unknown_by_kill.append(len(self.memory.on_the_wire - before.on_the_wire))
        else:
            self.violations += after_a_run(
                done.code,
                self.memory,
                again if retries else None,
                in_bucket=self.scene.shelf is not None,
            )
        self.violations += after_a_kill(before, self.memory, self.plan.concurrency, again)

    def _wait_for_a_charge(self, process: subprocess.Popen[str], before: int) -> None:
        while process.poll() is None and len(self.emulator.charges()) <= before:
            _linger(process, LOOK_EVERY)

    def _start_beside(self, kill: Kill) -> tuple[str, subprocess.Popen[str]] | None:
        """Start another command; the first run of all has no state that it could read."""
        if not self.memory.states or kill.beside is Beside.NOTHING:
            return None
        # What the last process was submitting is unknown to the next one.
        unknown = self.memory.jobs_in("unknown", "submitting")
        if kill.beside is Beside.RESOLVE and unknown:
            job = self.dice.choice(unknown)
            return job, self.shell.start("resolve", "m.yaml", job, "--resubmit")
        if kill.beside is Beside.APPROVE and (chosen := self._pick(ALL)):
            return "", self.shell.start(*self._approval(chosen))
        if kill.beside is Beside.REJECT and self.plan.picks and (chosen := self._to_reject()):
            # Whoever works takes it up, or the next one does: it counts from now on.
            self.picks.reject(chosen)
            return "", self.shell.start("pick", "m.yaml", *chosen, "--reject")
        return "", self.shell.start("status", "m.yaml", "--json")

    def _end_beside(self, beside: tuple[str, subprocess.Popen[str]] | None) -> None:
        if beside is None:
            return
        job, process = beside
        done = ended(process)
        self._check_screen(done)
        if job and done.code == 0:
            self.approved[job] += 1
        # The job may have been settled by an earlier word that this run has just taken up.
        elif done.code and not (job and done.code == USAGE):
            self._note_code(job, "resolve" if job else "status, approve or pick", done)

    def _decide(self, unknown: list[str]) -> None:
        """Adopt about half of those that the vendor's account shows; the others go out again."""
        in_account = dict(self._requests_nobody_has())
        for job in unknown:
            if job in in_account and self.dice.random() < 0.5:
                self._order("resolve", "m.yaml", job, "--adopt", in_account[job])
                self.adopted += 1
        self.memory = read_memory(self.scene.out)
        if rest := self.memory.jobs_in("unknown"):
            self.approved.update(rest)
            self._order("resolve", "m.yaml", "*", "--resubmit")

    def _requests_nobody_has(self) -> Iterator[tuple[str, str]]:
        """Job and request id of charges that the state does not know; the newest come last."""
        known, job_of = self.memory.request_ids, self.plan.job_of_prompt
        for charge in self.emulator.charges():
            if charge["request_id"] not in known:
                yield job_of[charge["input"]["prompt"]], charge["request_id"]

    def _order(self, *words: str) -> None:
        done = self.shell.run(*words)
        self._check_screen(done)
        if done.code:
            self._note_code(words[2], words[0], done)

    def _note_code(self, job: str, command: str, done: Done) -> None:
        said = f"{command} ended with {done.code}: {done.err.partition(chr(10))[0]}"
        self.violations.append(Violation(Rule.EXIT_CODE, job, said))

    def _check_screen(self, done: Done) -> None:
        if self.scene.token in done.said:
            self.violations.append(Violation(Rule.TOKEN, "", "on the screen"))


def _linger(process: subprocess.Popen[str], seconds: float) -> None:
    """Let the process work on, at most so long."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
