"""Events → terminal: bars where there is one, a line now and then elsewhere."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Never, Self, TextIO

from tqdm import tqdm

from batchgen.engine.events import (
    Draining,
    JobMoved,
    JobsAdded,
    JobsBlocked,
    LookingAtImages,
    ModelRefused,
    Noted,
    Paused,
    RunStarted,
    Slowed,
    Warned,
)
from batchgen.jobs import ENDED, IN_FLIGHT, JobState, model_alias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batchgen.engine.events import Event

LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

REDRAW_EVERY = 0.1
SHOWN_FAILURES = 5
SETTLED = ENDED | {JobState.UNKNOWN}
TROUBLE = (JobState.FAILED, JobState.LOST, JobState.UNKNOWN)

BAR = "{{desc:<5}}{{percentage:4.0f}}%|{{bar:{width}}}| {{n_fmt}}/{{total_fmt}}{{postfix}}"
WIDE = 80
"""Columns from which on there is room for a long bar besides the words."""


@dataclass(slots=True)
class Standing:
    """The jobs of one model, or of all, by state."""

    states: dict[JobState, int] = field(default_factory=dict)

    def add(self, state: JobState, count: int) -> None:
        self.states[state] = self.states.get(state, 0) + count

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def settled(self) -> int:
        return self._of(*SETTLED)

    def _of(self, *states: JobState) -> int:
        return sum(self.states.get(state, 0) for state in states)

    def words(self) -> list[str]:
        """What is not done yet or will not be, in the fewest words."""
        parts = {
            "in flight": self._of(*IN_FLIGHT),
            "to download": self._of(JobState.FETCHING),
            "waiting": self._of(JobState.PENDING),
            **{state.value: self._of(state) for state in (*TROUBLE, JobState.BLOCKED)},
        }
        return [f"{count} {word}" for word, count in parts.items() if count]


class Progress:
    """Shows a run on `stream`; use with `with`, and hand `hear` to the run."""

    def __init__(self, stream: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = Standing()
        self._models: dict[str, Standing] = {}
        self._spent = 0.0
        self._started = clock()
        self._settled_before = 0
        self._failures_shown = 0
        self._screen: Bars | Lines | None = _screen_on(stream, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._show(lambda screen: screen.close())

    def hear(self, event: Event) -> None:
        """Take an event in and show it; a screen that is gone is not asked again."""
        match event:
            case RunStarted():
                self._start(event)
            case JobMoved():
                self._move(event)
            case ModelRefused(model, jobs, _, reason):
                self._shift(model, JobState.PENDING, JobState.FAILED, jobs)
                if jobs:
                    self._write(f"{model}: {jobs} more jobs failed: {reason}")
            case LookingAtImages(count):
                self._write(f"looking at {count} input image{'s' if count > 1 else ''}")
            case JobsAdded(by_model):
                self._add(by_model)
            case JobsBlocked(by_model):
                self._block(by_model)
            case Warned(text) | Noted(text, on_screen=True):
                self._write(text)
            case Slowed(model, seconds):
                self._write(f"{model}: too many requests; waiting {seconds:.0f} s")
            case Paused(pause):
                self._write(f"paused: {pause.sentence}; ending what is under way")
            case Draining(in_flight):
                self._write(
                    f"stopping: {in_flight} in flight stay with the vendor,"
                    " downloads at hand finish; once more leaves at once"
                )
            case _:
                return
        self._show(lambda screen: screen.draw(self._all, self._models, self._tail()))

    def _write(self, text: str) -> None:
        self._show(lambda screen: screen.write(text))

    def _show(self, act: Callable[[Bars | Lines], None]) -> None:
        if self._screen is None:
            return
        try:
            act(self._screen)
        except OSError:
            # The terminal was closed, or the reader of the pipe left. What is paid goes on.
            self._screen = None

    def _start(self, event: RunStarted) -> None:
        for model, counts in event.counts.items():
            self._models[model] = Standing(dict(counts))
            for state, count in counts.items():
                self._all.add(state, count)
        self._spent = event.money.spent
        self._settled_before = self._all.settled
        self._started = self._clock()

    def _add(self, by_model: Mapping[str, int]) -> None:
        for model, count in by_model.items():
            self._models.setdefault(model, Standing()).add(JobState.PENDING, count)
            self._all.add(JobState.PENDING, count)

    def _move(self, event: JobMoved) -> None:
        if event.state is not event.before:
            self._shift(event.model, event.before, event.state, 1)
        self._spent += event.cost or 0.0
        if event.state in TROUBLE and self._failures_shown < SHOWN_FAILURES:
            self._failures_shown += 1
            self._write(f"{event.job_id}: {event.state.value}: {event.reason}")

    def _block(self, by_model: Mapping[str, int]) -> None:
        """Blocked and freed jobs move in bulk: told is how many there are now."""
        for model, now in by_model.items():
            standing = self._models.setdefault(model, Standing())
            more = now - standing.states.get(JobState.BLOCKED, 0)
            self._shift(model, JobState.PENDING, JobState.BLOCKED, more)

    def _shift(self, model: str, before: JobState, after: JobState, count: int) -> None:
        for standing in (self._all, self._models.setdefault(model, Standing())):
            standing.add(before, -count)
            standing.add(after, count)

    def _tail(self) -> str:
        """Rate, time left and money."""
        elapsed = self._clock() - self._started
        done = self._all.settled - self._settled_before
        left = self._all.total - self._all.settled
        parts = [f"{self._spent:.2f} USD"]
        if done and elapsed > 0:
            rate = done / elapsed
            parts.append(f"{rate * 60:.0f}/min" if rate < 1 else f"{rate:.1f}/s")
            if left:
                parts.append(f"{tqdm.format_interval(left / rate)} left")
        return " · ".join(parts)


def _screen_on(stream: TextIO | None, clock: Callable[[], float]) -> Bars | Lines | None:
    """No screen where stderr is closed; bars where they can be drawn."""
    if stream is None:
        return None
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Bars(stream, clock)
    return Lines(stream, clock)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return WIDE


class Bars:
    """One bar for all jobs, and one a model where there are several."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._bars: dict[str, tqdm[Never]] = {}
        self._drawn = float("-inf")

    def draw(self, overall: Standing, models: dict[str, Standing], tail: str) -> None:
        self._set("all", overall, tail)
        if len(models) > 1:
            for model, standing in models.items():
                self._set(model_alias(model), standing, "")
        if self._clock() - self._drawn >= REDRAW_EVERY:
            self._drawn = self._clock()
            self._refresh()

    def write(self, text: str) -> None:
        tqdm.write(text, file=self._stream)

    def close(self) -> None:
        self._refresh()
        for bar in self._bars.values():
            bar.close()

    def _refresh(self) -> None:
        for bar in self._bars.values():
            bar.refresh()

    def _set(self, name: str, standing: Standing, tail: str) -> None:
        bar = self._bars.get(name)
        if bar is None:
            width = 20 if _columns(self._stream) >= WIDE else 4
            bar = self._bars[name] = tqdm(
                desc=name,
                file=self._stream,
                dynamic_ncols=True,
                bar_format=BAR.format(width=width),
            )
        bar.total = standing.total
        bar.n = standing.settled
        bar.set_postfix_str(" · ".join(filter(None, [*standing.words(), tail])), refresh=False)


class Lines:
    """A line now and then: for logs, pipes and cron."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._due = clock() + LINE_EVERY

    def draw(self, overall: Standing, models: dict[str, Standing], tail: str) -> None:
        del models  # a line has room for the whole only
        if self._clock() < self._due:
            return
        self._due = self._clock() + LINE_EVERY
        words = [f"{overall.settled}/{overall.total}", *overall.words(), tail]
        self.write(" · ".join(words))

    def write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is held open."""
