"""What stops the emulator itself. What it answers to clients stands in refusals.py."""

from __future__ import annotations


class EmulatorError(Exception):
    """The emulator cannot start or go on: `what` happened, and the `next_step` to take."""

    def __init__(self, what: str, *, next_step: str) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.next_step}"
