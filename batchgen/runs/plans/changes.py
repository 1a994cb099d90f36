"""What changed in a job's input, key by key. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchgen.jobs import JsonValue

ABSENT = "nothing"
CUT = "…"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """`before` and `now` are JSON texts; None: the input has no such key."""

    key: str
    before: str | None
    now: str | None

    def words(self, width: int) -> str:
        """Say `prompt: "a" → "b"`; each side of at most `width` characters, cut around the change.

        Escaped where it would not print: a prompt must not steer the terminal.
        """
        before, now = cut_pair(_shown(self.before), _shown(self.now), width)
        return f"{_printable(self.key)}: {before} → {now}"

    def to_json(self) -> dict[str, JsonValue]:
        """A key that is not there has no value, which is not the same as null."""
        sides = {"before": self.before, "now": self.now}
        values = {name: json.loads(text) for name, text in sides.items() if text is not None}
        return {"key": self.key, **values}


def input_changes(before: str, now: str) -> tuple[FieldChange, ...]:
    """Compare two inputs, JSON objects, key by key, in the order of the keys."""
    old, new = json.loads(before), json.loads(now)
    changes = (FieldChange(key, _text(old, key), _text(new, key)) for key in sorted({*old, *new}))
    return tuple(change for change in changes if change.before != change.now)


def cut_pair(before: str, now: str, width: int) -> tuple[str, str]:
    """Leave of two long texts the part around their first difference; quotes stay around it."""
    if not (_is_quoted(before) or _is_quoted(now)):
        return _cut(before, now, width)
    first, second = _cut(_inside(before), _inside(now), width - 2)
    return _as(before, first), _as(now, second)


def _inside(text: str) -> str:
    return text[1:-1] if _is_quoted(text) else text


def _as(text: str, cut: str) -> str:
    return f'"{cut}"' if _is_quoted(text) else cut


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == '"'


def _cut(before: str, now: str, width: int) -> tuple[str, str]:
    shortest, longest = sorted((len(before), len(now)))
    if longest <= width:
        return before, now
    pairs = enumerate(zip(before, now, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), shortest)
    start = max(0, first - width // 3)
    return _window(before, start, width), _window(now, start, width)


def _window(text: str, start: int, width: int) -> str:
    room = width - (1 if start else 0)
    end = start + room
    if end < len(text):
        end -= 1
    head = CUT if start else ""
    return f"{head}{text[start:end]}{CUT if end < len(text) else ''}"


def _text(fields: dict[str, JsonValue], key: str) -> str | None:
    return json.dumps(fields[key], ensure_ascii=False) if key in fields else None


def _shown(text: str | None) -> str:
    return ABSENT if text is None else _printable(text)


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
