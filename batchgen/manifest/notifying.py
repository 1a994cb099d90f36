"""`notify` in the header: addresses, whose secrets no message shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchgen.errors import InputError
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import compile_text
from batchgen.models.wording import place_words
from batchgen.notify.address import read_address
from batchgen.notify.occasions import Notify, Occasion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batchgen.manifest.parsing.nodes import Node
    from batchgen.manifest.report import Reporter
    from batchgen.models.wording import InputProblem
    from batchgen.notify.address import Address

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
    try:
        return read_address(str(compile_text(text).render(variables)))
    except TemplateProblem as exc:
        raise InputError(f"has a template that fails: {exc.what}", next_step=exc.next_step) from exc
