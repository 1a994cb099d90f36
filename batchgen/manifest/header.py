"""The header of a manifest: checked, and turned into what the other rooms read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchgen.errors import InputError
from batchgen.manifest.document import Header, read_header
from batchgen.manifest.halting import parse_stop_at
from batchgen.manifest.naming import NameTemplateError, check_template
from batchgen.manifest.policy import Output, Policy, parse_duration
from batchgen.manifest.report import Reporter
from batchgen.manifest.settings import build_output, build_policy, without
from batchgen.manifest.structure import header_problems
from batchgen.models.catalog import catalog, find_model, nearest_model
from batchgen.models.nearest import did_you_mean
from batchgen.models.wording import InputProblem, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from batchgen.manifest.nodes import Node
    from batchgen.manifest.problems import ProblemLog


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is merged under every job. `input` holds the nodes, so that problems have places.

    `model_is_wrong`: the default model was refused already; jobs without a model are not blamed.
    """

    model: str | None = None
    model_is_wrong: bool = False
    input: Node | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest without its jobs, which only stream by: see `checked_jobs`."""

    path: Path
    name: str
    policy: Policy
    output: Output
    defaults: Defaults = field(repr=False)
    rehearsal: bool = False


def read_manifest(path: Path, problems: ProblemLog, *, rehearsal: bool = False) -> Manifest | None:
    """Read all but the jobs; None where the file is too broken to look at its jobs.

    A value that is wrong is logged and replaced by its default, so that the jobs can be checked as
    well. With `rehearsal`, files may be on this machine. Raises MissingFileError, StorageError.
    """
    reporter = Reporter(path, problems)
    header = read_header(reporter)
    if header is None:
        return None
    found = header_problems(header.node.value, complete=header.complete)
    told = {problem.path for problem in found}
    found += [one for one in _meaning_problems(header.node.value) if one.path not in told]
    reporter.below(header.node, found)
    if header.jobs_at is None:
        if header.complete and "jobs" not in header.keys:
            reporter.at(header.place, "jobs is required", "list the jobs under 'jobs:'")
        return None
    sound = without(header.node.value, {problem.path for problem in found})
    name = sound.get("name", path.stem)
    return Manifest(
        path=path,
        name=name,
        policy=build_policy(sound.get("run", {})),
        output=build_output(sound.get("output", {}), name),
        defaults=_build_defaults(header, sound.get("defaults", {})),
        rehearsal=rehearsal,
    )


def _build_defaults(header: Header, sound: Mapping[str, Any]) -> Defaults:
    node = header.children.get("defaults")
    if node is None or not isinstance(node.value, dict):
        return Defaults()
    tags = node.child("tags") if "tags" in sound else None
    return Defaults(
        model=sound.get("model"),
        model_is_wrong="model" in node.value and "model" not in sound,
        input=node.child("input") if "input" in sound else None,
        tags=tuple(text_of(tag) for tag in tags.children.values()) if tags else (),
    )


def text_of(node: Node) -> str:
    """Give a text as it is written: the id `007` stays `007`, though YAML takes it for 7."""
    return node.value if isinstance(node.value, str) else node.text


def unknown_model(path: tuple[str | int, ...], model: str, *, at_key: bool = False) -> InputProblem:
    return InputProblem(path, f"unknown model {shown(model)}", nearest_model(model), at_key=at_key)


def _meaning_problems(header: Any) -> list[InputProblem]:
    """Find what the schema file cannot know: models, their keys, templates."""
    defaults, run = _mapping(header, "defaults"), _mapping(header, "run")
    found = [
        unknown_model(("run", "models", model), model, at_key=True)
        for model in _mapping(run, "models")
        if find_model(model) is None
    ]
    model = defaults.get("model")
    if isinstance(model, str) and find_model(model) is None:
        found.append(unknown_model(("defaults", "model"), model))
    known = {key for one in catalog().values() for key in one.keys}
    for key in _mapping(defaults, "input").keys() - known:
        message, hint = f"no model has the key {shown(key)}", did_you_mean(key, known)
        found.append(InputProblem(("defaults", "input", key), message, hint, at_key=True))
    for key, parse in _TIMES.items():
        found += _time_problems(run, key, parse)
    return found + _template_problems(_mapping(header, "output"))


_TIMES: Mapping[str, Callable[[str], object]] = {
    "timeout": parse_duration,
    "max_duration": parse_duration,
    "stop_at": parse_stop_at,
}


def _time_problems(
    run: Mapping[str, Any], key: str, parse: Callable[[str], object]
) -> list[InputProblem]:
    """Find a time that looks like one and is none: `0s`, a hundred days, `25:00`."""
    text = run.get(key)
    if not isinstance(text, str):
        return []
    try:
        parse(text)
    except InputError as exc:
        return [InputProblem(("run", key), exc.what, exc.next_step)]
    return []


def _template_problems(output: Mapping[str, Any]) -> list[InputProblem]:
    name = output.get("name")
    if not isinstance(name, str):
        return []
    try:
        check_template(name)
    except NameTemplateError as exc:
        return [InputProblem(("output", "name"), exc.what, exc.next_step)]
    return []


def _mapping(parent: Any, key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}
