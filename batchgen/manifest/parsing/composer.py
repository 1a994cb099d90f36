"""Parser events → nodes. No constructor of PyYAML ever runs.

Refused: tags, duplicate keys, aliases that loop or explode, and anything deeper or larger than a
manifest can be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from batchgen.manifest.parsing.nodes import (
    DEEPEST,
    MERGE_KEY,
    MOST_NODES,
    SCALAR_TAGS,
    Comment,
    Node,
    Place,
    ScalarError,
    resolve_plain,
    resolve_tagged,
)
from batchgen.manifest.parsing.recording import RecordedNode, Recording
from batchgen.manifest.parsing.source import UnreadableYamlError

if TYPE_CHECKING:
    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.events import Events


Report: TypeAlias = Callable[[Place, str, str | None], None]

_STARTS = frozenset({yaml.MappingStartEvent, yaml.SequenceStartEvent})
_ENDS = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent})
_CORE = "tag:yaml.org,2002:"
_SURROGATE = re.compile("[\ud800-\udfff]")


class Composer:
    """Reads one node after another. Problems that can be skipped over go to `report`.

    Each of them sets `broken`: the node is then not what the file means.
    Raises UnreadableYamlError where reading on makes no sense.
    """

    def __init__(self, events: Events, report: Report) -> None:
        self._source = events
        self._events = iter(events)
        self._report = report
        self._anchors = Anchors()
        self._nodes = 0
        self._depth = 0
        self._silent = False
        self.broken = False

    @property
    def events(self) -> Iterator[Any]:
        """What has not been read yet."""
        return self._events

    def next_event(self) -> Any:
        return next(self._events)

    def compose(self) -> Node:
        """Read the next whole node. The size limit starts again from zero."""
        self._nodes = 0
        self.broken = False
        return self._compose(self.next_event())

    def compose_job(self, event: Any) -> Node:
        """A node whose first event was read; of a usual job only the value is read at first."""
        recording = Recording(event, self._source)
        value = recording.value()
        if value is not None:
            self.broken = False
            return RecordedNode.of(value, place_at(event), recording, _compose_recorded)
        live = self._source, self._events
        self._source, self._events = recording, iter(recording)
        node = self.compose()
        self._source, self._events = live
        return node

    def skip(self) -> None:
        self.skip_from(self.next_event())

    def compose_silently(self, event: Any) -> Node:
        """Read the node that begins with this event; its problems are reported on another pass."""
        before = self._silent, self.broken, self._nodes
        self._silent, self._nodes = True, 0
        node = self._compose(event)
        self._silent, self.broken, self._nodes = before
        return node

    def skip_from(self, event: Any) -> None:
        """Skip a node, keeping only its anchors. Reports nothing."""
        depth = 0
        while True:
            kind = type(event)
            if kind in _ENDS:
                depth -= 1
            elif kind is not yaml.AliasEvent and event.anchor:
                self.compose_silently(event)
            elif kind in _STARTS:
                depth += 1
            if depth == 0:
                return
            event = next(self._events)

    def entries(
        self, *, end: type[yaml.Event] = yaml.MappingEndEvent
    ) -> Iterator[tuple[str, Place]]:
        """Yield the keys of the mapping that has just begun; the caller reads each value."""
        seen: dict[str, Place] = {}
        while not isinstance(event := self.next_event(), end):
            key, place = self._key(event)
            if key in seen:
                self.report_problem(
                    place,
                    f"duplicate key '{key}': lines {seen[key].line} and {place.line}",
                    "keep one of them",
                )
                self.skip()
                continue
            seen[key] = place
            yield key, place

    def report_problem(self, place: Place, message: str, hint: str | None = None) -> None:
        self.broken = True
        if not self._silent:
            self._report(place, message, hint)

    def _compose(self, event: Any) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._resolve_alias(event)
        self._count(1, event)
        if event.anchor:
            self._anchors.begin(event.anchor)
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        else:
            node = self._collection(event)
        if event.anchor:
            self._anchors.keep(event.anchor, node)
        return node

    def _collection(self, event: Any) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _unreadable(event, f"this is nested more than {DEEPEST} levels deep")
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self._check_tag(event, {"map"} if is_mapping else {"seq"})
        node = self._mapping(event) if is_mapping else self._sequence(event)
        self._depth -= 1
        return node

    def _mapping(self, event: Any) -> Node:
        children: dict[str, Node] = {}
        places: dict[str, Place] = {}
        merged: Node | None = None
        for key, place in self.entries():
            child = self._compose(self.next_event())
            if key == MERGE_KEY:
                merged = child
            else:
                children[key], places[key] = child, place
        for source in self._merge_sources(merged):
            for key, child in source.children.items():
                if key not in children:
                    children[key], places[key] = child, source.keys[key]
        value = {key: child.value for key, child in children.items()}
        size = 1 + sum(child.size for child in children.values())
        return Node(value, place_at(event), size, children, places)

    def _merge_sources(self, merged: Node | None) -> list[Node]:
        """List the mappings that `<<` brings in; the first one wins."""
        if merged is None:
            return []
        sources = list(merged.children.values()) if isinstance(merged.value, list) else [merged]
        if all(isinstance(source.value, dict) for source in sources):
            return sources
        self.report_problem(merged.place, f"'{MERGE_KEY}' merges only mappings", "write <<: *name")
        return []

    def _sequence(self, event: Any) -> Node:
        children: list[Node] = []
        while not isinstance(item := self.next_event(), yaml.SequenceEndEvent):
            children.append(self._compose(item))
        value: list[JsonValue] = [child.value for child in children]
        size = 1 + sum(child.size for child in children)
        return Node(value, place_at(event), size, dict(enumerate(children)))

    def _scalar(self, event: Any) -> Node:
        text, place = event.value, place_at(event)
        # Only escapes in double quotes can produce what the text itself cannot hold.
        if event.style == '"' and ("\0" in text or _SURROGATE.search(text)):
            kind = "a NUL character" if "\0" in text else "half a character (a lone surrogate)"
            self.report_problem(place, f"{kind} is escaped in this text", "remove the escape")
            return Node(None, place, text=text)
        value = self._scalar_value(event, place)
        if event.style or not isinstance(value, str):
            return Node(value, place, text=text)
        comment = self._source.comment_after(event.end_mark.index)
        if not comment:
            return Node(value, place, text=text)
        return Node(value, place, text=text, comment=self._comment(event, comment))

    @staticmethod
    def _comment(event: Any, found: str) -> Comment:
        end, blanks = event.end_mark, len(found) - len(found.lstrip())
        return Comment(Place(end.line + 1, end.column + 1 + blanks), found.strip())

    def _scalar_value(self, event: Any, place: Place) -> JsonValue:
        tag: str | None = event.tag
        text: str = event.value
        try:
            if tag is None:
                return resolve_plain(text) if event.implicit[0] else text
            if tag == "!" or not self._check_tag(event, SCALAR_TAGS):
                return text
            return resolve_tagged(tag.removeprefix(_CORE), text)
        except ScalarError as exc:
            self.report_problem(place, str(exc), "put it in quotes if it is text")
            return None

    def _check_tag(self, event: Any, core: Container[str]) -> bool:
        tag = event.tag
        if tag is None or tag == "!" or tag.removeprefix(_CORE) in core:
            return True
        name = tag.replace(_CORE, "!!")
        hint = self._source.quoting_hint_for(event) or "remove the tag"
        self.report_problem(place_at(event), f"the tag {name} is not supported", hint)
        return False

    def _key(self, event: Any) -> tuple[str, Place]:
        """Read a key as written: in JSON a key is always text."""
        place = place_at(event)
        if isinstance(event, yaml.ScalarEvent):
            node = self._compose(event)
            return node.text, place
        self._compose(event)
        # Without quotes `{{ name }}` is a mapping whose key is a mapping.
        hint = (
            'put a template in quotes: "{{ name }}"; an alias, a list or a mapping cannot be a key'
        )
        self.report_problem(place, "a key must be plain text", hint)
        return f"\0{place.line}:{place.column}", place

    def _resolve_alias(self, event: Any) -> Node:
        found = self._anchors.find(event.anchor)
        if isinstance(found, Node):
            self._count(found.size, event)
            return found
        hint = "an anchor must come before its aliases; put text that begins with * in quotes"
        self.report_problem(place_at(event), found, self._source.quoting_hint_for(event) or hint)
        return Node(None, place_at(event))

    def _count(self, size: int, event: Any) -> None:
        self._nodes += size
        if self._nodes > MOST_NODES:
            raise _unreadable(
                event, f"one job, or one key of the header, holds more than {MOST_NODES} values"
            )


def _compose_recorded(recording: Recording) -> Node:
    """Nothing in it can be wrong, so nothing is reported."""
    return Composer(recording, lambda *_: None).compose()


def place_at(event: Any) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)


def _unreadable(event: Any, message: str) -> UnreadableYamlError:
    place = place_at(event)
    return UnreadableYamlError(place.line, place.column, message, "make it smaller")


MOST_ANCHORED = 200_000
"""Nodes kept because an anchor names them: they stay in memory to the end."""


class Anchors:
    def __init__(self) -> None:
        self._nodes: dict[str, Node | None] = {}
        self._size = 0

    def begin(self, name: str) -> None:
        """Forget what the name meant; it means nothing until its node is complete."""
        replaced = self._nodes.get(name)
        self._size -= replaced.size if replaced is not None else 0
        self._nodes[name] = None

    def keep(self, name: str, node: Node) -> None:
        """Raise UnreadableYamlError if this would keep too much."""
        self._nodes[name] = node
        self._size += node.size
        if self._size > MOST_ANCHORED:
            what = f"anchors name more than {MOST_ANCHORED} values"
            raise UnreadableYamlError(*node.place, what, "use fewer anchors")

    def find(self, name: str) -> Node | str:
        """Return the node, or a message about why there is none."""
        node = self._nodes.get(name)
        if node is not None:
            return node
        if name in self._nodes:
            return f"*{name} is inside its own anchor &{name}"
        return f"*{name} has no anchor &{name}"
