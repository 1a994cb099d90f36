"""An item of `jobs`: its structure checked and its texts compiled, before it gives any cells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchgen.jobs import RejectedJob
from batchgen.manifest.naming import NameTemplateError, check_template
from batchgen.manifest.parsing.document import SWEEP_KEYS
from batchgen.manifest.parsing.nodes import Node, Path, place_of, text_at, text_of
from batchgen.manifest.rows import RowSource, row_source
from batchgen.manifest.rows.file_rows import CAPTION
from batchgen.manifest.schema_validation import job_problems
from batchgen.manifest.stray_templates import JOB_HINTS, unread_templates, warn_of_cut_texts
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import CompiledText, compile_text, is_literal
from batchgen.models.messages import InputProblem

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path as FilePath

    from batchgen.jobs import JsonObject
    from batchgen.manifest.problems import Reporter
    from batchgen.manifest.scope import DefaultText, Part
    from batchgen.models.catalog import Catalog


_OPENER = re.compile(r"\{[{%#]")


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of `jobs`. `needs` maps names in templates to ids of jobs or of sweeps.

    `rows` is where its rows come from, if it has any.

    The path of a tag that comes from the defaults begins with `defaults`.
    """

    node: Node = field(repr=False)
    part: Part = field(repr=False)
    id: CompiledText | None
    model: CompiledText | None
    input: JsonObject = field(repr=False)
    tags: tuple[tuple[Path, CompiledText], ...]
    name: str | None
    needs: Mapping[str, CompiledText]
    priority: int
    gate: bool
    rows: RowSource | None = None

    @property
    def is_sweep(self) -> bool:
        return not SWEEP_KEYS.isdisjoint(self._value)

    @property
    def is_repeated(self) -> bool:
        return int(self._value.get("repeat", 1)) > 1

    @property
    def are_rows_files(self) -> bool:
        """Whether each row is a picture, video or sound, and its jobs are named after it."""
        return self.rows is not None and self.rows.are_files

    @property
    def has_open_rows(self) -> bool:
        """Whether each row may have different columns."""
        if self.rows is None or self.rows.are_files:
            return False
        return self.rows.written.lower().endswith((".json", ".jsonl", ".ndjson"))

    @property
    def skips_bad_rows(self) -> bool:
        return self._value.get("bad_rows") == "skip"

    @property
    def literal_id(self) -> str | None:
        return self.id.source if self.id is not None and self.id.is_literal else None

    @property
    def sweep_name(self) -> str:
        """The sweep's name in messages and reports: its id as written, or its line."""
        if not self.is_sweep:
            return ""
        return f"line {self.node.place.line}" if self.id is None else self.id.source

    @property
    def names_of_some(self) -> frozenset[str]:
        """Variables that only some cells may have: by an include of the matrix, or a caption."""
        entries = self._value.get("matrix", {}).get("include", [])
        captions = {CAPTION} if self.are_rows_files else ()
        return frozenset((*(key for entry in entries for key in entry), *captions))

    def name_problems(self, known: Collection[str]) -> list[InputProblem]:
        """Find templates outside the input with a variable that no cell has."""
        texts = [(("id",), self.id), *self.tags]
        texts += [(("needs", name), text) for name, text in self.needs.items()]
        found = []
        for path, text in texts:
            try:
                if text is not None:
                    text.check_names(known)
            except TemplateProblem as exc:
                found.append(InputProblem(path, exc.what, exc.next_step))
        return found

    @property
    def _value(self) -> Mapping[str, Any]:
        assert isinstance(self.node.value, Mapping)
        return self.node.value


def build_item(node: Node, part: Part, reporter: Reporter) -> Item | None:
    """Check and compile an item. None if the item itself is wrong, which is reported."""
    problems = job_problems(node.value) or unread_templates(node.value, JOB_HINTS)
    if problems:
        reporter.below(node, problems, job_id=id_of(node))
        return None
    if node.may_have_comments:
        warn_of_cut_texts(node.child("matrix"), reporter)
        warn_of_cut_prompts(node.child("input"), part.catalog, reporter)
    return _ItemCompiler(node, reporter).item(part)


