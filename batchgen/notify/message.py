"""What is sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mood(StrEnum):
    """How a service may colour a word; the values are apprise's."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Message:
    """`text` is one plain line; `title` is for services that have one."""

    title: str
    text: str
    mood: Mood
