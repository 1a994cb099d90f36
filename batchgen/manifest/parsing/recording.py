"""The usual job in one loop over its events: its value, and its nodes only where somebody asks.

Nothing can be wrong with a usual one. Whatever is not usual (an anchor, an alias, a tag, a key that
is there twice, a number without an end) is left to the composer, which gets the events once more.
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import yaml

from batchgen.manifest.parsing.nodes import (
    DEEPEST,
    LONGEST_NUMBER,
    MERGE_KEY,
    MOST_NODES,
    Node,
    Place,
    ScalarError,
    resolve_plain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.events import Events

    Compose = Callable[["Recording"], Node]

_UNTOLD = re.compile("[\0\ud800-\udfff]")
"""What only escapes in double quotes can produce, and no text may hold."""


_ENDS = frozenset((yaml.MappingEndEvent, yaml.SequenceEndEvent))
_BEGINS = frozenset((yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent))


class Recording:
    """The events of one job so far, with the comments that were found behind its texts.

    Replayed, they are followed by what comes after them in the file.
    """

    def __init__(self, first: Any, source: Events) -> None:
        self.events = [first]
        self.comments: dict[int, str] = {}
        self._source = source

    def __iter__(self) -> Iterator[Any]:
        return chain(self.events, self._source)

    def comment_after(self, index: int) -> str:
        """As recorded: the text of a job may have left the memory when it is composed."""
        if index <= self.events[-1].start_mark.index:
            return self.comments.get(index, "")
        return self._source.comment_after(index)

    def quoting_hint_for(self, event: Any) -> str | None:
        return self._source.quoting_hint_for(event)

    def value(self) -> dict[str, JsonValue] | None:
        """Read on to the end of the job; None where it is not a usual one."""
        first = self.events[0]
        if type(first) is not yaml.MappingStartEvent or first.anchor or first.tag:
            return None
        try:
            found = self._rest()
        except ScalarError:
            return None
        return None if len(self.events) > MOST_NODES else found

    def _rest(self) -> dict[str, JsonValue] | None:  # noqa: PLR0912 - see below
        """Raises ScalarError."""
        # One loop, not a function for each kind of event: it runs for each word of a manifest.
        record, scalar = self.events.append, yaml.ScalarEvent
        root: dict[str, JsonValue] = {}
        within: Any = root
        above: list[Any] = []
        key: str | None = None
        value: Any
        for event in self._source:
            record(event)
            kind = type(event)
            if kind in _ENDS:
                if not above:
                    return root
                within = above.pop()
                continue
            if kind not in _BEGINS or event.tag is not None or event.anchor is not None:
                return None
            if kind is scalar:
                value = event.value
                style = event.style
                if style == '"' and _UNTOLD.search(value):
                    return None
                if key is None and type(within) is dict:
                    if value in within or value == MERGE_KEY or len(value) > LONGEST_NUMBER:
                        return None
                    key = value
                    continue
                if not style:
                    value = self._plain(event)
            elif len(above) + 2 > DEEPEST or (key is None and type(within) is dict):
                return None
            else:
                value = {} if kind is yaml.MappingStartEvent else []
            if key is not None:
                within[key] = value
                key = None
            else:
                within.append(value)
            if kind is not scalar:
                above.append(within)
                within = value
        return None

    def _plain(self, event: Any) -> JsonValue:
        value = resolve_plain(event.value)
        if value is event.value:
            end = event.end_mark.index
            if comment := self._source.comment_after(end):
                self.comments[end] = comment
        return value


class RecordedNode(Node):
    """A usual job: its parts are composed from what was recorded, once somebody asks for one."""

    recording: Recording
    compose: Compose

    @classmethod
    def of(cls, value: JsonValue, place: Place, recording: Recording, compose: Compose) -> Node:
        node = cls(value, place)
        node.recording = recording
        node.compose = compose
        return node

    @property
    def may_have_comments(self) -> bool:
        return bool(self.recording.comments)

    @cached_property
    def _whole(self) -> Node:
        return self.compose(self.recording)

    def child(self, key: str | int) -> Node | None:
        assert isinstance(self.value, dict)
        return super().child(key) if key in self.value else None

    @property
    def size(self) -> int:
        return self._whole.size

    @property
    def children(self) -> Mapping[Any, Any]:
        return self._whole.children

    @property
    def keys(self) -> Mapping[str, Place]:
        return self._whole.keys
