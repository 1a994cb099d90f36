from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.runs.run_world import Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A run's folder with the pending jobs `boat` and `clip`."""
    made = make_place(tmp_path / "out", ("boat", "clip"))
    with closing(made.db):
        yield made
