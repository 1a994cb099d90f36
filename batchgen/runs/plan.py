"""The document that `batchgen plan` shows: what a run would do, as numbers. Pure.

For a job with a changed input, it shows what changed, key by key.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from batchgen.input_files import content_of, files_in
from batchgen.manifest.policy import DATA
from batchgen.references import as_written
from batchgen.runs.drift import RefusedJobs
from batchgen.runs.estimates import Cost, Funds, suffices
from batchgen.runs.vendor_facts import VendorFacts
from batchgen.state.plan_counts import PlanCounts
from batchgen.text import plural

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.errors import Problem
    from batchgen.jobs import JsonValue
    from batchgen.state.planned import ChangedInput, OrphanedJob
    from batchgen.state.reconcile import OnChanged, RenamedJob
    from batchgen.state.records import Money


ABSENT = "nothing"
MEGABYTE = 1_000_000
CUT = "…"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """`before` and `now` are JSON texts; None: the input has no such key.

    `files` are the paths of the user's own files in it that have another content now.
    """

    key: str
    before: str | None
    now: str | None
    files: tuple[str, ...] = ()

    def words(self, width: int) -> str:
        """Say `prompt: "a" → "b"`; each side of at most `width` characters, cut around the change.

        Escaped where it would not print: a prompt must not steer the terminal.
        """
        key = _printable(self.key)
        if self.before == self.now:
            return (
                f"{key}: {_cut_end(_printable(', '.join(self.files)), width)} has another content"
            )
        before, now = cut_pair(_shown(self.before), _shown(self.now), width)
        return f"{key}: {before} → {now}"

    def to_json(self) -> dict[str, JsonValue]:
        """A key that is not there has no value, which is not the same as null."""
        sides = {"before": self.before, "now": self.now}
        values = {name: json.loads(text) for name, text in sides.items() if text is not None}
        return {"key": self.key, **values, **({"files": [*self.files]} if self.files else {})}


def input_changes(before: str, now: str) -> tuple[FieldChange, ...]:
    """Compare two inputs, JSON objects, key by key, in the order of the keys."""
    old, new = json.loads(before), json.loads(now)
    pairs = ((key, _text(old, key), _text(new, key)) for key in sorted({*old, *new}))
    return tuple(
        FieldChange(key, _written(one), _written(other), _changed_files(one, other))
        for key, one, other in pairs
        if _content(one) != _content(other)
    )


def _content(text: str | None) -> str | None:
    return None if text is None else content_of(text)


def _written(text: str | None) -> str | None:
    return None if text is None else as_written(text)


def _changed_files(before: str | None, now: str | None) -> tuple[str, ...]:
    known = {file.path: file.sha256 for file in files_in(before or "")}
    files = files_in(now or "")
    return tuple(file.path for file in files if known.get(file.path, file.sha256) != file.sha256)


def changes_of(job: ChangedInput) -> tuple[FieldChange, ...]:
    """Compare today's input with the one that may have been paid; the model comes first."""
    changes = input_changes(job.body_before, job.body_now)
    if job.model_before == job.model_now:
        return changes
    return (FieldChange("model", f'"{job.model_before}"', f'"{job.model_now}"'), *changes)


def cut_pair(before: str, now: str, width: int) -> tuple[str, str]:
    """Cut two long texts to the part around their first difference; the quotes are kept."""
    if not (_is_quoted(before) or _is_quoted(now)):
        return _cut(before, now, width)
    first, second = _cut(_inside(before), _inside(now), width - 2)
    return _as(before, first), _as(now, second)


def _inside(text: str) -> str:
    return text[1:-1] if _is_quoted(text) else text


def _as(text: str, cut: str) -> str:
    return f'"{cut}"' if _is_quoted(text) else cut


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == '"'


