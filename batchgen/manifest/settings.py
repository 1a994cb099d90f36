"""A header's plain values → the policy of the run and the place of its results.

`notify` in the header: addresses, whose secrets no message shows.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.errors import InputError
from batchgen.manifest.policy import (
    DEFAULT_NAME,
    CheckInputs,
    FullCheck,
    ModelPolicy,
    OnUnknown,
    Output,
    Policy,
    Rate,
    parse_duration,
    parse_rate,
)
from batchgen.manifest.stop_policy import parse_bytes, parse_stop_at, read_halt
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.models.catalog import named_model
from batchgen.models.messages import place_words
from batchgen.notify import Notify, Occasion, read_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from batchgen.manifest.parsing.nodes import Node
    from batchgen.manifest.problems import Reporter
    from batchgen.manifest.stop_policy import Halt, StopAt
    from batchgen.models.messages import InputProblem
    from batchgen.notify import Address


ValuePath = tuple[str | int, ...]


def without(value: Any, wrong: Collection[ValuePath], path: ValuePath = ()) -> Any:
    """Leave out what stands at the wrong paths, so that the rest can be used."""
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


def build_policy(run: Mapping[str, Any]) -> Policy:
    """Build the policy from sound values; what is absent has its default."""
    plain = Policy()
    return Policy(
        concurrency=run.get("concurrency", plain.concurrency),
        rate=_rate(run),
        retries=run.get("retries", plain.retries),
        timeout=parse_duration(run.get("timeout", plain.timeout)),
        budget=run.get("budget"),
        on_unknown=OnUnknown(run.get("on_unknown", plain.on_unknown)),
        models={_model_id(key): _model_policy(part) for key, part in run.get("models", {}).items()},
        halt=_halt(run),
        start_at=_moment(run, "start_at"),
        stop_at=_moment(run, "stop_at"),
        max_duration=parse_duration(run["max_duration"]) if "max_duration" in run else None,
        canary=run.get("canary", plain.canary),
        check_inputs=CheckInputs(run.get("check_inputs", plain.check_inputs)),
        full_check=FullCheck(run.get("full_check", plain.full_check)),
    )


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


def build_output(output: Mapping[str, Any], name: str) -> Output:
    # `~` would otherwise become a folder of that name, which nobody dares to delete.
    folder = Path(output.get("dir", f"output/{name}"))
    return Output(
        dir=folder.expanduser() if folder.parts[:1] == ("~",) else folder,
        name=output.get("name", DEFAULT_NAME),
        allow_hosts=tuple(output.get("allow_hosts", ())),
        min_free=parse_bytes(output["min_free"]) if "min_free" in output else None,
    )


def _model_id(name: str) -> str:
    model = named_model(name)
    assert model is not None, "a model that nobody knows is left out of sound values"
    return model.id


def _model_policy(part: Mapping[str, Any]) -> ModelPolicy:
    return ModelPolicy(
        part.get("concurrency"),
        _rate(part),
        part.get("price"),
        tuple(part.get("accept_fields", ())),
    )


def _rate(part: Mapping[str, Any]) -> Rate | None:
    text = part.get("rate")
    return None if text is None else parse_rate(text)


def _halt(run: Mapping[str, Any]) -> Halt | None:
    part = run.get("halt", {})
    return read_halt(part["failed"], part.get("after")) if "failed" in part else None


def _moment(run: Mapping[str, Any], key: str) -> StopAt | None:
    text = run.get(key)
    return None if text is None else parse_stop_at(text)


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


def discreet(problem: InputProblem) -> InputProblem:
    """The same problem without the value: it may hold a password."""
    if problem.path[:1] != (KEY,):
        return problem
    if "://" in problem.message:
        hint = "its keys are on and to; addresses stand in a list, each after '- '"
        return replace(problem, message=f"unknown key in {KEY}", hint=hint)
    return replace(problem, message=problem.message.partition("; got ")[0])


def _texts(path: tuple[str | int, ...], node: Node) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """The addresses: one text, a list of them, or what stands under `to`."""
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
