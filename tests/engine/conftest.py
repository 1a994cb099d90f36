"""A fresh world for each test of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.simulation import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
