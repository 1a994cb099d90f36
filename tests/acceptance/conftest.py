"""A fresh folder for each test, and an emulator beside it where a ledger is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.shell import Emulator, Shell, aimed, emulating

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def emulator(shell: Shell) -> Iterator[Emulator]:
    with emulating(shell) as emulator:
        yield emulator


@pytest.fixture
def slow_emulator(shell: Shell) -> Iterator[Emulator]:
    """Its requests take a minute: longer than any test."""
    with emulating(shell, latency=60) as emulator:
        yield emulator


@pytest.fixture
def user(shell: Shell, emulator: Emulator) -> Shell:
    return aimed(shell, emulator)


@pytest.fixture
def slow_user(shell: Shell, slow_emulator: Emulator) -> Shell:
    return aimed(shell, slow_emulator)
