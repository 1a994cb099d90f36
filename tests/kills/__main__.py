"""Kill the real process again and again over real HTTP, and let the judge count.

    python -m tests.kills [--kills 200] [--seed 1] [--jobs-in-parallel 2] [--store]

Each round starts `batchgen run` against an emulator in a process of its own and sends it SIGKILL:
in mid-work, at the start, in the recovery from the kill before, with faults of the vendor, and
with `status` and `resolve` beside it. Then a person decides about what is unknown, the run goes to
its end, and the judge compares the vendor's ledger and bytes with the state and the disk; with
`--store`, with a bucket of a real S3 server, which refuses or loses an answer now and then. Only a
kill that hit a live process counts. Exit code 1 says that a promise was broken; what the rounds
left is then kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.kills.figures import complaints, figures, table
from tests.kills.plan import plan_of
from tests.kills.rounds import Verdict, play

KILLS_A_ROUND = 20
MOST_ROUNDS_TOO_MANY = 3
"""So many times the rounds that should do: then the kills do not hit, and that is an error."""


@dataclass(slots=True)
class Campaign:
    """Hands the kills out to the lanes, and takes back those that hit nothing."""

    seed: int
    kills: int
    lanes: int
    scratch: Path
    stores: bool = False
    verdicts: list[Verdict] = field(default_factory=list)
    _rounds: int = 0
    _at_work: int = 0
    _left: int = 0
    _stopped: bool = False
    _change: threading.Condition = field(default_factory=threading.Condition)

    def fight(self) -> None:
        """Play rounds until all kills have hit. Raises what a round broke off with."""
        self._left = self.kills
        with ThreadPoolExecutor(self.lanes) as pool:
            lanes = [pool.submit(self._lane) for _ in range(self.lanes)]
            try:
                for lane in lanes:
                    lane.result()
            finally:
                # Also after Ctrl-C: the pool waits for the rounds at work, and none begins.
                self._stop()

    def _stop(self) -> None:
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def _lane(self) -> None:
        while (turn := self._next()) is not None:
            number, kills = turn
            verdict = None
            try:
                verdict = self._play(number, kills)
            finally:
                self._over(kills, verdict)

    def _play(self, number: int, kills: int) -> Verdict:
        folder = self.scratch / f"round-{number}"
        verdict = play(plan_of(self.seed, number, kills), folder, stores=self.stores)
        if not verdict.violations:
            shutil.rmtree(folder)
        return verdict

    def _next(self) -> tuple[int, int] | None:
        """The number of a round and its kills; None where nothing is left, or all went wrong."""
        with self._change:
            # Another lane may still bring kills back.
            self._change.wait_for(lambda: self._left > 0 or self._at_work == 0 or self._stopped)
            share = min(KILLS_A_ROUND, -(-self.kills // self.lanes), self._left)
            if self._stopped or share <= 0 or self._rounds >= self._most_rounds():
                return None
            self._rounds += 1
            self._at_work += 1
            self._left -= share
            return self._rounds, share

    def _most_rounds(self) -> int:
        return MOST_ROUNDS_TOO_MANY * (self.kills // KILLS_A_ROUND + self.lanes)

    def _over(self, kills: int, verdict: Verdict | None) -> None:
        with self._change:
            self._at_work -= 1
            if verdict is None:
                self._stopped = True  # a round broke off: the others end, and its error is told
            else:
                self._left += kills - verdict.kills
                self.verdicts.append(verdict)
                print(self._progress(verdict), file=sys.stderr, flush=True)
            self._change.notify_all()

    def _progress(self, verdict: Verdict) -> str:
        hit = sum(one.kills for one in self.verdicts)
        wrong = len(verdict.violations)
        return f"{verdict.name}: {verdict.kills} kills, {wrong} violations · {hit}/{self.kills}"


def main() -> int:
    asked = arguments()
    scratch = Path(tempfile.mkdtemp(prefix="batchgen-kills-"))
    print(f"the rounds are played in {scratch}", file=sys.stderr)
    campaign = Campaign(asked.seed, asked.kills, asked.jobs_in_parallel, scratch, asked.store)
    started = time.monotonic()
    campaign.fight()
    print(table(figures(campaign.verdicts, asked.seed, time.monotonic() - started)))
    wrong = list(complaints(campaign.verdicts))
    missing = asked.kills - sum(verdict.kills for verdict in campaign.verdicts)
    if missing:
        wrong.append(f"{missing} kills hit nothing: the runs ended before their moment")
    if wrong:
        print("\n".join(wrong), f"kept: {scratch}", sep="\n")
        return 1
    scratch.rmdir()
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=positive, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs-in-parallel", type=positive, default=os.cpu_count() or 1)
    parser.add_argument("--store", action="store_true", help="let the results go to a bucket")
    return parser.parse_args()


def positive(text: str) -> int:
    """Raises ArgumentTypeError for less than 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
