from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.state.state_world import State, job, open_state


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """Two pending jobs, `boat` and `clip`."""
    with open_state(tmp_path, job("boat"), job("clip")) as opened:
        yield opened
