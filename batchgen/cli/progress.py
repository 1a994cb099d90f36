"""Progress on stderr: bars on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
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
    Tuned,
    WaitingToStart,
    Warned,
)
from batchgen.jobs import ENDED, IN_FLIGHT, JobState, model_labels
from batchgen.text import USUAL_COLUMNS, plural, terminal_columns, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from batchgen.engine.events import Event

LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

REDRAW_EVERY = 0.1
SHOWN_FAILURES = 5
SETTLED = ENDED | {JobState.UNKNOWN}
TROUBLE = (JobState.FAILED, JobState.LOST, JobState.UNKNOWN)

BARS = ((110, 20), (60, 10))
"""From so many columns on, a bar has so many characters; with fewer columns there is only text."""


def progress_bar(total: int | None, label: str) -> tqdm[Never]:
    """Files on stderr, in one line that goes when it ends; nothing if that is not a terminal."""
    return tqdm(total=total, desc=label, unit=" files", file=sys.stderr, disable=None, leave=False)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a line; `short` is for narrow terminals. What is `needed` is dropped last."""

    text: str
    short: str = ""
    needed: bool = False


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

    def troubles(self) -> list[Part]:
        return [Part(f"{count} {state}", needed=True) for state, count in self._found(*TROUBLE)]

    def rest(self) -> list[Part]:
        """What is not done yet."""
        parts = {
            "in flight": self._of(*IN_FLIGHT),
            "to download": self._of(JobState.FETCHING),
            "waiting": self._of(JobState.PENDING),
            JobState.BLOCKED.value: self._of(JobState.BLOCKED),
        }
        return [Part(f"{count} {label}") for label, count in parts.items() if count]

    def _found(self, *states: JobState) -> Iterator[tuple[JobState, int]]:
        return ((state, self.states[state]) for state in states if self.states.get(state))


def parts_of(standing: Standing, tail: Sequence[Part]) -> list[Part]:
    """The most important first: what failed, when it ends, what it costs."""
    return [*standing.troubles(), *tail, *standing.rest()]


def bar_format(name: str, standing: Standing, tail: Sequence[Part], columns: int) -> str:
    """One line for tqdm, no wider than the columns: whole parts only, the needed ones first."""
    parts = parts_of(standing, tail)
    share = 100 * standing.settled // standing.total if standing.total else 0
    count = f" {standing.settled}/{standing.total}"
    head = f"{name:<5}{share:4}%"
    room = columns - 1  # a terminal may wrap a line that fills its last column
    width = next((width for least, width in BARS if columns >= least), 0)
    texts = _fitting(parts, room - len(head) - width - len("||") - len(count)) if width else None
    if texts is not None:
        after = "".join((count, *(f" · {text}" for text in texts)))
        return f"{_literal(head)}|{{bar:{width}}}|{_literal(after)}"
    for begin in (head + count, f"{name} {share}%{count}"):
        texts = _fitting(parts, room - len(begin))
        if texts is not None:
            return _literal("".join((begin, *(f" · {text}" for text in texts))))
    return _literal(_narrow([f"{name} {share}%{count}", f"{name} {share}%"], parts, room))


def _narrow(begins: Sequence[str], parts: Sequence[Part], room: int) -> str:
    """The short forms of what is needed, as many as there is room for."""
    needed = [f", {part.short or part.text}" for part in parts if part.needed]
    for begin in begins:
        line = "".join((begin, *needed))
        if len(line) <= room:
            return line
    line = begins[-1][:room]
    for text in needed:
        if len(line) + len(text) <= room:
            line += text
    return line


def _fitting(parts: Sequence[Part], room: int) -> list[str] | None:
    """As many of the parts as there is room for; None if the needed ones do not fit."""
    room -= sum(len(part.text) + len(" · ") for part in parts if part.needed)
    if room < 0:
        return None
    texts = []
    for part in parts:
        if not part.needed:
            room -= len(part.text) + len(" · ")
        if part.needed or room >= 0:
            texts.append(part.text)
    return texts


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


