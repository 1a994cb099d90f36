"""A usual job is read as the composer reads it, and every other job by the composer."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.manifest.parsing.composer import Composer
from batchgen.manifest.parsing.events import YamlEvents
from batchgen.manifest.parsing.nodes import Node, Place
from batchgen.manifest.parsing.source import UnreadableYamlError

PIECES = (
    "a", "b: ", "- ", "\n", "\n  ", "\n    ", '"x"', "'y'", '"\\0"', "{", "}", "[", "]", ", ",
    "&n ", "*n", "!!str ", "<<: ", "007", "1e3", "~", " # cut", "? ", "| ", "a: ", "id: c",
    "9" * 1001, "[[" * 30,
)  # fmt: skip


def outcome(text: str, read: Callable[[Composer], Callable[[Any], Node]]) -> object:
    """Everything that a reader of this text can get to know."""
    found: list[object] = []

    def report(place: Place, message: str, hint: str | None) -> None:
        found.append((place, message, hint))

    composer = Composer(YamlEvents(io.BytesIO(text.encode())), report)
    try:
        composer.next_event()
        composer.next_event()
        node = read(composer)(composer.next_event())
        found.append((everything(node), composer.broken))
        found += [type(event) for event in composer.events]
    except UnreadableYamlError as exc:
        found.append((exc.line, exc.column, exc.what, exc.next_step))
    return found


def everything(node: Node) -> object:
    children = {key: everything(child) for key, child in node.children.items()}
    return (
        repr(node.value),
        node.place,
        node.size,
        children,
        dict(node.keys),
        node.text,
        node.comment,
    )


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@example("a: x # cut\nb: [1, {c: 'd'}]\n")
@example("a: x y # cut\nb: &n 1\nc: *n\n")
@example("a: 1\na: 2\n")
@example("a: {b: ~}\n<<: {c: 1}\n")
def test_a_job_is_the_same_however_it_is_read(text: str) -> None:
    text = f"id: j\n{text}\n"
    assert outcome(text, lambda one: one.compose_job) == outcome(text, lambda one: one._compose)
