"""What the schema file cannot know of a header: models, templates, folders, addresses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.errors import InputError
from batchgen.manifest.naming import NameTemplateError, check_template
from batchgen.manifest.stray_templates import IN_HEADER, unread_templates
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import is_literal
from batchgen.manifest.units import parse_duration, parse_stop_at
from batchgen.models.catalog import catalog, named_model, nearest_model
from batchgen.models.messages import InputProblem, place_words, shown
from batchgen.notify import Notify, Occasion, read_address
from batchgen.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from batchgen.manifest.parsing.nodes import Node
    from batchgen.manifest.problems import Reporter
    from batchgen.notify import Address


def unknown_model(path: tuple[str | int, ...], model: str, *, at_key: bool = False) -> InputProblem:
    return InputProblem(path, f"unknown model {shown(model)}", nearest_model(model), at_key=at_key)


def _meaning_problems(header: Any) -> list[InputProblem]:
    """Find what the schema file cannot know: models, their keys, templates."""
    defaults, run = _mapping(header, "defaults"), _mapping(header, "run")
    found = [
        unknown_model(("run", "models", model), model, at_key=True)
        for model in _mapping(run, "models")
        if named_model(model) is None
    ]
    found += _named_twice(_mapping(run, "models"))
    model = defaults.get("model")
    if isinstance(model, str) and is_literal(model) and named_model(model) is None:
        found.append(unknown_model(("defaults", "model"), model))
    known = {key for one in catalog().values() for key in one.keys} | _accepted_fields(run)
    for key in _mapping(defaults, "input").keys() - known:
        message, hint = f"no model has the key {shown(key)}", did_you_mean(key, known)
        found.append(InputProblem(("defaults", "input", key), message, hint, at_key=True))
    found += unread_templates(header, IN_HEADER)
    found += _folder_problems(_mapping(header, "output"))
    for key, parse in _TIMES.items():
        found += _time_problems(run, key, parse)
    return found


def _folder_problems(output: Mapping[str, Any]) -> list[InputProblem]:
    folder = output.get("dir")
    if not isinstance(folder, str):
        return []
    try:
        refuse_address(folder)
        if folder.startswith("~/") or folder == "~":
            Path(folder).expanduser()
    except InputError as exc:
        return [InputProblem(("output", "dir"), exc.what, exc.next_step)]
    except RuntimeError:
        what = "you have no home folder here, so '~' leads nowhere"
        return [InputProblem(("output", "dir"), what, "write the whole path, or set HOME")]
    return []


def _accepted_fields(run: Mapping[str, Any]) -> set[str]:
    named = [
        name
        for policy in _mapping(run, "models").values()
        if isinstance(policy, dict) and isinstance(policy.get("accept_fields"), list)
        for name in policy["accept_fields"]
    ]
    return {name for name in named if isinstance(name, str)}


def _named_twice(models: Mapping[str, Any]) -> list[InputProblem]:
    """Find a model that is given by its id and by its short name."""
    first: dict[str, str] = {}
    found = []
    for name in models:
        model = named_model(name)
        if model is not None and (other := first.setdefault(model.id, name)) != name:
            message = f"{shown(name)} and {shown(other)} are the same model"
            path = ("run", "models", name)
            found.append(InputProblem(path, message, "put both into one", at_key=True))
    return found


_TIMES: Mapping[str, Callable[[str], object]] = {
    "timeout": parse_duration,
    "max_duration": parse_duration,
    "start_at": parse_stop_at,
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


def _template_problems(
    output: Mapping[str, Any], extra: Mapping[str, Any] | None
) -> list[InputProblem]:
    """Without sweeps, all variables are known before any job is."""
    name = output.get("name")
    if not isinstance(name, str):
        return []
    try:
        check_template(name, None if extra is None else (*extra, "env"))
    except NameTemplateError as exc:
        return [InputProblem(("output", "name"), exc.what, exc.next_step)]
    return []


def _mapping(parent: Any, key: str) -> Mapping[str, Any]:
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


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def refuse_address(folder: str) -> None:
    """Raise InputError for s3://… and its like: it would become a folder of that name here."""
    found = _SCHEME.match(folder)
    if found is None:
        return
    scheme = found[1].lower()
    hint = "name a folder; copy from it when it is done: --on-done '… \"$BATCHGEN_FOLDER\" …'"
    raise InputError(
        f"{scheme}:// is an address, and batchgen writes to folders of this machine only",
        where=folder,
        next_step="write the path alone, without file://" if scheme == "file" else hint,
    )


KEY = "notify"


def read_notify(node: Node, sound: Any, variables: Mapping[str, Any], reporter: Reporter) -> Notify:
    """Check every address of the value at `node`; what is wrong is reported and left out.

    `sound` is the same value without what the schema file refuses.
    """
    addresses = []
    for path, one in _texts((KEY,), node):
        try:
            addresses.append(_address(str(one.value), variables))
        except InputError as exc:
            reporter.at(one.place, f"{place_words(path)} {exc.what}", exc.next_step)
    on = sound.get("on") if isinstance(sound, dict) else None
    if not on:
        return Notify(tuple(addresses))
    return Notify(tuple(addresses), frozenset(Occasion(name) for name in on))


def without_secrets(problem: InputProblem) -> InputProblem:
    """The same problem without the value: it may hold a password."""
    if problem.path[:1] != (KEY,):
        return problem
    if "://" in problem.message:
        hint = "its keys are on and to; put addresses in a list, each after '- '"
        return replace(problem, message=f"unknown key in {KEY}", hint=hint)
    return replace(problem, message=problem.message.partition("; got ")[0])


def _texts(path: tuple[str | int, ...], node: Node) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """The addresses: one text, a list of them, or what is under `to`."""
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
    # Completion reads settings too, and Jinja takes long to load.
    from batchgen.manifest.templates.texts import compile_text  # noqa: PLC0415 - see above

    try:
        return read_address(str(compile_text(text).render(variables)))
    except TemplateProblem as exc:
        raise InputError(f"has a template that fails: {exc.what}", next_step=exc.next_step) from exc
