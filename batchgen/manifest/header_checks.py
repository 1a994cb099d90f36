"""Checks of the header that the schema cannot do: models, templates, folders, addresses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.errors import InputError
from batchgen.manifest.naming import NameTemplateError, check_template
from batchgen.manifest.stray_templates import HEADER_HINTS, unread_templates
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import is_literal
from batchgen.manifest.units import parse_duration, parse_moment
from batchgen.models.messages import InputProblem, describe_path, format_value
from batchgen.models.own_models import is_model_id
from batchgen.notify import Notify, Occasion, read_address
from batchgen.storage.locations import BucketLocation, FolderLocation, parse_location
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from batchgen.manifest.parsing.nodes import Node
    from batchgen.manifest.problems import Reporter
    from batchgen.models.catalog import Catalog
    from batchgen.notify import Address


def unknown_model(
    path: tuple[str | int, ...], model: str, catalog: Catalog, *, at_key: bool = False
) -> InputProblem:
    hint = catalog.nearest(model)
    if is_model_id(model) and (hint is None or not hint.startswith("did you mean")):
        hint = f"{hint}; another model of the vendor's: batchgen models add {model}"
    return InputProblem(path, f"unknown model {format_value(model)}", hint, at_key=at_key)


def unknown_models(header: Any, catalog: Catalog) -> list[InputProblem]:
    """Find models under `run.models` and in the defaults that no catalog has."""
    defaults, run = mapping_at(header, "defaults"), mapping_at(header, "run")
    found = [
        unknown_model(("run", "models", model), model, catalog, at_key=True)
        for model in mapping_at(run, "models")
        if catalog.named(model) is None
    ]
    model = defaults.get("model")
    if isinstance(model, str) and is_literal(model) and catalog.named(model) is None:
        found.append(unknown_model(("defaults", "model"), model, catalog))
    return found


def meaning_problems(header: Any, catalog: Catalog) -> list[InputProblem]:
    """Find unknown keys, models named twice, stray templates, unusable folders and times."""
    defaults, run = mapping_at(header, "defaults"), mapping_at(header, "run")
    found = _named_twice(mapping_at(run, "models"), catalog)
    known = {key for one in catalog.models.values() for key in one.keys} | _accepted_fields(run)
    for key in mapping_at(defaults, "input").keys() - known:
        message, hint = f"no model has the key {format_value(key)}", did_you_mean(key, known)
        found.append(InputProblem(("defaults", "input", key), message, hint, at_key=True))
    found += unread_templates(header, HEADER_HINTS)
    found += _folder_problems(mapping_at(header, "output"))
    for key, parse in _TIMES.items():
        found += _time_problems(run, key, parse)
    return found


def _folder_problems(output: Mapping[str, Any]) -> list[InputProblem]:
    found = [_folder_problem(output, "dir"), _folder_problem(output, "state")]
    problems = [one for one in found if one is not None]
    if problems or not isinstance(output.get("state"), str):
        return problems
    if isinstance(parse_location(str(output.get("dir", ""))), FolderLocation):
        what = "output.state is for results in a bucket: the state of others is in output.dir"
        return [InputProblem(("output", "state"), what, "leave it out", at_key=True)]
    return []


def _folder_problem(output: Mapping[str, Any], key: str) -> InputProblem | None:
    folder = output.get(key)
    if not isinstance(folder, str):
        return None
    try:
        location = parse_location(folder)
        if key == "state" and isinstance(location, BucketLocation):
            what = "the state must be in a folder of this machine: a bucket has no locks"
            return InputProblem(("output", key), what, "name a folder, or leave it out")
        if folder.startswith("~/") or folder == "~":
            Path(folder).expanduser()
    except InputError as exc:
        return InputProblem(("output", key), exc.what, exc.next_step)
    except RuntimeError:
        what = "you have no home folder here, so '~' leads nowhere"
        return InputProblem(("output", key), what, "write the whole path, or set HOME")
    return None


def _accepted_fields(run: Mapping[str, Any]) -> set[str]:
    named = [
        name
        for policy in mapping_at(run, "models").values()
        if isinstance(policy, dict) and isinstance(policy.get("accept_fields"), list)
        for name in policy["accept_fields"]
    ]
    return {name for name in named if isinstance(name, str)}


def _named_twice(models: Mapping[str, Any], catalog: Catalog) -> list[InputProblem]:
    """Find a model that is given twice: by its id and by its short name."""
    first: dict[str, str] = {}
    found = []
    for name in models:
        model = catalog.named(name)
        if model is not None and (other := first.setdefault(model.id, name)) != name:
            message = f"{format_value(name)} and {format_value(other)} are the same model"
            path = ("run", "models", name)
            found.append(InputProblem(path, message, "combine them into one", at_key=True))
    return found


_TIMES: Mapping[str, Callable[[str], object]] = {
    "timeout": parse_duration,
    "max_duration": parse_duration,
    "start_at": parse_moment,
    "stop_at": parse_moment,
}


def _time_problems(
    run: Mapping[str, Any], key: str, parse: Callable[[str], object]
) -> list[InputProblem]:
    """Find times that pass the schema but are invalid: `0s`, `100d`, `25:00`."""
    text = run.get(key)
    if not isinstance(text, str):
        return []
    try:
        parse(text)
    except InputError as exc:
        return [InputProblem(("run", key), exc.what, exc.next_step)]
    return []


def template_problems(
    output: Mapping[str, Any], extra: Mapping[str, Any] | None
) -> list[InputProblem]:
    """Check `output.name`. `extra` are all variables of the jobs; None if not known yet."""
    name = output.get("name")
    if not isinstance(name, str):
        return []
    try:
        check_template(name, None if extra is None else (*extra, "env"))
    except NameTemplateError as exc:
        return [InputProblem(("output", "name"), exc.what, exc.next_step)]
    return []


def mapping_at(parent: Any, key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


ValuePath = tuple[str | int, ...]


def without(value: Any, wrong: Collection[ValuePath], path: ValuePath = ()) -> Any:
    """Leave out the values at the wrong paths, so that the rest can be used."""
    if isinstance(value, dict):
        return {
            key: without(part, wrong, (*path, key))
            for key, part in value.items()
            if (*path, key) not in wrong
        }
    if isinstance(value, list):
        return [
            without(part, wrong, (*path, index))
            for index, part in enumerate(value)
            if (*path, index) not in wrong
        ]
    return value


KEY = "notify"


def read_notify(node: Node, valid: Any, variables: Mapping[str, Any], reporter: Reporter) -> Notify:
    """Check every address of the value at `node`; invalid ones are reported and left out.

    `valid` is the same value without the parts that the schema refuses.
    """
    addresses = []
    for path, one in _texts((KEY,), node):
        try:
            addresses.append(_address(str(one.value), variables))
        except InputError as exc:
            reporter.at(one.place, f"{describe_path(path)} {exc.what}", exc.next_step)
    on = valid.get("on") if isinstance(valid, dict) else None
    if not on:
        return Notify(tuple(addresses))
    return Notify(tuple(addresses), frozenset(Occasion(name) for name in on))


def redacted(problem: InputProblem) -> InputProblem:
    """The same problem without the value, which may contain a password."""
    if problem.path[:1] == ("inputs",):
        if problem.at_key and "://" in problem.message:
            return replace(
                problem, message="unknown key in inputs", hint="its keys: send, fit, outside"
            )
        return replace(problem, message=problem.message.partition("; got ")[0])
    if problem.path[:1] != (KEY,):
        return problem
    if "://" in problem.message:
        hint = "write its keys (on, to); put addresses in a list, each after '- '"
        return replace(problem, message=f"unknown key in {KEY}", hint=hint)
    return replace(problem, message=problem.message.partition("; got ")[0])


def _texts(path: tuple[str | int, ...], node: Node) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """Yield the addresses: a text, a list of texts, or either of them under `to`."""
    if isinstance(node.value, str):
        if node.value:
            yield path, node
    elif isinstance(node.value, list):
        for index, child in node.children.items():
            if isinstance(child.value, str):
                yield from _texts((*path, index), child)
    elif path == (KEY,) and (to := node.child("to")) is not None:
        yield from _texts((*path, "to"), to)


def _address(text: str, variables: Mapping[str, Any]) -> Address:
    # Shell completion imports this module too, and Jinja is slow to load.
    from batchgen.manifest.templates.texts import compile_text  # noqa: PLC0415 - as above

    try:
        return read_address(str(compile_text(text).render(variables)))
    except TemplateProblem as exc:
        raise InputError(f"has a template that fails: {exc.what}", next_step=exc.next_step) from exc
