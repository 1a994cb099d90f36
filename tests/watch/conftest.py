"""A night that is watched, and looks that come quickly: a test has no second to lose."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.watch import watching
from tests.report.night_world import small_night


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small_night(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY", 0.03)
