"""The file of an account's limits: who is alive, and what happens where it cannot be used."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import signal
from pathlib import Path
from typing import Never

import pytest

from batchgen.engine.ports import Unreached
from batchgen.runs.account import SharedAccount
from batchgen.state.account import Claim, Shares
from tests.runs.run_world import in_a_process

A_RUN = """
import asyncio, sys, time
from pathlib import Path
from batchgen.runs.account import SharedAccount
from batchgen.state.account import Claim
claims = [Claim("places", 8, 0.0, 0, 0, 8)]
print(asyncio.run(SharedAccount(Path(sys.argv[1])).exchange(claims, time.monotonic())), flush=True)
time.sleep(60)
"""


def wanting(places: int, reserved: int = 0) -> list[Claim]:
    return [Claim("places", 8, 0.0, reserved, 0, places)]


def exchanged(account: SharedAccount, places: int, reserved: int = 0, now: float = 0.0) -> Shares:
    answer = asyncio.run(account.exchange(wanting(places, reserved), now))
    assert isinstance(answer, Shares), answer
    return answer


def reserved(shares: Shares) -> tuple[int, int, int]:
    return shares.others, shares.grants["places"].reserved, shares.grants["places"].keep


def test_runs_know_of_each_other_and_share(tmp_path: Path) -> None:
    first, second = SharedAccount(tmp_path), SharedAccount(tmp_path)
    assert reserved(exchanged(first, 8)) == (0, 8, 8)
    assert reserved(exchanged(second, 8)) == (1, 0, 0)
    assert reserved(exchanged(first, 8, reserved=8)) == (1, 8, 4)
    assert reserved(exchanged(first, 8, reserved=5)) == (1, 5, 4)
    assert reserved(exchanged(second, 8)) == (1, 3, 3)
    asyncio.run(first.leave(wanting(8, 5), 0.0))
    assert reserved(exchanged(second, 8, reserved=3)) == (0, 8, 8)
    for one in (first, second):
        one.close()
    assert [one.name for one in tmp_path.iterdir()] == ["limits.db"]


def test_a_run_that_was_killed_is_noticed_and_a_stopped_one_is_alive(tmp_path: Path) -> None:
    account = SharedAccount(tmp_path)
    with in_a_process(A_RUN, tmp_path) as other:
        assert other.stdout is not None
        assert "reserved=8" in other.stdout.readline()
        os.kill(other.pid, signal.SIGSTOP)
        assert reserved(exchanged(account, 8)) == (1, 0, 0)
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        assert reserved(exchanged(account, 8)) == (0, 8, 8)
    account.close()


def test_a_suspended_run_keeps_what_it_has_and_asks_for_no_more(tmp_path: Path) -> None:
    first, second, third = (SharedAccount(tmp_path) for _ in range(3))
    exchanged(first, 4)
    exchanged(second, 8, now=1.0)
    exchanged(third, 1, now=2.0)
    exchanged(first, 8, reserved=4, now=3.0)
    assert reserved(exchanged(second, 8, reserved=4, now=40.0)) == (2, 4, 4)
    exchanged(first, 0, reserved=0, now=41.0)
    exchanged(second, 2, reserved=2, now=42.0)
    assert reserved(exchanged(third, 8, now=100.0)) == (2, 6, 6)
    for one in (first, second, third):
        one.close()


def test_what_a_run_has_that_stays_suspended_is_free_for_the_others(tmp_path: Path) -> None:
    first, second = SharedAccount(tmp_path), SharedAccount(tmp_path)
    exchanged(first, 8)
    assert reserved(exchanged(second, 8, now=80.0)) == (1, 0, 0)
    assert reserved(exchanged(second, 8, now=91.0)) == (0, 8, 8)
    assert reserved(exchanged(first, 8, now=120.0)) == (1, 0, 0)
    assert reserved(exchanged(second, 8, reserved=8, now=121.0)) == (1, 8, 4)
    for one in (first, second):
        one.close()


def test_a_submit_that_is_given_back_rests_and_all_of_a_dead_run(tmp_path: Path) -> None:
    first, second = SharedAccount(tmp_path), SharedAccount(tmp_path)

    def ask(one: SharedAccount, now: float, held: int = 0, *sent: float) -> Shares:
        claim = Claim("submits", 4, 10.0, held, 0, 4, 10.0 if held or sent else 0.0, sent=sent)
        answer = asyncio.run(one.exchange([claim], now))
        assert isinstance(answer, Shares)
        return answer

    assert ask(first, 0.0).grants["submits"].reserved == 4
    assert ask(second, 1.0).grants["submits"].reserved == 0
    assert ask(first, 2.0, 4, 0.0, 1.0, 2.0).grants["submits"].keep == 2
    ask(first, 3.0, 2, 0.0, 1.0, 2.0)
    taken = ask(second, 3.0)
    # Two more of the first run may go out before 11 s, though it keeps only two in 10 s.
    assert (taken.grants["submits"].reserved, taken.more_at) == (0, 10.0)
    assert ask(second, 10.0).grants["submits"].reserved == 1
    assert ask(second, 11.0, 1).grants["submits"].reserved == 2
    first.close()
    assert ask(second, 12.0, 2).more_at == 22.0
    assert ask(second, 22.5, 2).grants["submits"].reserved == 4
    second.close()


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "limits.db").write_text("no database, though it is long enough for one" * 50)
    account = SharedAccount(tmp_path)
    assert reserved(exchanged(account, 8)) == (0, 8, 8)
    account.close()


def test_a_file_that_was_removed_is_no_loss(tmp_path: Path) -> None:
    first, second = SharedAccount(tmp_path), SharedAccount(tmp_path)
    exchanged(first, 8)
    exchanged(second, 8)
    (tmp_path / "limits.db").unlink()
    assert reserved(exchanged(first, 8, reserved=8)) == (0, 8, 8)
    assert reserved(exchanged(second, 8)) == (1, 0, 0)
    for one in (first, second):
        one.close()


def test_after_the_folder_was_removed_the_runs_find_each_other_again(tmp_path: Path) -> None:
    folder = tmp_path / "accounts"
    first, second = SharedAccount(folder), SharedAccount(folder)
    exchanged(first, 4)
    exchanged(second, 4)
    shutil.rmtree(folder)
    assert reserved(exchanged(first, 4, reserved=4)) == (0, 4, 4)
    assert reserved(exchanged(second, 4, reserved=4)) == (1, 4, 4)
    assert reserved(exchanged(first, 4, reserved=4)) == (1, 4, 4)
    for one in (first, second):
        one.close()
    assert [one.name for one in folder.iterdir()] == ["limits.db"]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_reason_not_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_file: int, _operation: int) -> Never:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    answer = asyncio.run(SharedAccount(tmp_path).exchange(wanting(8), 0.0))
    assert answer == Unreached(f"{tmp_path}: {os.strerror(code)}")


def test_without_a_folder_of_the_users_there_is_nothing_to_share() -> None:
    account = SharedAccount(None)
    answer = asyncio.run(account.exchange(wanting(8), 0.0))
    assert isinstance(answer, Unreached)
    asyncio.run(account.leave(wanting(8), 0.0))
    account.close()
