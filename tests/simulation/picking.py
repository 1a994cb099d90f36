"""What a person says of results in a night: keeps and rejects them, and asks for others instead.

The books are for the judge. They go by the vendor's request ids, never by what the state makes of
a word: a word about one result is not about another.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.errors import BatchgenError
from batchgen.runs.decision_log import Decision, Verb
from batchgen.runs.decisions import decide
from batchgen.runs.folder import RunFolder
from batchgen.state.selection import Selection
from tests.simulation.vendor import EPOCH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from batchgen.runs.options import RunOptions
    from tests.simulation.night import Night
    from tests.simulation.process import Life

ROUNDS_AT_THE_END = 2
"""In calm weather, so that every night that has results has some that are made again."""

_RESULTS = (
    "SELECT job.id, attempts, request_id, state, count(*) FROM job"
    " JOIN attempt ON attempt.job = seq AND number = attempts"
    " JOIN file ON file.job = seq AND file.attempt = attempts"
    " WHERE outcome = 'succeeded'"
    " GROUP BY seq HAVING count(*) = count(verified_at) ORDER BY seq"
)
"""The whole results of the latest attempts, also of jobs that are to be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Likelihoods of what a person does with a result, and of a retry of the rejected ones.

    `limits` is the share of those retries that say how many, `late` that of the words about what
    was seen a look earlier. `cancels` are for what is to be made again. `looks_in_after` is the
    second of each life at which results are judged while the run is at work.
    """

    keeps: float = 0.2
    rejects: float = 0.4
    unpicks: float = 0.1
    retries: float = 0.5
    limits: float = 0.4
    late: float = 0.3
    cancels: float = 0.1
    looks_in_after: float | None = None


def habits_of(dice: Random) -> Habits:
    return Habits(
        keeps=dice.choice((0.1, 0.3)),
        rejects=dice.choice((0.2, 0.5)),
        unpicks=dice.choice((0.0, 0.2)),
        retries=dice.choice((0.4, 0.8)),
        limits=dice.choice((0.0, 0.5)),
        looks_in_after=dice.choice((None, dice.uniform(2.0, 40.0))),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """A job's latest result, as a person sees it."""

    job: str
    attempt: int
    request_id: str
    state: str
    files: int


@dataclass(frozen=True, slots=True)
class Word:
    """`position` None: about all files. `sure`: it is known to have been taken."""

    result: Result
    verb: Verb
    position: int | None
    sure: bool = True


class Opinion:
    """What was said of one result, file by file: all that may hold, where nobody can be sure."""

    def __init__(self, files: int) -> None:
        self._files: list[set[Verb]] = [{Verb.UNPICK} for _ in range(files)]

    def on_event(self, word: Word) -> None:
        """A cancel is about what is to be made, not about what there is."""
        if word.verb is Verb.CANCEL:
            return
        for number, said in enumerate(self._files, 1):
            if word.position in {None, number}:
                if word.sure:
                    said.clear()
                said.add(word.verb)

    @property
    def may_reject(self) -> bool:
        """One file that is not rejected, and the job is not."""
        return all(Verb.REJECT in said for said in self._files)

    @property
    def surely_keeps(self) -> bool:
        return any(said == {Verb.KEEP} for said in self._files)


