"""Work in processes: in order, page by page; a death costs one item, and nothing outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from select import select
from typing import TYPE_CHECKING, Any

import pytest

from batchgen import processes
from batchgen.errors import OutputError, StorageError
from batchgen.processes import ProcessDiedError, ProcessPool, map_in_processes
from tests.shell import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ENOUGH = 60.0
DEADLY = frozenset({3, 20, 21})


def double(number: int) -> int:
    return number * 2


def lost(number: int) -> int:
    return -number


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_of_some(number: int) -> int:
    if number in DEADLY:
        kill_myself()
    return number


def die_once(mark: Path) -> str:
    """As when memory was short for a moment."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return "lives"
    kill_myself()
    return "never"


def hang(mark: Path) -> None:
    mark.touch()
    threading.Event().wait(ENOUGH)


def work_for_ever(_number: int) -> None:
    with Path(os.environ["MARK"]).open("wb", buffering=0) as pipe:
        pipe.write(b"at work")
        threading.Event().wait(ENOUGH)


def fail(number: int) -> int:
    raise OutputError(f"no {number}", where="here", next_step="try 2")


def print_much(number: int) -> int:
    print("x" * 100_000)
    return number


def pid(_number: int) -> int:
    return os.getpid()


@pytest.fixture
def one() -> Iterator[ProcessPool]:
    with ProcessPool(1) as ours:
        yield ours


def test_all_comes_back_in_order_over_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PAGE", 10)
    assert list(map_in_processes(double, range(35), lost)) == list(range(0, 70, 2))


def test_nothing_starts_no_process() -> None:
    assert list(map_in_processes(double, [], lost)) == []


def test_a_file_that_kills_its_process_is_given_up_and_no_other() -> None:
    expected = [-number if number in DEADLY else number for number in range(40)]
    assert list(map_in_processes(die_of_some, range(40), lost)) == expected


def test_a_process_that_was_killed_from_outside_costs_nothing(
    one: ProcessPool, tmp_path: Path
) -> None:
    assert one.call(die_once, tmp_path / "died") == "lives"


class _TakenInBetween(list[Any]):
    """Idle processes, the last of which another thread takes right after one asks for it."""

    def __bool__(self) -> bool:
        return True


def test_the_last_idle_process_may_be_taken_by_another_thread(one: ProcessPool) -> None:
    one._idle = _TakenInBetween()
    assert one.call(double, 2) == 4


def test_an_error_comes_back_complete(one: ProcessPool) -> None:
    with pytest.raises(OutputError, match="no 7") as caught:
        one.call(fail, 7)
    assert str(caught.value) == "here: no 7\n  → try 2"
    assert "in fail" in caught.value.__notes__[0]
    assert one.call(double, 2) == 4


class Unreadable:
    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("no number",)


def test_a_question_that_cannot_be_read_is_not_waited_for(one: ProcessPool) -> None:
    with pytest.raises(ProcessDiedError):
        one.call(str, Unreadable())
    assert one.call(double, 2) == 4


def test_what_the_work_prints_is_no_answer(one: ProcessPool) -> None:
    assert one.call(print_much, 3) == 3


def test_where_every_process_dies_no_file_is_blamed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dying.py").write_text("def serve():\n    raise SystemExit(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(processes, "__name__", "dying")
    with pytest.raises(StorageError, match="killed as soon as they start"):
        list(map_in_processes(double, range(9), lost))


def test_ctrl_c_in_a_terminal_does_not_reach_them(one: ProcessPool) -> None:
    """A terminal sends it to the group of the process that it shows."""
    group = os.getpgid(one.call(pid, 0))
    assert group != os.getpgid(os.getpid())


def test_the_end_waits_for_no_process_that_hangs(tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    with ThreadPoolExecutor(1) as threads, ProcessPool(1) as ours:
        hanging = threads.submit(ours.call, hang, mark)
        wait_until(mark.exists, "the process at work")
    assert isinstance(hanging.exception(), ProcessDiedError)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_no_more_processes_than_cores_that_may_be_used() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert len(set(map_in_processes(pid, range(8), lost))) == 1
    finally:
        os.sched_setaffinity(0, before)


SCRIPT = """\
from tests.test_processes import ProcessPool, map_in_processes, double, lost, work_for_ever
print("once", flush=True)
print(list(map_in_processes(WORK, range(2), lost)))
"""


def script(work: str, mark: Path) -> subprocess.Popen[str]:
    """Run a script that has no `__main__` guard."""
    path = mark.with_name("script.py")
    path.write_text(SCRIPT.replace("WORK", work))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "MARK": str(mark)}
    return subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True, env=env)


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    with script("double", tmp_path / "mark") as running:
        assert running.communicate(timeout=ENOUGH)[0] == "once\n[0, 2]\n"


def test_a_killed_owner_leaves_no_process_behind(tmp_path: Path) -> None:
    """One would go on for hours at a long video."""
    mark = tmp_path / "mark"
    os.mkfifo(mark)
    pipe = os.open(mark, os.O_RDONLY | os.O_NONBLOCK)
    with script("work_for_ever", mark) as owner:
        assert select([pipe], [], [], ENOUGH)[0]
        assert os.read(pipe, 100).startswith(b"at work")
        owner.kill()
    while select([pipe], [], [], ENOUGH / 3)[0]:
        if not os.read(pipe, 100):
            break
    else:
        pytest.fail("a process holds the pipe")
    os.close(pipe)
