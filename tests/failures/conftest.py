"""A user in a fresh folder, and an emulator of its own where one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.failures.failing import User, emulating

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.shell import Emulator


@pytest.fixture
def stranger(tmp_path: Path) -> User:
    """A user without a token and without a way to any API."""
    return User(tmp_path)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with emulating() as emulator:
        yield emulator


@pytest.fixture
def user(stranger: User, emulator: Emulator) -> User:
    return stranger.using(emulator)
