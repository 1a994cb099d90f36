"""Waiting lines: one a model, first come first served. Pure: no clock, no tasks."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field


@dataclass(slots=True)
class WaitingLine:
    """Request ids in the order of arrival; any of them may leave early.

    `_numbers` stays sorted because numbers only grow, so a position is one bisection even among
    ten thousand.
    """

    _next: int = 0
    _numbers: list[int] = field(default_factory=list)
    _ids: dict[int, str] = field(default_factory=dict)
    _number_of: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._numbers)

    def join(self, request_id: str) -> None:
        self._numbers.append(self._next)
        self._ids[self._next] = request_id
        self._number_of[request_id] = self._next
        self._next += 1

    def next(self) -> str | None:
        if not self._numbers:
            return None
        request_id = self._ids[self._numbers[0]]
        self.leave(request_id)
        return request_id

    def leave(self, request_id: str) -> bool:
        number = self._number_of.pop(request_id, None)
        if number is None:
            return False
        del self._numbers[bisect_left(self._numbers, number)]
        del self._ids[number]
        return True

    def position(self, request_id: str) -> int | None:
        """1 is the next to be worked on; None where the request is not in this line."""
        number = self._number_of.get(request_id)
        return None if number is None else bisect_left(self._numbers, number) + 1