class Picker:
    """`leaves` counts the leaves to pay again by job; `picked` and `asked` are for the figures."""

    def __init__(self, night: Night, dice: Random) -> None:
        self._night = night
        self._dice = dice
        self.opinions: dict[str, Opinion] = {}
        self.leaves: Counter[str] = Counter()
        self.picked = 0
        self.asked = 0
        self._granted: dict[str, str] = {}
        self._handed_over: list[Word] = []
        self._seen: list[Result] = []

    def results(self) -> list[Result]:
        return [Result(*row) for row in self._night.query(_RESULTS)]

    def pick(self, habits: Habits) -> None:
        """Between two lives: whatever is said takes effect at once."""
        words = self._choose(habits)
        if not words:
            return
        decisions = self._decisions(words)
        with decide(RunFolder(self._night.root), self._night.manifest, decisions) as decided:
            assert decided is not None, "the lock of a dead process was not given back"
            refused = [one.decision for one in decided.applied if one.objection]
        for word, decision in zip(words, decisions, strict=True):
            if decision not in refused:
                self._hear(word)

    def look_in(self, habits: Habits, life: Life) -> None:
        """Beside the run that is at work; its disk may fail this command too.

        What was handed over is sure to be taken up by this run or the next one, unless the job was
        submitted first, so it counts from the end of this life on.
        """
        words = self._choose(habits)
        if not words:
            return
        sure = False
        try:
            with decide(RunFolder(self._night.root), self._night.manifest, self._decisions(words)):
                # What a dead process writes is not on the disk.
                sure = not life.cut_at
        except BatchgenError:
            pass
        for word in words:
            self._handed_over.append(replace(word, sure=sure))
            self._opinion(word.result).on_event(replace(word, sure=False))

    def life_ended(self) -> None:
        attempts = dict(self._night.query("SELECT id, attempts FROM job"))
        for word in self._handed_over:
            in_time = attempts.get(word.result.job) == word.result.attempt
            self._hear(replace(word, sure=word.sure and in_time))
        self._handed_over.clear()

    def wants_a_retry(self, habits: Habits) -> bool:
        return self._dice.random() < habits.retries and bool(self.rejected())

    def retry(self, habits: Habits, options: RunOptions) -> RunOptions:
        """`retry --state rejected`, now and then with a `--limit`."""
        self.asked += 1
        limit = self._dice.choice((1, 2)) if self._dice.random() < habits.limits else None
        self._night.note(f"retry of the rejected, limit {limit}")
        selection = Selection(states=("rejected",))
        return replace(options, retry_failed=True, selection=selection, limit=limit)

    def rejected(self) -> set[str]:
        """Done jobs whose latest result may be rejected, by what was said of that very result."""
        return {one.job for one in self.results() if one.state == "done" and self._may_reject(one)}

    def grant(self, job: str, request_id: str) -> None:
        """A retry set this job going while it was rejected."""
        self.leaves[job] += 1
        self._granted[job] = request_id

    def keeps(self, request_id: str) -> bool:
        return request_id in self.opinions and self.opinions[request_id].surely_keeps

    def _may_reject(self, result: Result) -> bool:
        opinion = self.opinions.get(result.request_id)
        return opinion is not None and opinion.may_reject

    def _choose(self, habits: Habits) -> list[Word]:
        seen, now = self._seen, self.results()
        self._seen = now
        results = seen if self._dice.random() < habits.late else now
        words = [word for one in results if (word := self._word(habits, one))]
        self.picked += len(words)
        if words:
            said = (f"{one.verb} {one.result.job} {one.position or ''}" for one in words)
            self._night.note(f"picked {', '.join(said)}")
        return words

    def _word(self, habits: Habits, result: Result) -> Word | None:
        if result.state == "pending" and self._dice.random() < habits.cancels:
            return Word(result, Verb.CANCEL, None)
        likely = {Verb.KEEP: habits.keeps, Verb.REJECT: habits.rejects, Verb.UNPICK: habits.unpicks}
        (verb,) = self._dice.choices(
            (None, *likely), (1.0 - sum(likely.values()), *likely.values())
        )
        of_one = result.files > 1 and self._dice.random() < 0.5
        position = self._dice.randint(1, result.files) if of_one else None
        return None if verb is None else Word(result, verb, position)

    def _decisions(self, words: Sequence[Word]) -> list[Decision]:
        at = EPOCH + self._night.clock()
        return [
            Decision(
                one.verb, one.result.job, at, attempt=one.result.attempt, position=one.position
            )
            for one in words
        ]

    def _hear(self, word: Word) -> None:
        result = word.result
        self._opinion(result).on_event(word)
        takes_back = word.sure and word.verb is not Verb.REJECT
        if takes_back and self._granted.get(result.job) == result.request_id:
            # Nothing was submitted since that retry: what is rejected no more is not made again.
            del self._granted[result.job]
            self.leaves[result.job] -= 1

    def _opinion(self, result: Result) -> Opinion:
        return self.opinions.setdefault(result.request_id, Opinion(result.files))