class Progress:
    """Shows a run on `stream`; use it in a `with`, and pass `on_event` to the run."""

    def __init__(self, stream: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = Standing()
        self._models: dict[str, Standing] = {}
        self._spent = 0.0
        self._started = clock()
        self._settled_before = 0
        self._failures_shown = 0
        self._waits = False
        self._screen: Bars | Lines | None = _screen_on(stream, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._show(lambda screen: screen.close())

    def on_event(self, event: Event) -> None:
        """Take an event in and show it; a screen that is gone is not used again."""
        match event:
            case RunStarted():
                self._start(event)
            case JobMoved():
                self._move(event)
            case ModelRefused(model, jobs, _, reason):
                self._shift(model, JobState.PENDING, JobState.FAILED, jobs)
                if jobs:
                    self._write(f"{model}: {plural(jobs, 'more job')} failed: {reason}")
            case WaitingToStart():
                self._waits = True
            case JobsAdded(by_model):
                self._add(by_model)
            case JobsBlocked(by_model):
                self._block(by_model)
        if (sentence := _sentence(event)) is not None:
            self._write(sentence)
        self._show(lambda screen: screen.draw(self._all, self._models, self._tail()))

    def _write(self, text: str) -> None:
        self._show(lambda screen: screen.write(text))

    def _show(self, act: Callable[[Bars | Lines], None]) -> None:
        if self._screen is None:
            return
        try:
            act(self._screen)
        except OSError:
            # The terminal was closed, or the pipe's reader left. The run, which is paid, goes on.
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
        if self._waits and event.state is JobState.SUBMITTING:
            self._waits, self._started = False, self._clock()
            self._settled_before = self._all.settled
        if event.state is not event.before:
            self._shift(event.model, event.before, event.state, 1)
        self._spent += event.cost or 0.0
        if event.state in TROUBLE and self._failures_shown < SHOWN_FAILURES:
            self._failures_shown += 1
            self._write(f"{event.job_id}: {event.state.value}: {event.reason}")

    def _block(self, by_model: Mapping[str, int]) -> None:
        """Blocked and freed jobs move in bulk: the event has how many there are now."""
        for model, now in by_model.items():
            standing = self._models.setdefault(model, Standing())
            more = now - standing.states.get(JobState.BLOCKED, 0)
            self._shift(model, JobState.PENDING, JobState.BLOCKED, more)

    def _shift(self, model: str, before: JobState, after: JobState, count: int) -> None:
        for standing in (self._all, self._models.setdefault(model, Standing())):
            standing.add(before, -count)
            standing.add(after, count)

    def _tail(self) -> list[Part]:
        """Time left, money and rate."""
        elapsed = self._clock() - self._started
        done = self._all.settled - self._settled_before
        left = self._all.total - self._all.settled
        money = Part(f"{self._spent:.2f} USD", f"${self._spent:.2f}", needed=True)
        if not (done and elapsed > 0):
            return [money]
        rate = done / elapsed
        speed = Part(f"{rate * 60:.0f}/min" if rate < 1 else f"{rate:.1f}/s")
        if not left:
            return [money, speed]
        time_left = tqdm.format_interval(left / rate)
        return [Part(f"{time_left} left", time_left, needed=True), money, speed]


def _screen_on(stream: TextIO | None, clock: Callable[[], float]) -> Bars | Lines | None:
    """None if stderr is closed; bars if they can be drawn."""
    if stream is None:
        return None
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Bars(stream, clock)
    return Lines(stream, clock)


class Bars:
    """One bar for all jobs, and one a model where there are several."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._bars: dict[str, tqdm[Never]] = {}
        self._drawn = float("-inf")
        self._columns = self._width()

    def draw(self, overall: Standing, models: dict[str, Standing], tail: Sequence[Part]) -> None:
        self._set("all", overall, tail)
        if len(models) > 1:
            labels = model_labels(models)
            for model, standing in models.items():
                self._set(labels[model], standing, ())
        if self._clock() - self._drawn >= REDRAW_EVERY:
            self._drawn = self._clock()
            self._refresh()

    def write(self, text: str) -> None:
        tqdm.write("\n".join(wrapped(text, self._stream, below="  ")), file=self._stream)

    def close(self) -> None:
        self._refresh()
        for bar in self._bars.values():
            bar.close()

    def _width(self) -> int:
        return terminal_columns(self._stream) or USUAL_COLUMNS

    def _refresh(self) -> None:
        for bar in self._bars.values():
            bar.refresh()

    def _set(self, name: str, standing: Standing, tail: Sequence[Part]) -> None:
        if (columns := self._width()) != self._columns:
            self._columns = columns
            self._forget_old_lines()
        line = bar_format(name, standing, tail, columns)
        bar = self._bars.get(name)
        if bar is None:
            bar = self._bars[name] = tqdm(file=self._stream, dynamic_ncols=True, bar_format=line)
        bar.bar_format = line
        bar.total = standing.total
        bar.n = standing.settled

    def _forget_old_lines(self) -> None:
        """After a resize, tqdm would blank out as many columns as before, and so wrap the line."""
        self._stream.write("\r\x1b[J")
        for bar in self._bars.values():
            bar.sp = bar.status_printer(self._stream)


class Lines:
    """A line now and then: for logs, pipes and cron."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._due = clock() + LINE_EVERY

    def draw(self, overall: Standing, models: dict[str, Standing], tail: Sequence[Part]) -> None:
        del models  # a line has room only for the whole
        if self._clock() < self._due:
            return
        self._due = self._clock() + LINE_EVERY
        texts = [part.text for part in parts_of(overall, tail)]
        self.write(" · ".join([f"{overall.settled}/{overall.total}", *texts]))

    def write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is open."""


def _sentence(event: Event) -> str | None:
    """A line that stays, for more than a change of numbers."""
    match event:
        case LookingAtImages(count):
            return f"checking {plural(count, 'input image')}"
        case WaitingToStart(until):
            local = datetime.fromtimestamp(until).astimezone()
            return f"nothing is submitted before {local:%Y-%m-%d %H:%M} (start_at)"
        case Warned(text) | Noted(text, on_screen=True):
            return text
        case Slowed(model, seconds, at_once):
            most = "" if at_once is None else f"; {at_once} at once for now"
            return f"{model}: too many requests; waiting {seconds:.0f} s{most}"
        case Paused(pause):
            return f"paused: {pause.sentence}; finishing what is under way"
        case Tuned(change):
            return f"tuned: {change}"
        case Draining(in_flight):
            stay = "stays" if in_flight == 1 else "stay"
            left = f"{in_flight} in flight {stay} with the vendor, " if in_flight else ""
            return f"stopping: {left}current downloads finish; a second Ctrl-C exits at once"
        case _:
            return None
