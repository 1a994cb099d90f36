"""Runs of one account side by side, in processes of their own, at one emulator with its limits."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchgen.errors import ExitCode, UsageError
from batchgen.runs.account import account_name
from batchgen.runs.options import RunOptions
from tests.shell import Emulator, Shell, emulating, ended, wait_until

PLACES = 6


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with emulating(latency=0.5, max_parallel=PLACES, workers=PLACES) as emulator:
        yield emulator


def user_of(tmp_path: Path, name: str, emulator: Emulator) -> Shell:
    """Each with a folder of its own, all with one home."""
    (tmp_path / name).mkdir()
    shell = Shell(tmp_path / name).using(emulator)
    return shell.having(XDG_STATE_HOME=str(tmp_path / "home"))


def prompts(name: str, count: int) -> list[dict[str, Any]]:
    return [{"id": f"{name}-{n}", "input": {"prompt": f"{name} {n}"}} for n in range(count)]


def charged(emulator: Emulator, name: str) -> int:
    return sum(one["input"]["prompt"].startswith(name) for one in emulator.charges())


def events(user: Shell, kind: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in user.log().splitlines()]
    return [row for row in rows if row["event"] == kind]


def others(user: Shell) -> int | None:
    """With how many others it shares its limits now."""
    limits = user.status()["limits"] or {}
    return (limits.get("shared") or {}).get("others")


def test_two_runs_side_by_side_are_never_refused(tmp_path: Path, emulator: Emulator) -> None:
    users = [user_of(tmp_path, name, emulator) for name in ("ships", "boats")]
    for user in users:
        jobs = prompts(user.folder.name, 30 if user is users[0] else 12)
        user.manifest(jobs, run={"concurrency": PLACES, "account": "shared"})
    with users[0].start("run", "m.yaml", "--quiet") as first:
        emulator.charged(4)
        with users[1].start("run", "m.yaml", "--quiet") as second:
            wait_until(lambda: others(users[0]) == 1, "the first run knows of the second")
            assert users[0].status()["limits"]["shared"]["places"]["of"] == PLACES
            assert "shared with 1 other run: " in users[0].expect(0, "status", "m.yaml").out
            assert [ended(run).code for run in (first, second)] == [0, 0]
    for user in users:
        assert events(user, "Slowed") == []
        assert set(user.states().values()) == {"done"}
        places = [row["shared"]["places"] for row in events(user, "LimitsShared")]
        assert all(one["reserved"] <= one["of"] == PLACES for one in places)


def test_after_kill_9_the_others_have_all_places(tmp_path: Path, emulator: Emulator) -> None:
    names = ("ships", "boats", "rafts")
    users = [user_of(tmp_path, name, emulator) for name in names]
    for user in users:
        jobs = prompts(user.folder.name, 40 if user is users[0] else 24)
        user.manifest(jobs, run={"concurrency": PLACES})
    runs = [user.start("run", "m.yaml", "--quiet", "--account", "shared") for user in users]
    with runs[0], runs[1], runs[2]:
        wait_until(lambda: min(charged(emulator, name) for name in names) >= 3, "all at work")
        runs[0].kill()
        runs[0].communicate()
        assert [ended(run).code for run in runs[1:]] == [0, 0]
    shared = [row["shared"] for row in events(users[1], "LimitsShared")]
    assert [one["others"] for one in shared if one["others"]][-1] == 1
    # Two of six each; then three or more.
    assert max(one["places"]["reserved"] for one in shared if one["others"] < 2) >= 3
    for user in users[1:]:
        assert set(user.states().values()) == {"done"}
    # The killed run goes on alone, with all that the others have left.
    code = users[0].run("run", "m.yaml", "--quiet", "--account", "shared").code
    # The kill may have hit submits: whether they were charged is for a person to find out.
    unknown = list(users[0].states().values()).count("unknown")
    assert code == (ExitCode.UNKNOWN_OUTCOMES if unknown else ExitCode.DONE)
    assert set(users[0].states().values()) <= {"done", "unknown"}
    assert 40 - unknown <= charged(emulator, "ships") <= 40


def test_a_rate_of_the_account_is_kept_by_two_runs(tmp_path: Path) -> None:
    with emulating(rate=20, rate_seconds=5.0) as emulator:
        users = [user_of(tmp_path, name, emulator) for name in ("ships", "boats")]
        for user in users:
            run = {"rate": "4/s", "concurrency": 8, "account": "shared"}
            user.manifest(prompts(user.folder.name, 16), run=run)
        with (
            users[0].start("run", "m.yaml", "--quiet") as first,
            users[1].start("run", "m.yaml", "--quiet") as second,
        ):
            assert [ended(run).code for run in (first, second)] == [0, 0]
        assert [events(user, "Slowed") for user in users] == [[], []]


def test_without_shared_nothing_is_written_and_nothing_shown(
    tmp_path: Path, emulator: Emulator
) -> None:
    user = user_of(tmp_path, "ships", emulator)
    user.manifest(2)
    user.expect(0, "run", "m.yaml", "--quiet")
    user.expect(0, "retry", "m.yaml", "--quiet", "--account", "own")
    assert [*(tmp_path / "home").rglob("accounts")] == []
    assert events(user, "LimitsShared") == []


def test_a_rehearsal_has_an_emulator_of_its_own_and_shares_nothing(shell: Shell) -> None:
    user = shell.having(XDG_STATE_HOME=str(shell.folder / "home"))
    user.manifest(2, run={"account": "shared"})
    user.expect(0, "run", "m.yaml", "--emulator", "--latency", "0", "--quiet")
    assert [*(shell.folder / "home").rglob("accounts")] == []


def test_the_token_is_not_in_the_users_folder(tmp_path: Path, emulator: Emulator) -> None:
    user = user_of(tmp_path, "ships", emulator)
    user.manifest(2, run={"account": "shared"})
    user.expect(0, "run", "m.yaml", "--quiet")
    (folder,) = (tmp_path / "home/batchgen/accounts").iterdir()
    assert folder.name == account_name("Bearer any-token", emulator.base)
    assert folder.name != account_name("Bearer any-token", "https://elsewhere.example/v1")
    assert [one.name for one in folder.iterdir()] == ["limits.db"]
    assert folder.stat().st_mode & 0o077 == 0
    assert b"any-token" not in (folder / "limits.db").read_bytes()
    with closing(sqlite3.connect(folder / "limits.db")) as db:
        assert db.execute("SELECT count(*) FROM run").fetchone() == (0,)


def test_a_folder_that_cannot_be_used_is_no_reason_to_stop(
    tmp_path: Path, emulator: Emulator
) -> None:
    user = user_of(tmp_path, "ships", emulator)
    user.manifest(4, run={"account": "shared", "concurrency": 2})
    accounts = tmp_path / "home/batchgen/accounts"
    accounts.parent.mkdir(parents=True)
    accounts.write_text("")
    done = user.expect(0, "run", "m.yaml")
    assert set(user.states().values()) == {"done"}
    assert "limits cannot be shared with other runs: " in done.err
    assert "this run keeps its own limits" in done.err


def test_what_account_can_be_is_said_before_anything_is_sent(shell: Shell) -> None:
    shell.manifest(2, run={"account": "everyone"})
    assert "account" in shell.expect(65, "validate", "m.yaml").err
    shell.manifest(2)
    assert "--account" in shell.expect(64, "run", "m.yaml", "--account", "all").err
    with pytest.raises(UsageError, match="'own' or 'shared'"):
        RunOptions(account="everyone")  # type: ignore[arg-type]
    shell.manifest(2, run={"account": "shared"})
    assert shell.expect(0, "plan", "m.yaml", "--offline", "--json").document["limits_shared"]
    assert "--account=shared" in RunOptions(account="shared").command(Path("m.yaml"))
