"""Work in processes: in order, page after page, and a death that is told."""

from __future__ import annotations

import os
import signal

import pytest

from batchgen.downloads import processes
from batchgen.downloads.processes import in_processes
from batchgen.errors import StorageError


def double(number: int) -> int:
    return number * 2


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def interrupted(_number: int) -> int:
    """As a terminal does it, to every process of its group."""
    os.kill(os.getpid(), signal.SIGINT)
    return os.getpid()


def test_all_comes_back_in_order_over_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PAGE", 10)
    assert list(in_processes(double, range(35), "doubles")) == list(range(0, 70, 2))


def test_nothing_starts_no_process() -> None:
    assert list(in_processes(double, [], "doubles")) == []


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(StorageError, match="a process that counts was killed"):
        list(in_processes(die, range(9), "counts"))


def test_ctrl_c_is_for_the_process_that_asked() -> None:
    assert os.getpid() not in set(in_processes(interrupted, range(4), "works"))
