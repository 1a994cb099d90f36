from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.check.check_world import Gallery, gallery


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Gallery]:
    with gallery(tmp_path / "out") as made:
        yield made
