"""One night: a manifest, a vendor, a folder and a clock that outlive every process.

A life is the whole program, `execute` and all below it, from its start to its end, its death at
a numbered point, or a loss of power there. Between two lives a person may decide.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from batchgen.engine.events import PauseReason
from batchgen.errors import LostStateError
from tests.simulation.bucket import CLAIM, ResultBucket
from tests.simulation.bucket_judge import (
    bucket_after_life,
    with_a_prefix_of_another_run,
    without_all_that_is_local,
)
from tests.simulation.chain import TAKES
from tests.simulation.disk import Disk
from tests.simulation.earlier import run_earlier
from tests.simulation.findings import Finding
from tests.simulation.gatekeeper import Gatekeeper
from tests.simulation.judge import after_life
from tests.simulation.own_files import Photos
from tests.simulation.person import Person
from tests.simulation.picking import Picker
from tests.simulation.picking_judge import Standing, set_going
from tests.simulation.process import Life, Process
from tests.simulation.tuning import Limits
from tests.simulation.vendor import Vendor
from tests.simulation.weather import CALM, Weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchgen.runs.options import RunOptions
    from tests.simulation.process import Cut
    from tests.simulation.scenario import Scenario

MODELS = {
    "t2i": "bytedance/dreamina-4-0/text-to-image",
    "edit": "bytedance/dreamina-4-0/edit",
    "i2v": "bytedance/dreamina-3-0/pro/image-to-video",
}
CALM_LIVES = 30
GOING = frozenset({"pending", "submitting", "queued", "running", "fetching"})


def _never(_operation: str, _role: str) -> int:
    return 0


class Night:
    """`place` is an empty folder of the night's own; `watched` in it is the simulated disk."""

    def __init__(self, place: Path, scenario: Scenario, *, keep_trace: bool = False) -> None:
        self.scenario = scenario
        self.place = place.resolve()
        self.watched = self.place / "watched"
        self.watched.mkdir()
        self.root = self.watched / "output" / "night"
        self.manifest = self.place / "night.yaml"
        self.vendor = Vendor(patience=scenario.timeout, urls_last=scenario.urls_last)
        self.gatekeeper = Gatekeeper(self.vendor, scenario.chain, TAKES[0])
        self.vendor.sees = self.gatekeeper.see
        self.weather = Weather(self.dice("weather"), self.vendor, scenario.rough)
        self.weather.closed_after = scenario.closed_after
        self.weather.silenced = scenario.silenced
        self.vendor.course = self.weather.course
        self.vendor.mishap = self.weather.mishap
        self.disk = Disk()
        self.disk.fail = self.weather.disk_fault
        self.now = 0.0
        self.lives: list[Life] = []
        self.told: dict[str, str] = {}
        self.findings: list[Finding] = []
        self.events = 0
        self.trace: list[str] | None = [] if keep_trace else None
        self._digest = hashlib.sha256()
        self.clock: Callable[[], float] = lambda: self.now
        self.person = Person(self, self.dice("person"))
        self.picker = Picker(self, self.dice("picker"))
        self.limits = Limits(scenario)
        self.photos = None
        if scenario.album:
            self.photos = Photos(self, scenario.album, self.dice("own files"))
            self.photos.write_all()
        self.gatekeeper.photos = self.photos
        self.bucket = None
        if scenario.shelf:
            self.bucket = ResultBucket(self, scenario.shelf, self.dice("bucket"))
            self.vendor.brings = self.bucket.brought
        self.write_manifest(TAKES[0])
        self.earlier = run_earlier(self) if scenario.reuse else None

    def dice(self, name: str) -> Random:
        return Random(f"{self.scenario.seed} {name}")

    @property
    def digest(self) -> str:
        """Of everything that happened, in its order and with its time."""
        return self._digest.hexdigest()

    def write_manifest(self, take: float) -> None:
        self.gatekeeper.take = take
        self.manifest.write_text(json.dumps(self.scenario.manifest(self.root, take)))
        self.note(f"take {take}")

    def note(self, line: str) -> None:
        """The folder has another name each time; what happens in it has not."""
        line = line.replace(str(self.place), "")
        self._digest.update(line.encode() + b"\n")
        if self.trace is not None:
            self.trace.append(line)

    def live(self, cut: Cut | None = None, *, picky: bool = True) -> Life:
        """One process from its start to its end. Not `picky`: nothing rejected is asked for."""
        life = Life()
        self.lives.append(life)
        self.limits.begin(self.now)
        self.told = {}
        options = self._options(picky=picky)
        standing = Standing.of(self, options)
        self.gatekeeper.begin_life(self._with_open_attempts(), standing.kept)
        Process(self, life, cut, options).run()
        self.findings += [*after_life(self, life, self.told), *self.gatekeeper.findings]
        self.findings += set_going(self, standing)
        if self.photos:
            self.findings += self.photos.life_ended(life)
        if self.bucket:
            self.findings += bucket_after_life(self, self.bucket, life)
        self.picker.life_ended()
        self.gatekeeper.findings.clear()
        self._forget_untold(life)
        return life

    def lose_state(self, dice: Random) -> None:
        """For one life the state is gone, or the whole folder; that life must notice."""
        if self.scenario.rough.disk or not self._has_paid_requests():
            return  # what is remembered of a run may have failed to be written
        log = self.root / "run.log"
        logged = log.exists() and b'"state": "queued", "request_id": "' in log.read_bytes()
        lost = [self.root]
        if logged and dice.random() < 0.5:
            # By its log alone, as for a user without a folder of their own.
            user = self.watched / "user"
            lost = [path for path in (*self.root.glob("state.db*"), user) if path.exists()]
        with self._without(lost):
            submits = len(self.vendor.submits)
            life = self.live_aside()
        if not isinstance(life.error, LostStateError) or len(self.vendor.submits) > submits:
            names = ", ".join(path.name for path in lost)
            self.findings.append(Finding("lost state", f"nobody missed {names}: {life.error}"))

    def bucket_between_lives(self, dice: Random) -> None:
        """All that is on this machine may be gone, or another run may have the prefix."""
        bucket = self.bucket
        assert bucket is not None
        loses, contests = (
            dice.random() < one for one in (bucket.shelf.loses, bucket.shelf.contests)
        )
        if self.scenario.rough.disk or not self._has_paid_requests():
            return
        if CLAIM not in bucket.objects:
            self.findings.append(Finding("claim", "paid for, and the prefix was not claimed"))
            return
        if loses:
            user = self.watched / "user"
            with self._without([path for path in (self.root, user) if path.exists()]):
                self.findings += without_all_that_is_local(self)
        if contests:
            self.findings += with_a_prefix_of_another_run(self, bucket)

    def live_aside(self) -> Life:
        """A process that must refuse to work, in calm weather as far as the bucket goes."""
        life = Life()
        with self.bucket.in_calm() if self.bucket else nullcontext():
            Process(self, life, None, self.scenario.options, aside=True).run()
        return life

    @contextmanager
    def _without(self, lost: list[Path]) -> Iterator[None]:
        away = self.place / "away"
        away.mkdir()
        # Moved, not copied: another inode would be noticed anyway.
        places = [(path, path.rename(away / path.name)) for path in lost]
        yield
        for path, moved in places:
            if path.is_dir():
                shutil.rmtree(path)
            moved.replace(path)
        away.rmdir()

    def _has_paid_requests(self) -> bool:
        sql = "SELECT 1 FROM attempt WHERE request_id IS NOT NULL AND"
        return bool(self.query(f"{sql} (outcome IS NULL OR outcome IN ('succeeded', 'failed'))"))

    def _options(self, *, picky: bool) -> RunOptions:
        options, habits = self.scenario.options, self.scenario.habits
        if picky and habits and self.picker.wants_a_retry(habits):
            return self.picker.retry(habits, options)
        if self.person.wants_a_retry():
            self.person.retry()
            return replace(options, retry_failed=True)
        return options

    def _with_open_attempts(self) -> frozenset[str]:
        rows = self.query("SELECT id FROM job JOIN attempt ON job = seq WHERE outcome IS NULL")
        return frozenset(job for (job,) in rows)

    def _forget_untold(self, life: Life) -> None:
        """An id that died with its process, before it was recorded, is known to nobody."""
        spare = self.root / "receipts.jsonl"
        receipts = spare.read_text() if spare.exists() else ""
        recorded = {request_id for (request_id,) in self.query("SELECT request_id FROM attempt")}
        for charge in self.vendor.ledger.values():
            if (
                charge.known
                and charge.id not in recorded
                and not life.cut_at
                and charge.id not in receipts
            ):
                self.findings.append(Finding("lost id", f"{charge.id} was told and not kept"))
            charge.known = charge.known and charge.id in recorded

    def calm_down(self) -> None:
        """From now on nothing goes wrong any more."""
        self.weather.rough = CALM
        self.weather.throttles = 0
        self.weather.closed_after = inf
        self.weather.silenced = ""
        self.limits.calm = True
        self.disk.fail = _never
        if self.bucket:
            self.bucket.calm_down()

    def until_settled(self) -> None:
        """Give the same command until nothing is left to do."""
        for _ in range(CALM_LIVES):
            life = self.live(picky=False)
            if life.error is None and not self._going(life):
                return
        raise AssertionError(f"not settled after {CALM_LIVES} lives: {self.states()}")

    def until_all_has_come(self) -> None:
        """Give the command once more when the output is there that came after its word.

        Also where it came since the last life has asked for it.
        """
        sql = "SELECT request_id FROM attempt WHERE outcome IS NULL"
        still_open = {request_id for (request_id,) in self.query(sql)}
        began = self.lives[-1].began
        late = [
            charge.has_files_at
            for charge in self.vendor.ledger.values()
            if (began if charge.id in still_open else self.now) < charge.has_files_at < inf
        ]
        if late:
            self.now = max(self.now, *late) + 1.0
            self.live(picky=False)
            self.until_settled()

    def _going(self, life: Life) -> set[str]:
        """Jobs for which the next life will do something."""
        states = self.states()
        pause = life.summary.pause if life.summary else None
        held: set[str] = set()
        if pause and pause.reason is PauseReason.BUDGET:
            held = {job for job, state in states.items() if state == "pending"}
        elif self.scenario.chain:
            gates = "SELECT id FROM job WHERE gate AND NOT approved AND state = 'done'"
            held = self.scenario.chain.held(states, {job for (job,) in self.query(gates)})
        return {job for job, state in states.items() if state in GOING} - held

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        state = self.root / "state.db"
        if not state.exists():
            return []
        with closing(sqlite3.connect(state)) as db:
            try:
                return db.execute(sql).fetchall()
            except sqlite3.OperationalError as exc:
                if "no such table" in str(exc):
                    return []  # the process died before the schema was there
                raise

    def result(self, path: str) -> bytes:
        """The bytes of a result, where results go; empty if there is none."""
        if self.bucket:
            found = self.bucket.objects.get(path)
            return found.content if found else b""
        file = self.root / path
        return file.read_bytes() if file.is_file() else b""

    def results(self) -> list[bytes]:
        if self.bucket:
            return [one.content for one in self.bucket.objects.values()]
        files = (self.root / "files").rglob("*")
        return [one.read_bytes() for one in files if one.is_file()]

    def states(self) -> dict[str, str]:
        return dict(self.query("SELECT id, state FROM job"))
