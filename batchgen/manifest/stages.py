"""The stages that a job passes: node → draft → merged with the defaults → checked → claimed.

Each is a generator that takes the one before, so that one job is in memory at a time. A job that a
stage refuses is logged there and goes no further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from batchgen.jobs import Job, JsonObject, JsonValue, content_id
from batchgen.manifest.header import Defaults, Manifest, text_of, unknown_model
from batchgen.manifest.naming import NameTemplateError, NameValues, check_template, render_name
from batchgen.manifest.nodes import Node, place_of
from batchgen.manifest.structure import job_problems
from batchgen.models.catalog import Model, find_model
from batchgen.models.inputs import CheckedInput, check_input
from batchgen.models.sizes import SHORT_KEY, SIZE_KEY, short_size
from batchgen.models.wording import InputProblem

if TYPE_CHECKING:
    from batchgen.manifest.report import Reporter

Claim: TypeAlias = Callable[[str, int], int | None]
"""Takes an id for the job at this line; answers with the line of the job that has it already."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A job whose structure is sound. `id` is None where the manifest gives none."""

    node: Node
    id: str | None
    model: Model
    input: JsonObject
    tags: tuple[str, ...]
    name: str | None


@dataclass(frozen=True, slots=True)
class Merged:
    """A draft with the defaults under its input; `from_defaults` names the keys that came so."""

    draft: Draft
    input: JsonObject
    from_defaults: frozenset[str]


def drafts(nodes: Iterable[Node], defaults: Defaults, reporter: Reporter) -> Iterator[Draft]:
    for node in nodes:
        problems = job_problems(node.value)
        model = _model_of(node, defaults)
        if isinstance(model, InputProblem):
            problems = [*problems, model]
        if problems:
            reporter.below(node, problems, job_id=_id_of(node))
        elif model is not None and not isinstance(model, InputProblem):
            yield _draft(node, model)


def merged(stream: Iterable[Draft], defaults: Defaults) -> Iterator[Merged]:
    """Put under each input the defaults that its model knows."""
    given = defaults.input.value if defaults.input else {}
    assert isinstance(given, Mapping)

    @cache
    def known_to(model: Model) -> dict[str, JsonValue]:
        return {key: value for key, value in given.items() if key in model.keys}

    for draft in stream:
        own = draft.input.keys()
        # `size` and the schema's own key are one: the job's spelling must not meet the other.
        hidden = {SHORT_KEY, SIZE_KEY} if {SHORT_KEY, SIZE_KEY} & own else set()
        under = {
            key: value
            for key, value in known_to(draft.model).items()
            if key not in own and key not in hidden
        }
        yield Merged(draft, {**under, **draft.input}, frozenset(under))


def checked(
    stream: Iterable[Merged], manifest: Manifest, reporter: Reporter
) -> Iterator[tuple[Draft, CheckedInput]]:
    """Ask the models. What a default value does wrong is told once, where the default stands."""
    told: set[tuple[Model, str]] = set()
    for one in stream:
        answer = check_input(one.draft.model, one.input, rehearsal=manifest.rehearsal)
        if isinstance(answer, CheckedInput):
            yield one.draft, answer
            continue
        shared = [
            problem
            for problem in answer
            if problem.path[:1] and problem.path[0] in one.from_defaults
        ]
        own = [problem for problem in answer if problem not in shared]
        reporter.below(one.draft.node, own, ("input",), _id_of(one.draft.node))
        for problem in shared:
            fault = (one.draft.model, str(problem.path[0]))
            if manifest.defaults.input is not None and fault not in told:
                reporter.below(manifest.defaults.input, [problem])
            told.add(fault)


def named(
    stream: Iterable[tuple[Draft, CheckedInput]], manifest: Manifest, reporter: Reporter
) -> Iterator[tuple[Draft, Job]]:
    """Make each job, with the name of its files."""
    for draft, sound in stream:
        job_id = draft.id if draft.id is not None else content_id(draft.model.id, sound.body)
        tags = tuple(dict.fromkeys((*manifest.defaults.tags, *draft.tags)))
        values = NameValues(
            job_id, draft.model.alias, draft.model.id, _nameable(sound.values), tags
        )
        try:
            if draft.name is not None:
                check_template(draft.name)
            name = render_name(draft.name or manifest.output.name, values)
        except NameTemplateError as exc:
            place = place_of(draft.node, ("name",))
            reporter.at(place, exc.what, exc.next_step, job_id)
            continue
        line = draft.node.place.line
        yield draft, Job(job_id, draft.model.id, sound.body, name, tags, line)


def claimed(stream: Iterable[tuple[Draft, Job]], claim: Claim, reporter: Reporter) -> Iterator[Job]:
    """Let each id pass once."""
    for draft, job in stream:
        earlier = claim(job.id, job.line)
        if earlier is None:
            yield job
            continue
        lines = f"lines {earlier} and {job.line}"
        if draft.id is None:
            message = f"two jobs without an id are equal: {lines}"
            hint = "give each an id to get both, or remove one"
        else:
            message = f"the id '{job.id}' stands twice: {lines}"
            hint = "every job needs an id of its own"
        reporter.at(place_of(draft.node, ("id",)), message, hint, job.id)


def _model_of(node: Node, defaults: Defaults) -> Model | InputProblem | None:
    """Find the model of a job; None where the default is to blame, which was said before."""
    own = node.value.get("model") if isinstance(node.value, dict) else None
    if isinstance(own, str):
        return find_model(own) or unknown_model(("model",), own)
    if own is not None or not isinstance(node.value, dict) or "model" in node.value:
        return None
    if defaults.model is not None:
        return find_model(defaults.model)
    if defaults.model_is_wrong:
        return None
    hint = "name it in the job, or for all jobs under defaults"
    return InputProblem(("model",), "model is required", hint)


def _draft(node: Node, model: Model) -> Draft:
    given, tags = node.child("input"), node.child("tags")
    own = given.value if given else {}
    assert isinstance(own, Mapping)
    name = node.child("name")
    return Draft(
        node=node,
        id=_id_of(node),
        model=model,
        input=own,
        tags=tuple(text_of(tag) for tag in tags.children.values()) if tags else (),
        name=text_of(name) if name else None,
    )


def _id_of(node: Node) -> str | None:
    child = node.child("id")
    if child is None or isinstance(child.value, list | dict | None):
        return None
    return text_of(child)[:200]


def _nameable(values: JsonObject) -> JsonObject:
    """Let templates say `input.size`, which is no key of the schema."""
    full = values.get(SIZE_KEY)
    return {**values, SHORT_KEY: short_size(full)} if isinstance(full, str) else values
