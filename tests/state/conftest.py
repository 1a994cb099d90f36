from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.state.state_world import State, job, open_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """Two pending jobs, `boat` and `clip`."""
    with open_state(tmp_path, job("boat"), job("clip")) as opened:
        yield opened
