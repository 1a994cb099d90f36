"""What a disk still holds after the power went: files and folders, as far as they were fsynced."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

SECTOR = 512
"""Bytes that a disk writes whole or not at all."""


class Fate(Enum):
    PENDING = "the next fsync makes it durable"
    DOUBTFUL = "an fsync failed: no later one can vouch for it"
    SETTLED = "durable, but what lies before it is not"


@dataclass(slots=True)
class Change:
    """`data` written at `offset`; None: cut off, or lengthened, to `offset` bytes."""

    offset: int
    data: bytes | None
    fate: Fate = Fate.PENDING


class File:
    """One inode: what is durable, and the changes since, in their order."""

    __slots__ = ("_changes", "_durable")

    def __init__(self, content: bytes = b"") -> None:
        self._durable = bytearray(content)
        self._changes: list[Change] = []

    def write(self, offset: int, data: bytes) -> None:
        self._changes.append(Change(offset, data))

    def truncate(self, size: int) -> None:
        self._changes.append(Change(size, None))

    def sync(self) -> None:
        for change in self._changes:
            if change.fate is Fate.PENDING:
                change.fate = Fate.SETTLED
        if not any(change.fate is Fate.DOUBTFUL for change in self._changes):
            for change in self._changes:
                _apply(self._durable, change)
            self._changes.clear()

    def fail_sync(self) -> None:
        """As on Linux: the pages count as clean from now on, whatever reached the disk."""
        for change in self._changes:
            if change.fate is Fate.PENDING:
                change.fate = Fate.DOUBTFUL

    def after_power_loss(self, dice: random.Random) -> bytes:
        content = bytearray(self._durable)
        at_risk = sum(change.fate is not Fate.SETTLED for change in self._changes)
        lots = iter(_lots(at_risk, dice))
        for change in self._changes:
            lot = _ALL if change.fate is Fate.SETTLED else next(lots)
            _apply_in_part(content, change, lot, dice)
        return bytes(content)


class Folder:
    """One directory: the entries now, those that are durable, and the changes between."""

    __slots__ = ("_changes", "_durable", "entries")

    def __init__(self, entries: dict[str, Node] | None = None) -> None:
        self.entries: dict[str, Node] = entries or {}
        self._durable = dict(self.entries)
        self._changes: list[dict[str, Node | None]] = []

    def change(self, edits: dict[str, Node | None]) -> None:
        """All of `edits` happen, or none: a rename is two. None removes an entry."""
        _edit(self.entries, edits)
        self._changes.append(edits)

    def sync(self) -> None:
        for edits in self._changes:
            _edit(self._durable, edits)
        self._changes.clear()

    def after_power_loss(self, dice: random.Random) -> dict[str, Node]:
        """The changes of a folder go through a journal: a prefix of them survives."""
        entries = dict(self._durable)
        if self._changes:
            count = len(self._changes)
            for edits in self._changes[: dice.choice((0, count, dice.randint(0, count)))]:
                _edit(entries, edits)
        return entries


Node = File | Folder

_NONE, _ALL, _TORN, _HOLE = "none", "all", "torn", "hole"


def _lots(count: int, dice: random.Random) -> list[str]:
    """What becomes of each of `count` changes at risk; a hole is a length without its bytes."""
    if not count:
        return []
    match dice.choice((_NONE, _ALL, "prefix", "subset")):
        case "prefix":
            whole = dice.randrange(count)
            at_the_cut = dice.choice((_NONE, _TORN, _HOLE))
            return [_ALL] * whole + [at_the_cut] + [_NONE] * (count - whole - 1)
        case "subset":
            return dice.choices((_ALL, _NONE, _TORN, _HOLE), (5, 2, 2, 1), k=count)
        case lot:
            return [lot] * count


def _apply_in_part(content: bytearray, change: Change, lot: str, dice: random.Random) -> None:
    if lot == _ALL:
        _apply(content, change)
    elif lot == _HOLE and change.data is not None:
        _lengthen(content, change.offset + len(change.data))
    elif lot == _TORN and change.data is not None:
        for start, end in _sectors(change.offset, len(change.data)):
            if dice.random() < 0.5:
                data = change.data[start - change.offset : end - change.offset]
                _apply(content, Change(start, data))


def _sectors(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Where the sectors that a write touches begin and end, within the write."""
    start = offset
    while start < offset + length:
        end = min((start // SECTOR + 1) * SECTOR, offset + length)
        yield start, end
        start = end


def _apply(content: bytearray, change: Change) -> None:
    _lengthen(content, change.offset)
    if change.data is None:
        del content[change.offset :]
    else:
        content[change.offset : change.offset + len(change.data)] = change.data


def _lengthen(content: bytearray, size: int) -> None:
    if len(content) < size:
        content.extend(bytes(size - len(content)))


def _edit(entries: dict[str, Node], edits: dict[str, Node | None]) -> None:
    for name, node in edits.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node
