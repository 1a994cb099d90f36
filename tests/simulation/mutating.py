"""The tools of the mutants: put something else in the place of a part of the program."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from batchgen.errors import BatchgenError
from batchgen.state import database, transitions, triggers

if TYPE_CHECKING:
    import sqlite3

Mutation: TypeAlias = Callable[[], None]

_TASKS: set[asyncio.Task[Any]] = set()


def beside(work: Any) -> None:
    """Do it a moment later, and let nobody wait for it."""

    async def later() -> None:
        with suppress(BatchgenError):
            await asyncio.sleep(0.5)
            await work()

    task = asyncio.get_running_loop().create_task(later(), name="beside")
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


def put(owner: Any, name: str, value: object) -> None:
    """Put `value` in the place of something that is there: a mutant of nothing proves nothing."""
    assert hasattr(owner, name), f"{owner} has no {name}"
    setattr(owner, name, value)


def in_schema(part: str, other: str) -> None:
    """Change the tables and triggers that a first run makes."""
    schema = database.schema_text()
    assert part in schema, f"the schema has no {part!r}"
    for module in (database, triggers):
        put(module, "schema_text", lambda: schema.replace(part, other))


def begin_whatever_the_state_is() -> None:
    begin = transitions.begin_attempt

    def begin_anyway(db: sqlite3.Connection, seq: int, *rest: Any, **more: Any) -> int | None:
        db.execute("DROP INDEX IF EXISTS one_open_attempt")
        db.execute("UPDATE job SET state = 'pending' WHERE seq = ?", (seq,))
        return begin(db, seq, *rest, **more)

    put(transitions, "begin_attempt", begin_anyway)
