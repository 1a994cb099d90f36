"""The usual item of `jobs`, a single job without templates, in one step.

What all of them share (the model, the defaults, the tags) is looked up once. Anything that is not
usual, or may be wrong, goes the long way through items.py and job_builder.py, which alone report
problems and warnings; of a usual job, both ways make the same `Job`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from batchgen.input_files import HOST
from batchgen.jobs import Job, content_id
from batchgen.manifest.compiled_input import known_defaults, merged
from batchgen.manifest.identifiers import is_usable_id, is_usable_tag
from batchgen.manifest.naming import NameValues, is_template_of, render_name, with_short_size
from batchgen.manifest.parsing.recording import RecordedNode
from batchgen.manifest.policy import DEFAULT_NAME
from batchgen.manifest.schema_validation import is_valid_job
from batchgen.manifest.stray_templates import foreign_syntax
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import is_literal
from batchgen.models.inputs import accepted_input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.header import Manifest
    from batchgen.manifest.parsing.nodes import Node
    from batchgen.manifest.scope import Part
    from batchgen.models.catalog import Model

_KEYS = frozenset({"id", "model", "input", "tags", "priority", "gate"})
MOST_KEPT = 1024
"""Names of models, and lists of tags."""


@dataclass(frozen=True, slots=True)
class _ForModel:
    """What the literal jobs of one model share."""

    model: Model
    defaults: Mapping[str, JsonValue]


class LiteralJobs:
    """Makes the literal jobs of one file of the manifest."""

    def __init__(self, part: Part, manifest: Manifest) -> None:
        self._part = part
        self._manifest = manifest
        self._file = str(part.path)
        self._free_texts = part.catalog.free_texts
        model = part.defaults.model
        self._default_model = None if model is None else model.text
        self._default_tags = tuple(tag.text for tag in part.defaults.tags)
        self._default_values = part.defaults.values
        self._name = manifest.output.name
        # Drawing from prompts needs the long way.
        self._is_on = manifest.prompts is None and is_template_of(self._name, part.constants)
        self._for_model = lru_cache(maxsize=MOST_KEPT)(self._find_model)
        self._all_tags = lru_cache(maxsize=MOST_KEPT)(self._merge_tags)

    def job(self, node: Node) -> Job | None:
        """The job of a usual item; None if the item has to go the long way."""
        value: Any = node.value
        if not self._is_on or type(node) is not RecordedNode or node.may_have_comments:
            return None
        if not value.keys() <= _KEYS or not is_valid_job(value):
            return None
        written_id = value.get("id")
        if written_id is not None and not is_usable_id(written_id):
            return None
        shared = self._for_model(value.get("model", self._default_model))
        tags = self._all_tags(tuple(value["tags"])) if "tags" in value else self._all_tags(())
        if shared is None or tags is None:
            return None
        return self._job(node, value, written_id, shared, tags)

    def _job(
        self,
        node: Node,
        value: Mapping[str, Any],
        written_id: str | None,
        shared: _ForModel,
        tags: tuple[str, ...],
    ) -> Job | None:
        model = shared.model
        values = merged(value.get("input", {}), shared.defaults)[0]
        # The path of an own file is not accepted, as it is no URL.
        checked = accepted_input(model, values, rehearsal=self._manifest.rehearsal)
        # In canonical JSON only a text or a key can have the beginning of a template.
        if checked is None or HOST in checked.body or not is_literal(checked.body):
            return None
        if self._has_odd_text(values):
            return None
        job_id = written_id or content_id(model.id, checked.body)
        name = self._name_of(job_id, model, checked.values, tags)
        if name is None:
            return None
        return Job(
            job_id,
            model.id,
            checked.body,
            name,
            tags,
            node.place.line,
            self._file,
            value.get("priority", 0),
            gate=value.get("gate", False),
        )

    def _has_odd_text(self, values: JsonObject) -> bool:
        """Whether there is something to warn about."""
        free_texts = self._free_texts
        for key, text in values.items():
            if key in free_texts and isinstance(text, str) and foreign_syntax(text):
                return True
        return False

    def _name_of(
        self, job_id: str, model: Model, values: JsonObject, tags: tuple[str, ...]
    ) -> str | None:
        if self._name == DEFAULT_NAME:
            return job_id
        given = with_short_size(values)
        named = NameValues(job_id, model.alias, model.id, given, tags, self._part.constants)
        try:
            return render_name(self._name, named)
        except TemplateProblem:
            return None

    def _find_model(self, name: str | None) -> _ForModel | None:
        model = None
        if name is not None and is_literal(name):
            model = self._part.catalog.named(name)
        if model is None:
            return None
        policy = self._manifest.policy.models.get(model.id)
        model = model.accepting(policy.accept_fields if policy else ())
        return _ForModel(model, known_defaults(self._default_values, model))

    def _merge_tags(self, own: tuple[JsonValue, ...]) -> tuple[str, ...] | None:
        found: list[str] = [*self._default_tags]
        for tag in own:
            if not isinstance(tag, str):
                return None
            found.append(tag)
        return tuple(dict.fromkeys(found)) if all(map(is_usable_tag, found)) else None
