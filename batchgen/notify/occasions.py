"""When a word is sent, to whom, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchgen.notify.address import Address


class Occasion(StrEnum):
    END = "end"
    PAUSE = "pause"
    FIRST_FAILURE = "first_failure"


@dataclass(frozen=True, slots=True)
class Notify:
    """Who hears of a run, and of what."""

    to: tuple[Address, ...] = ()
    on: frozenset[Occasion] = frozenset(Occasion)


NOBODY = Notify()
