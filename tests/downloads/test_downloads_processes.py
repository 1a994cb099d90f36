"""Work in processes: in order, page after page; a death is told, and nobody outlives the owner."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from batchgen import processes
from batchgen.errors import OutputError, StorageError
from batchgen.processes import in_processes, new_pool

ENOUGH = 60.0


def double(number: int) -> int:
    return number * 2


def lost(number: int) -> int:
    return -number


def die(number: int) -> int:
    if number in {3, 20, 21}:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_at_once() -> None:
    os._exit(1)


def interrupted(number: int) -> int:
    """As a terminal does it, to every process of its group."""
    os.kill(os.getpid(), signal.SIGINT)
    return number


def pid(_number: int) -> int:
    return os.getpid()


def work_for_ever(_number: int) -> None:
    print("at work", flush=True)
    threading.Event().wait(ENOUGH)


def test_all_comes_back_in_order_over_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PAGE", 10)
    assert list(in_processes(double, range(35), "doubles", lost)) == list(range(0, 70, 2))


def test_nothing_starts_no_process() -> None:
    assert list(in_processes(double, [], "doubles", lost)) == []


def test_a_file_that_kills_its_process_is_given_up_and_no_other() -> None:
    expected = [-number if number in {3, 20, 21} else number for number in range(40)]
    assert list(in_processes(die, range(40), "counts", lost)) == expected


def test_where_every_process_dies_no_file_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_belong_to_owner", die_at_once)
    with pytest.raises(StorageError, match="a process that counts was killed"):
        list(in_processes(double, range(9), "counts", lost))


def test_ctrl_c_is_for_the_process_that_asked() -> None:
    assert list(in_processes(interrupted, range(4), "works", lost)) == [0, 1, 2, 3]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_no_more_processes_than_cores_that_may_be_used() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert len(set(in_processes(pid, range(8), "works", lost))) == 1
    finally:
        os.sched_setaffinity(0, before)


def test_a_killed_owner_leaves_no_process_behind(tmp_path: Path) -> None:
    """One would hold the pipe, and `| tee` would wait for its end."""
    script = tmp_path / "owner.py"
    script.write_text(
        "from tests.downloads.test_downloads_processes import in_processes, lost, work_for_ever\n"
        "if __name__ == '__main__':\n"
        "    list(in_processes(work_for_ever, range(4), 'works', lost))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "at work\n"
        owner.kill()
        owner.communicate(timeout=ENOUGH / 3)


def test_a_system_without_semaphores_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose /dev/shm is missing or read-only."""

    def without(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(processes, "ProcessPoolExecutor", without)
    with pytest.raises(OutputError, match="no semaphores") as caught:
        new_pool(1)
    assert "/dev/shm" in str(caught.value)
