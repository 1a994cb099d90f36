"""A value of the manifest together with where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.jobs import JsonValue

Path: TypeAlias = tuple[str | int, ...]


class Place(NamedTuple):
    """Line and column, from 1."""

    line: int
    column: int


class Comment(NamedTuple):
    """What YAML takes for a comment behind an unquoted text: it may be meant as text."""

    place: Place
    text: str


class Node(NamedTuple):
    """A value, where it begins, and the nodes that it is made of.

    `keys` says where a mapping's keys stand. `text` is a scalar as it is written. `size` counts the
    node and everything below it, aliases expanded. A `comment` is kept behind a plain text only.
    """

    value: JsonValue
    place: Place
    size: int = 1
    children: Mapping[Any, Any] = {}
    keys: Mapping[str, Place] = {}
    text: str = ""
    comment: Comment | None = None

    def child(self, key: str | int) -> Node | None:
        child: Node | None = self.children.get(key)
        return child


def text_of(node: Node) -> str:
    """Give a text as it is written: the id `007` stays `007`, though YAML takes it for 7."""
    return node.value if isinstance(node.value, str) else node.text


def place_of(node: Node, path: Path, *, at_key: bool = False) -> Place:
    """Give the place of the value at `path`, or of its key.

    Where the path leads to something that is not there, the key of the nearest thing that should
    have held it.
    """
    place = node.place
    for depth, step in enumerate(path, start=1):
        child = node.child(step)
        if child is None:
            return place
        last = depth == len(path)
        missing_below = not last and child.child(path[depth]) is None
        wants_key = at_key if last else missing_below
        place = node.keys[str(step)] if wants_key and str(step) in node.keys else child.place
        node = child
    return place
