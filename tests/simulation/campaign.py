"""Many nights: each seed one, cut at random; or one small night, cut at every point there is."""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.bucket import BUCKET_POINTS, OFTEN, Shelf
from tests.simulation.chain import STEPS
from tests.simulation.findings import Finding
from tests.simulation.judge import at_the_end
from tests.simulation.night import Night
from tests.simulation.picking import ROUNDS_AT_THE_END
from tests.simulation.points import OF_ALL, UPLOAD_POINTS
from tests.simulation.process import Cut, End
from tests.simulation.scenario import Scenario, of_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.chain import Chain
    from tests.simulation.picking import Habits

POINTS_OF_A_LIFE = 500
"""About as many as a life of a seed has: later cuts would often come after its end."""

SUMS = (
    *("seeds", "lives", "events", "charges", "chained", "approvals"),
    *("picks", "asked", "remade", "reused", "tunes", "photos", "spared", "kills", "unknown"),
    *("shelves", "objects", "puts"),
)

UPLOADS = 0.5
"""Share of the cuts that are in or after an upload, of seeds whose requests have files in them."""

STORING = 0.6
"""Share of the cuts that are at requests to the bucket, of seeds whose results go to one."""

LOSSES = 0.2
"""How often between two lives the state is looked for in vain."""

MEMORY = Path("/dev/shm")


@dataclass(slots=True)
class Tally:
    """What a number of nights came to. Figures of several tallies are added up.

    `chained` are charges of jobs that need another one, `approvals` the results approved, `picks`
    the words about results, `asked` the retries of rejected ones, `remade` the jobs that those set
    going, `reused` the results taken from an earlier run, `tunes` the changes of limits,
    `photos` the own files sent, `spared` the attempts that were cut off in an upload, `shelves` the
    nights with a bucket for their results, `objects` what was in those in the end, `puts` the
    attempts to store a result.
    """

    seeds: int = 0
    lives: int = 0
    events: int = 0
    charges: int = 0
    chained: int = 0
    approvals: int = 0
    picks: int = 0
    asked: int = 0
    remade: int = 0
    reused: int = 0
    tunes: int = 0
    photos: int = 0
    spared: int = 0
    shelves: int = 0
    objects: int = 0
    puts: int = 0
    kills: int = 0
    unknown: int = 0
    most_unknown: int = 0
    points: Counter[str] = field(default_factory=Counter)
    cuts: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, Finding]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most_unknown = max(self.most_unknown, other.most_unknown)
        for name in ("points", "cuts", "pairs", "faults"):
            getattr(self, name).update(getattr(other, name))
        self.findings += other.findings


@contextmanager
def night_of(scenario: Scenario, *, keep_trace: bool = False) -> Iterator[Night]:
    """A night in a folder of its own, in memory where the system has such a place."""
    base = MEMORY if MEMORY.is_dir() else None
    place = Path(tempfile.mkdtemp(prefix="batchgen-night-", dir=base))
    try:
        yield Night(place, scenario, keep_trace=keep_trace)
    finally:
        shutil.rmtree(place)


def play(night: Night, cuts: list[Cut]) -> Tally:
    """Some lives that end badly, a person's decisions between them, then calm until all is done."""
    tally = Tally(seeds=1)
    try:
        _play(night, cuts, tally)
    except Exception as exc:  # noqa: BLE001 - whatever escapes the program is a finding of its seed
        words = traceback.format_exc(limit=-3).replace(str(night.place), "")
        night.findings.append(Finding("bug", f"{type(exc).__name__}: {exc}\n{words}"))
    _count(night, tally)
    return tally


def _play(night: Night, cuts: list[Cut], tally: Tally) -> None:
    losing = night.dice("losing")
    for cut in cuts:
        life = night.live(cut)
        if life.cut_at:
            unknown = Counter(night.states().values())["submitting"]
            tally.kills += 1
            tally.unknown += unknown
            tally.most_unknown = max(tally.most_unknown, unknown)
        night.person.decide()
        if losing.random() < LOSSES:
            night.lose_state(losing)
        if night.bucket:
            night.bucket_between_lives(losing)
    night.calm_down()
    night.until_settled()
    night.until_all_has_come()
    if night.scenario.chain:
        _approve_until_the_end(night, night.scenario.chain)
    if night.scenario.habits:
        _pick_until_the_end(night, night.scenario.habits)
    night.findings += at_the_end(night)


def _approve_until_the_end(night: Night, chain: Chain) -> None:
    """A look for each gate of the chain; the person may leave results as they are."""
    for _ in STEPS:
        if night.person.approve(chain):
            night.until_settled()