def warn_of_cut_prompts(given: Node | None, catalog: Catalog, reporter: Reporter) -> None:
    """Warn about free texts of an input only: comments after other values are genuine."""
    for key in catalog.free_texts:
        child = None if given is None else given.child(key)
        warn_of_cut_texts(child, reporter, surely_text=True)


def id_of(node: Node) -> str | None:
    """The id as written, for messages."""
    child = node.child("id")
    if child is None or isinstance(child.value, list | dict | None):
        return None
    return text_of(child)[:200].strip() or None


def refused(node: Node, path: FilePath) -> RejectedJob:
    """What is known of an item that gives no jobs, or not all of its jobs."""
    own = node.child("id")
    if own is None or isinstance(own.value, list | dict | None):
        # If its jobs are named after their content, no other job needs them by id.
        by_content = isinstance(node.value, Mapping) and not _is_of_files(node.value, path)
        return RejectedJob("\0" if by_content else "", is_stem=True)
    text = text_of(own)
    if is_literal(text) and not SWEEP_KEYS & node.children.keys():
        return RejectedJob(text, str(path), node.place.line)
    return RejectedJob(_OPENER.split(text, maxsplit=1)[0], is_stem=True)


def _is_of_files(value: Mapping[str, Any], path: FilePath) -> bool:
    source = value.get("from")
    return isinstance(source, str) and row_source(source, path.parent).are_files


class _ItemCompiler:
    """Compiles the texts of one item and reports invalid templates."""

    def __init__(self, node: Node, reporter: Reporter) -> None:
        assert isinstance(node.value, Mapping)
        self._node = node
        self._value: Mapping[str, Any] = node.value
        self._reporter = reporter
        self._is_valid = True

    def item(self, part: Part) -> Item | None:
        node = self._node
        value = self._value
        given, priority = value.get("input", {}), value.get("priority", 0)
        assert isinstance(given, Mapping)
        assert isinstance(priority, int)
        found = Item(
            node=node,
            part=part,
            id=self._text(("id",)),
            model=self._text(("model",), part.defaults.model),
            input=given,
            tags=self._tags(part),
            name=self._name(),
            needs=self._needs(),
            priority=priority,
            gate=bool(value.get("gate", False)),
            rows=row_source(str(value["from"]), part.path.parent) if "from" in value else None,
        )
        return found if self._is_valid else None

    def _text(self, path: Path, default: DefaultText | None = None) -> CompiledText | None:
        text = text_at(self._node, path)
        if text is not None:
            return self._compiled(path, text)
        return None if default is None else self._compiled(path, default.text, default)

    def _tags(self, part: Part) -> tuple[tuple[Path, CompiledText], ...]:
        tags = self._value.get("tags", ())
        found: list[tuple[Path, CompiledText | None]] = [
            (path, self._compiled(path, tag.text, tag))
            for path, tag in (
                (("defaults", "tags", n), one) for n, one in enumerate(part.defaults.tags)
            )
        ]
        found += [(("tags", index), self._text(("tags", index))) for index in range(len(tags))]
        return tuple((path, tag) for path, tag in found if tag is not None)

    def _name(self) -> str | None:
        name = text_at(self._node, ("name",))
        if name is None:
            return None
        try:
            check_template(name, extra=None)
        except NameTemplateError as exc:
            self._wrong(("name",), exc.what, exc.next_step)
        return name

    def _needs(self) -> dict[str, CompiledText]:
        node = self._node.child("needs")
        if node is None:
            return {}
        names = node.children if isinstance(node.value, Mapping) else None
        found: dict[str, CompiledText] = {}
        for key, child in node.children.items():
            text = text_of(child)
            compiled = self._text(("needs", key))
            if compiled is not None:
                found[text if names is None else str(key)] = compiled
        return found

    def _compiled(
        self, path: Path, text: str, default: DefaultText | None = None
    ) -> CompiledText | None:
        try:
            return compile_text(text)
        except TemplateProblem as exc:
            if default is None:
                self._wrong((*path, *exc.path), exc.what, exc.next_step)
            else:
                self._is_valid = False
                self._reporter.of(default.path).at(default.place, exc.what, exc.next_step)
            return None

    def _wrong(self, path: Path, what: str, hint: str | None) -> None:
        self._is_valid = False
        place = place_of(self._node, path)
        self._reporter.at(place, what, hint, id_of(self._node))
