"""A value of the manifest together with its place in the file.

Plain scalars follow the core schema of YAML 1.2.2 (section 10.3.2): `no`, `on`, `12:30` and
`2026-11-21` are text, and `1e-3` is a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.jobs import JsonValue


Path: TypeAlias = tuple[str | int, ...]

DEEPEST = 50
"""Levels of nesting. The deepest published input has three."""
MOST_NODES = 20_000
"""Nodes in one job, or in one key of the header, aliases expanded: this stops an alias bomb."""
MERGE_KEY = "<<"


class Place(NamedTuple):
    """Line and column, from 1."""

    line: int
    column: int


class Comment(NamedTuple):
    """What YAML reads as a comment after an unquoted text, though it may be meant as text."""

    place: Place
    text: str


class Node(NamedTuple):
    """A value, where it begins, and the nodes it is made of.

    `keys` has the places of a mapping's keys. `text` is a scalar as written. `size` counts the node
    and everything below it, aliases expanded. Only an unquoted text has a `comment`.
    """

    value: JsonValue
    place: Place
    size: int = 1
    children: Mapping[Any, Any] = {}
    keys: Mapping[str, Place] = {}
    text: str = ""
    comment: Comment | None = None

    @property
    def may_have_comments(self) -> bool:
        """Whether a text in it may have one; False is certain."""
        return True

    def child(self, key: str | int) -> Node | None:
        child: Node | None = self.children.get(key)
        return child


def text_of(node: Node) -> str:
    """Return a text as written: the id `007` stays `007`, though YAML reads it as 7."""
    return node.value if isinstance(node.value, str) else node.text


def text_at(node: Node, path: Path) -> str | None:
    """`text_of` what is at the path, if anything is. Few texts look like anything else to YAML."""
    found: Any = node.value
    try:
        for step in path:
            found = found[step]
    except (KeyError, IndexError, TypeError):
        return None
    if isinstance(found, str):
        return found
    below: Node | None = node
    for step in path:
        below = below.child(step) if below is not None else None
    return None if below is None else text_of(below)


def place_of(node: Node, path: Path, *, at_key: bool = False) -> Place:
    """Return the place of the value at `path`, or of its key.

    If there is nothing at `path`, return the place of the key of its nearest existing parent.
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


Scalar: TypeAlias = "bool | int | float | str | None"

SCALAR_TAGS: dict[str, type] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "null": type(None),
}
LONGEST_NUMBER = 1000
"""Characters. Python refuses to convert thousands of digits, and no field takes so many."""

_CONSTANTS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NUMBER_STARTS = frozenset("-+.0123456789")


class ScalarError(ValueError):
    """A number that is too long, or a value that does not have the type of its tag."""


def resolve_plain(text: str) -> Scalar:
    """Return the value of an unquoted, untagged scalar. Raises ScalarError."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    return _resolve_number(text)


def resolve_tagged(kind: str, text: str) -> Scalar:
    """Return the value of a scalar with one of SCALAR_TAGS. Raises ScalarError."""
    if kind == "str":
        return text
    value = resolve_plain(text)
    if kind == "float" and type(value) is int:
        return float(value)
    if not isinstance(value, SCALAR_TAGS[kind]) or (kind == "int" and isinstance(value, bool)):
        raise ScalarError(f"this does not fit its tag !!{kind}")
    return value


def _resolve_number(text: str) -> Scalar:
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            return int(_bounded(text), base)
    if _FLOAT.fullmatch(text):
        return float(_bounded(text))
    if _INFINITY.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _bounded(text: str) -> str:
    if len(text) > LONGEST_NUMBER:
        raise ScalarError(f"this number has {len(text)} characters")
    return text