def _pick_until_the_end(night: Night, habits: Habits) -> None:
    for _ in range(ROUNDS_AT_THE_END):
        night.picker.pick(habits)
        night.live()
        night.until_settled()
    # What was finished with the input of before goes again with that of today.
    night.until_settled()


def _count(night: Night, tally: Tally) -> None:
    tally.lives = len(night.lives)
    tally.events = night.events
    tally.charges = len(night.vendor.ledger)
    if chain := night.scenario.chain:
        tally.chained = sum(
            chain.needed_by(one.job) is not None for one in night.vendor.ledger.values()
        )
        tally.approvals = len(night.gatekeeper.approvals)
    tally.picks, tally.asked = night.picker.picked, night.picker.asked
    tally.remade = night.picker.leaves.total()
    if night.earlier:
        reused = night.query("SELECT count(*) FROM attempt WHERE outcome = 'reused'")
        tally.reused = sum(count for (count,) in reused)
    tally.tunes = night.person.tunes
    if night.photos:
        tally.photos, tally.spared = night.photos.sent, night.photos.spared
    if night.bucket:
        tally.shelves, tally.objects = 1, len(night.bucket.objects)
        tally.puts = night.bucket.puts
    tally.faults.update(night.weather.injected)
    before = ""
    for life in night.lives:
        tally.points.update(life.labels)
        if life.cut_at:
            tally.cuts[life.cut_at] += 1
            if before:
                tally.pairs[before, life.cut_at] += 1
        before = life.cut_at
    name = f"seed {night.scenario.seed}"
    tally.findings = [(name, finding) for finding in night.findings]


def random_cuts(scenario: Scenario) -> list[Cut]:
    """Ends by the seed's dice. Half of them by the kind of point: the commonest are half of all."""
    dice, uploading = Random(f"{scenario.seed} cuts"), Random(f"{scenario.seed} cut uploads")
    cuts = [_random_cut(dice) for _ in range(scenario.lives)]
    if scenario.shelf is not None:
        storing = Random(f"{scenario.seed} cut storing")
        cuts = [_cut_storing(one, storing) if storing.random() < STORING else one for one in cuts]
    if scenario.album is None or scenario.album.by_bucket:
        return cuts
    return [_cut_upload(one, uploading) if uploading.random() < UPLOADS else one for one in cuts]


def _cut_upload(cut: Cut, dice: Random) -> Cut:
    return Cut(dice.choice((1, 1, 2, 3)), cut.how, dice.choice(UPLOAD_POINTS))


def _cut_storing(cut: Cut, dice: Random) -> Cut:
    if dice.random() < 0.6:
        return Cut(dice.choice((1, 1, 2, 3, 5)), cut.how, dice.choice(OFTEN))
    return Cut(1, cut.how, dice.choice(BUCKET_POINTS))


def _random_cut(dice: Random) -> Cut:
    how = dice.choice((End.DEATH, End.DEATH, End.POWER_LOSS, End.POWER_LOSS, End.ABORT))
    if dice.random() < 0.5:
        return Cut(dice.randrange(1, POINTS_OF_A_LIFE), how)
    # The others have dice of their own: what a seed was before there were uploads it still is.
    return Cut(dice.choice((1, 1, 2, 3, 5, 8)), how, dice.choice(OF_ALL))


def play_seed(seed: int, jobs: int | None = None) -> Tally:
    scenario = of_seed(seed) if jobs is None else of_seed(seed, jobs)
    with night_of(scenario) as night:
        return play(night, random_cuts(scenario))


def small(seed: int, *, stores: bool = False) -> Scenario:
    """The night that is cut everywhere: one job, in calm weather; `stores`: into a bucket."""
    # In parts, which is what more can be left of.
    shelf = Shelf(rough=0.0, whole=0) if stores else None
    return Scenario(seed=seed, jobs=1, concurrency=1, shelf=shelf)


def play_pairs(first: int, *, stores: bool = False) -> Tally:
    """Cut the small night at its point `first`, and the life after at each point that it has.

    The tally has no lives where the small night has no such point.
    """
    tally = Tally()
    second = 1
    while True:
        one = _pair(first, second, stores=stores)
        if not any(life.cut_at for life in one.lives[:1]):
            return tally
        counted = Tally(seeds=1)
        _count(one, counted)
        counted.kills = sum(bool(life.cut_at) for life in one.lives)
        tally.add(counted)
        if not one.lives[1].cut_at:
            return tally
        second += 1


def _pair(first: int, second: int, *, stores: bool) -> Night:
    """Process and power take turns in dying, so that all four combinations occur."""
    ends = (End.DEATH, End.POWER_LOSS)
    cuts = [Cut(first, ends[second & 1]), Cut(second, ends[second >> 1 & 1])]
    with night_of(small(first * 1_000_003 + second, stores=stores)) as night:
        play(night, cuts)
    return night
