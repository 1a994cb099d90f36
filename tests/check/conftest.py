from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.check.check_world import Gallery, gallery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Gallery]:
    with gallery(tmp_path / "out") as made:
        yield made
