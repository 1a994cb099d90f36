"""What the header gives to the jobs of its file: defaults, constants, environment, sweeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.manifest.matrix.combinations import axes_of
from batchgen.manifest.parsing.nodes import text_of
from batchgen.manifest.templates.texts import is_literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.document import Glance
    from batchgen.manifest.parsing.nodes import Node, Place
    from batchgen.manifest.stamps import Stamp


@dataclass(frozen=True, slots=True)
class DefaultInput:
    """One file's `defaults.input`; its nodes have places in `path`."""

    path: Path
    node: Node


@dataclass(frozen=True, slots=True)
class DefaultText:
    """A text below `defaults` of the file `path`."""

    path: Path
    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is merged under every job; of several files' inputs the nearest comes first.

    `model_is_wrong`: the default model was refused already; jobs without a model are not blamed.
    """

    model: DefaultText | None = None
    model_is_wrong: bool = False
    inputs: tuple[DefaultInput, ...] = ()
    tags: tuple[DefaultText, ...] = ()

    def source_of(self, key: str) -> DefaultInput | None:
        """Where the default of an input's key stands."""
        return next((one for one in self.inputs if one.node.child(key) is not None), None)

    @property
    def values(self) -> Mapping[str, JsonValue]:
        merged: dict[str, JsonValue] = {}
        for one in reversed(self.inputs):
            assert isinstance(one.node.value, dict)
            merged.update(one.node.value)
        return merged

    def over(self, outer: Defaults) -> Defaults:
        """These, with those of the including manifest for what they do not say."""
        own = self.model is not None or self.model_is_wrong
        return Defaults(
            self.model if own else outer.model,
            self.model_is_wrong if own else outer.model_is_wrong,
            (*self.inputs, *outer.inputs),
            (*outer.tags, *self.tags),
        )


@dataclass(frozen=True, slots=True)
class SweepHead:
    """As much of a sweep as tells the ids of its jobs: the item `id`, and what it sweeps over.

    `rows` is the data file, `repeats` how often each cell stands. The item is at `place` in `path`.
    """

    id: str
    path: Path
    place: Place
    axes: tuple[str, ...] = ()
    rows: Path | None = None
    repeats: int = 1

    def stands_at(self, place: Place, path: Path) -> bool:
        return self.place == place and self.path == path


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a manifest, and what it was when this was read from it.

    `constants` are variables of every template in it.
    """

    path: Path
    stamp: Stamp = field(repr=False)
    defaults: Defaults = field(repr=False)
    constants: Mapping[str, JsonValue] = field(repr=False)
    has_jobs: bool = True


def read_sweeps(glanced: Iterable[Glance], path: Path) -> Iterable[SweepHead]:
    """Those that have a name: an id that is no template, which names each job by itself.

    What is wrong with one is told when it is read.
    """
    for place, parts in glanced:
        item = parts.get("id")
        if item is None or isinstance(item.value, list | dict | None):
            continue
        name = text_of(item)
        if not is_literal(name):
            continue
        matrix, rows, repeat = parts.get("matrix"), parts.get("from"), parts.get("repeat")
        axes = axes_of(matrix.value) if matrix and isinstance(matrix.value, dict) else ()
        file = path.parent / rows.value if rows and isinstance(rows.value, str) else None
        repeats = repeat.value if repeat and type(repeat.value) is int else 1
        yield SweepHead(name, path, place, axes, file, repeats)


def data_files_of(glanced: Iterable[Glance], folder: Path) -> list[Path]:
    rows = (one.parts["from"].value for one in glanced if "from" in one.parts)
    return [folder / name for name in rows if isinstance(name, str)]
