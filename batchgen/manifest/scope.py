"""What a file provides for its jobs: defaults, variables, environment, sweeps, and its includes.

`include` names other manifests by paths or globs, relative to the file that contains it.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.manifest.matrix import axis_names
from batchgen.manifest.parsing.nodes import text_of
from batchgen.manifest.rows import RowSource, row_source
from batchgen.manifest.templates.texts import is_literal
from batchgen.models.catalog import bundled
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.document import Prescan
    from batchgen.manifest.parsing.nodes import Node, Place
    from batchgen.manifest.parsing.source import Stamp
    from batchgen.manifest.problems import Reporter
    from batchgen.models.catalog import Catalog


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
    """What is merged into every job. The `inputs` of the innermost file come first.

    `model_is_wrong`: the default model was refused, so jobs without a model are not reported.
    """

    model: DefaultText | None = None
    model_is_wrong: bool = False
    inputs: tuple[DefaultInput, ...] = ()
    tags: tuple[DefaultText, ...] = ()

    def source_of(self, key: str) -> DefaultInput | None:
        """The `defaults.input` that the default of this key comes from."""
        return next((one for one in self.inputs if one.node.child(key) is not None), None)

    @property
    def values(self) -> Mapping[str, JsonValue]:
        merged: dict[str, JsonValue] = {}
        for one in reversed(self.inputs):
            assert isinstance(one.node.value, dict)
            merged.update(one.node.value)
        return merged

    def over(self, outer: Defaults) -> Defaults:
        """These, completed by those of the including manifest."""
        own = self.model is not None or self.model_is_wrong
        return Defaults(
            self.model if own else outer.model,
            self.model_is_wrong if own else outer.model_is_wrong,
            (*self.inputs, *outer.inputs),
            (*outer.tags, *self.tags),
        )


@dataclass(frozen=True, slots=True)
class SweepHead:
    """The part of a sweep that determines the ids of its jobs: the item `id`, and its dimensions.

    `rows` is where its rows come from, `repeats` how often a cell repeats. The item is at `place`
    in `path`.
    """

    id: str
    path: Path
    place: Place
    axes: tuple[str, ...] = ()
    rows: RowSource | None = None
    repeats: int = 1

    def is_at(self, place: Place, path: Path) -> bool:
        return self.place == place and self.path == path


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a manifest; `stamp` identifies the version that was read.

    `constants` are variables of every template in it; `written_in` has the files of those that it
    inherits. `catalog` has the models that it can name.
    """

    path: Path
    stamp: Stamp = field(repr=False)
    defaults: Defaults = field(repr=False)
    constants: Mapping[str, JsonValue] = field(repr=False)
    catalog: Catalog = field(repr=False, default_factory=bundled)
    has_jobs: bool = True
    written_in: Mapping[str, Path] = field(repr=False, default_factory=dict)


def read_sweeps(prescans: Iterable[Prescan], path: Path) -> Iterable[SweepHead]:
    """Yield the sweeps that have a name: an id that is not a template.

    Their problems are reported when their jobs are read.
    """
    for place, parts in prescans:
        item = parts.get("id")
        if item is None or isinstance(item.value, list | dict | None):
            continue
        name = text_of(item)
        if not is_literal(name):
            continue
        matrix, rows, repeat = parts.get("matrix"), parts.get("from"), parts.get("repeat")
        axes = axis_names(matrix.value) if matrix and isinstance(matrix.value, dict) else ()
        source = None
        if rows is not None and isinstance(rows.value, str):
            source = row_source(rows.value, path.parent)
        repeats = repeat.value if repeat and type(repeat.value) is int else 1
        yield SweepHead(name, path, place, axes, source, repeats)


def sources_of(prescans: Iterable[Prescan], folder: Path) -> list[RowSource]:
    rows = (one.parts["from"].value for one in prescans if "from" in one.parts)
    return [row_source(name, folder) for name in rows if isinstance(name, str)]


MOST_FILES = 10_000
DEEPEST = 50
"""Levels of manifests that include each other."""


def patterns_in(node: Node | None) -> list[Node]:
    """The nodes of the patterns in `include`, which is a text or a list of texts."""
    if node is None:
        return []
    found = node.children.values() if isinstance(node.value, list) else [node]
    return [one for one in found if isinstance(one.value, str)]


def matching(pattern: str, folder: Path) -> list[Path]:
    """The files that a pattern matches, ordered by name."""
    if not glob.has_magic(pattern):
        return [folder / pattern]
    found = glob.glob(str(Path(glob.escape(str(folder))) / pattern), recursive=True)  # noqa: PTH207 - takes absolute patterns too
    return [path for path in map(Path, sorted(found)) if path.is_file()]


class IncludeTree:
    """Which file was included by which. Different spellings of a path are the same file."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._came_from: dict[Path, Path | None] = {}

    def below(self, node: Node | None, reporter: Reporter) -> Iterator[Path]:
        """Yield the files that this one includes, and report what cannot be included."""
        self._came_from.setdefault(self._top.resolve(), None)
        for one in patterns_in(node):
            pattern = str(one.value)
            files = matching(pattern, reporter.path.parent)
            if not files:
                hint = "a pattern is relative to the manifest that contains it"
                reporter.log.has_unread = True
                reporter.at(one.place, f"no file matches '{pattern}'", hint)
            for file in files:
                if (objection := self._objection(file, reporter.path)) is None:
                    yield file
                else:
                    reporter.log.has_unread = True
                    reporter.at(one.place, *objection)

    def _objection(self, file: Path, by: Path) -> tuple[str, str | None] | None:
        key = file.resolve()
        if not file.is_file():
            near = [one.name for one in file.parent.glob("*") if one.is_file()]
            what = "is a folder" if file.is_dir() else "does not exist"
            return f"the included file {file} {what}", did_you_mean(file.name, near[:MOST_FILES])
        chain = self._chain(by.resolve())
        if key in chain:
            names = " → ".join(one.name for one in (*chain[chain.index(key) :], key))
            return f"manifests include each other in a circle: {names}", "remove this include"
        if len(chain) > DEEPEST:
            return f"manifests include each other more than {DEEPEST} deep", "include it higher up"
        if key in self._came_from:
            return f"{file} is included twice", "remove one of the two"
        if len(self._came_from) >= MOST_FILES:
            return f"more than {MOST_FILES} files are included", "put the jobs into fewer files"
        self._came_from[key] = by.resolve()
        return None

    def _chain(self, file: Path) -> list[Path]:
        """From the top manifest down to this file."""
        chain: list[Path] = []
        step: Path | None = file
        while step is not None:
            chain.insert(0, step)
            step = self._came_from[step]
        return chain
