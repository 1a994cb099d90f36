"""What the header gives to the jobs of its file: defaults, constants, environment, sweeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.manifest.matrix.combinations import axes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.nodes import Node
    from batchgen.manifest.stamps import Stamp


@dataclass(frozen=True, slots=True)
class DefaultInput:
    """One file's `defaults.input`; its nodes have places in `path`."""

    path: Path
    node: Node


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is merged under every job; of several files' inputs the nearest comes first.

    `model_is_wrong`: the default model was refused already; jobs without a model are not blamed.
    """

    model: str | None = None
    model_is_wrong: bool = False
    inputs: tuple[DefaultInput, ...] = ()
    tags: tuple[str, ...] = ()

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
            tuple(dict.fromkeys((*outer.tags, *self.tags))),
        )


@dataclass(frozen=True, slots=True)
class SweepHead:
    """As much of a sweep as tells the ids of its jobs: the item `id`, and what it sweeps over.

    `rows` is the data file, `repeats` how often each cell stands.
    """

    id: str
    axes: tuple[str, ...] = ()
    rows: Path | None = None
    repeats: int = 1


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


def read_sweeps(glanced: Iterable[Mapping[str, Node]], folder: Path) -> Iterable[SweepHead]:
    """Those that have an id of their own; what is wrong with one is told when it is read."""
    for parts in glanced:
        item = parts.get("id")
        if item is None or isinstance(item.value, list | dict | None):
            continue
        matrix, rows, repeat = parts.get("matrix"), parts.get("from"), parts.get("repeat")
        axes = axes_of(matrix.value) if matrix and isinstance(matrix.value, dict) else ()
        file = folder / rows.value if rows and isinstance(rows.value, str) else None
        repeats = repeat.value if repeat and type(repeat.value) is int else 1
        name = item.value if isinstance(item.value, str) else item.text
        yield SweepHead(name, axes, file, repeats)


def data_files_of(glanced: Iterable[Mapping[str, Node]], folder: Path) -> list[Path]:
    rows = (parts["from"].value for parts in glanced if "from" in parts)
    return [folder / name for name in rows if isinstance(name, str)]
