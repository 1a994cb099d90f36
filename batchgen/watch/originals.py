"""A file of the run, by the key that the state knows it by: nothing else can be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

STATE = "state.db"
"""The state, its log and its index begin so."""


def original(root: Path, name: str) -> Path | None:
    """Where the file is, if it is a plain one below the run's folder, and no link leads to it.

    The state says `name`; but a state may be somebody else's, and a link may stand in its way.
    Never the state itself: who opens and closes it takes away the locks that SQLite has on it
    in this process (sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        home = root.resolve(strict=True)
        wanted = home / name
        found = wanted.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    if found != wanted or home not in found.parents or not found.is_file():
        return None
    if found.parent == home and found.name.casefold().startswith(STATE):
        return None
    return found
