"""What the anchors of a document name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.manifest.parsing.source import UnreadableYamlError

if TYPE_CHECKING:
    from batchgen.manifest.parsing.nodes import Node

MOST_ANCHORED = 200_000
"""Nodes that are kept because an anchor names them: they stay in memory to the end."""


class Anchors:
    def __init__(self) -> None:
        self._nodes: dict[str, Node | None] = {}
        self._size = 0

    def begin(self, name: str) -> None:
        """Forget what the name meant; until its node is whole, it means nothing."""
        replaced = self._nodes.get(name)
        self._size -= replaced.size if replaced is not None else 0
        self._nodes[name] = None

    def keep(self, name: str, node: Node) -> None:
        """Raise UnreadableYamlError where too much is to be kept."""
        self._nodes[name] = node
        self._size += node.size
        if self._size > MOST_ANCHORED:
            what = f"anchors name more than {MOST_ANCHORED} values"
            raise UnreadableYamlError(*node.place, what, "use fewer anchors")

    def find(self, name: str) -> Node | str:
        """Give the node, or say why there is none."""
        node = self._nodes.get(name)
        if node is not None:
            return node
        if name in self._nodes:
            return f"*{name} stands inside of its own anchor &{name}"
        return f"*{name} has no anchor &{name}"