def _cut(before: str, now: str, width: int) -> tuple[str, str]:
    shortest, longest = sorted((len(before), len(now)))
    if longest <= width:
        return before, now
    pairs = enumerate(zip(before, now, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), shortest)
    start = max(0, first - width // 3)
    return _window(before, start, width), _window(now, start, width)


def _cut_end(text: str, width: int) -> str:
    return _window(text, 0, max(width, 1))


def _window(text: str, start: int, width: int) -> str:
    room = width - (1 if start else 0)
    end = start + room
    if end < len(text):
        end -= 1
    head = CUT if start else ""
    return f"{head}{text[start:end]}{CUT if end < len(text) else ''}"


def _text(fields: dict[str, JsonValue], key: str) -> str | None:
    return json.dumps(fields[key], ensure_ascii=False) if key in fields else None


def _shown(text: str | None) -> str:
    return ABSENT if text is None else _printable(text)


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """`seconds` is how long the model's jobs take by themselves; None: none was ever timed."""

    counts: PlanCounts
    cost: Cost
    seconds: float | None


@dataclass(frozen=True, slots=True)
class FilesToSend:
    """Distinct own files in the inputs to be submitted; `send` is the manifest's `inputs: send:`.

    `bytes` as they are on the disk: `inputs: fit: true` makes some smaller.
    """

    count: int = 0
    bytes: int = 0
    send: str = DATA

    def words(self) -> str:
        size = (
            f"{self.bytes / MEGABYTE:,.1f} MB"
            if self.bytes >= MEGABYTE
            else f"{self.bytes:,} bytes"
        )
        way = "sent inside the requests" if self.send == DATA else f"uploaded to {self.send}"
        return f"{plural(self.count, 'own file')}, {size}, {way}"

    def to_json(self) -> dict[str, JsonValue]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """`changed`, `renamed` and `orphans` are the first ones; the counts are of all.

    `seconds` for everything that can be timed. `budget` in USD is for the whole run, with what
    `money` says is spent. `outdated` are the jobs to do that the vendor no longer takes. `offline`:
    the vendor was not to be asked. `throttled` are the seconds between two submits of a model that
    the vendor allowed when it throttled last, where that is slower than the limits. `saved` is what
    the jobs to be reused would have cost. `shares`: other runs may use a part of the limits.
    `bucket` is the manifest's, for the results of real runs.
    """

    name: str
    folder: Path
    models: Mapping[str, ModelPlan]
    money: Money
    budget: float | None
    seconds: float | None
    on_changed: OnChanged
    changed: tuple[ChangedInput, ...] = ()
    renamed: tuple[RenamedJob, ...] = ()
    orphans: tuple[OrphanedJob, ...] = ()
    live: VendorFacts = field(default_factory=VendorFacts)
    outdated: RefusedJobs = field(default_factory=RefusedJobs)
    throttled: Mapping[str, float] = field(default_factory=dict)
    offline: bool = False
    rehearsal: bool = False
    shares: bool = False
    warnings: tuple[Problem, ...] = ()
    saved: Cost = field(default_factory=Cost)
    files: FilesToSend = field(default_factory=FilesToSend)
    bucket: str = ""

    @property
    def results(self) -> str:
        return str(self.folder) if self.rehearsal or not self.bucket else self.bucket

    @property
    def total(self) -> PlanCounts:
        return sum((model.counts for model in self.models.values()), PlanCounts())

    @property
    def cost(self) -> Cost:
        return sum((model.cost for model in self.models.values()), Cost())

    @property
    def untimed(self) -> list[str]:
        return [name for name, model in self.models.items() if model.seconds is None]

    @property
    def funds(self) -> Funds:
        most = None if self.budget is None else max(0.0, self.budget - self.money.committed)
        return Funds(self.live.balance, self.cost, most)

    @property
    def budget_suffices(self) -> bool | None:
        """None: there is no budget, or a price is not known."""
        return None if self.budget is None else suffices(self.budget, self.money, self.cost)

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "folder": str(self.folder),
            "results": self.results,
            "total": {**self.total.to_json()},
            "models": {
                name: {
                    **model.counts.to_json(),
                    "cost": model.cost.to_json(),
                    "seconds": _rounded(model.seconds),
                }
                for name, model in self.models.items()
            },
            "cost": self.cost.to_json(),
            "saved": self.saved.to_json(),
            "own_files": self.files.to_json(),
            "spent_usd": round(self.money.committed, 6),
            "spent_without_price": self.money.unpriced,
            "budget_usd": self.budget,
            "budget_suffices": self.budget_suffices,
            **self.funds.to_json(),
            "seconds": _rounded(self.seconds),
            "throttled_to_per_minute": {
                model: round(60.0 / interval, 2) for model, interval in self.throttled.items()
            },
            "limits_shared": self.shares,
            "models_never_timed": [*self.untimed],
            "changed": [
                {"id": one.id, "state": one.state, "input": [c.to_json() for c in changes_of(one)]}
                for one in self.changed
            ],
            "renamed": [
                {"before": one.before, "id": one.now, "state": one.state} for one in self.renamed
            ],
            "on_changed": self.on_changed.value,
            "orphaned": [
                {"id": one.id, "model": one.model, "state": one.state} for one in self.orphans
            ],
            "vendor": self._vendor_json(),
            "warnings": [one.to_json() for one in self.warnings],
        }

    def _vendor_json(self) -> dict[str, JsonValue]:
        return {
            "asked": not self.offline,
            "trouble": self.live.trouble or None,
            "balance_trouble": self.live.no_balance or None,
            "schemas_compared": [*self.live.compared],
            "schema_differences": {
                model: [*sentences] for model, sentences in self.live.differences().items()
            },
            "no_longer_taken": [*self.outdated.lines()],
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
