"""The triggers of schema.sql: for tables of another database, and switched off for a while."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchgen.state.database import schema_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.state.database import Connection


def triggers(schema: str) -> Iterator[str]:
    """Yield the triggers of schema.sql, for tables of the attached database `schema`."""
    for trigger in re.findall(
        r"^CREATE TRIGGER .*?^END;$", schema_text(), re.DOTALL | re.MULTILINE
    ):
        yield trigger.replace("CREATE TRIGGER ", f"CREATE TRIGGER {schema}.", 1)


@contextmanager
def without_triggers(connection: Connection) -> Iterator[None]:
    """Inside the caller's transaction, change rows that the schema's triggers would leave alone.

    A million rows take twice as long if each of six triggers looks at them. Temporary triggers
    stay. The others are dropped inside the transaction, so a crash brings them back.
    """
    query = "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
    found = connection.execute(query).fetchall()
    for name, _ in found:
        connection.execute(f"DROP TRIGGER main.{name}")
    try:
        yield
    finally:
        # An error may have rolled back the transaction by itself.
        there = dict(connection.execute(query).fetchall())
        for name, sql in found:
            if name not in there:
                connection.execute(sql)
