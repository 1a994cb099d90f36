"""Rows 54 and 65: files that are gone come back without a charge, and a copied state is noticed."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.failures.failing import only
from tests.shell import Emulator, Shell, wait_until

FIRST = "out/files/boat-000.png"
REPAIR = "batchgen repair m.yaml"


@pytest.fixture
def done(user: Shell) -> Shell:
    """Two boats are paid and on the disk."""
    user.manifest(2)
    user.expect(0, "run", "m.yaml", "--quiet")
    return user


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def untouched(path: Path) -> tuple[int, int, int]:
    """Without the time of the last look: repair reads what is sound."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns


def metadata(user: Shell) -> dict[str, Any]:
    text = (user.folder / "out/metadata.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("boat-001.png")


@pytest.mark.parametrize(
    ("harm", "words", "kept"),
    [
        (Path.unlink, "missing", False),
        (spoil, "another content", True),
        (replace_by_link, "a symbolic link in its place", True),
    ],
)
def test_row_54_a_file_that_is_gone_or_damaged_is_named_and_fetched_again_for_nothing(
    done: Shell, emulator: Emulator, harm: Callable[[Path], None], words: str, kept: bool
) -> None:
    path = done.folder / FIRST
    before = digest(path)
    harm(path)
    said = done.expect(1, "verify", "m.yaml").out
    assert f"boat-000: files/boat-000.png: {words}" in said
    assert REPAIR in said
    said = done.expect(0, "repair", "m.yaml").out
    assert "1 file repaired, nothing was paid for" in said
    assert digest(path) == before == metadata(done)["boat-000"]["sha256"]
    assert len(metadata(done)) == 2
    assert (done.folder / f"{FIRST}.damaged-1").is_file() == kept
    assert "2 files verified: all sound" in done.expect(0, "verify", "m.yaml").out
    assert done.states() == {"boat-000": "done", "boat-001": "done"}
    assert len(emulator.charges()) == 2


def test_a_repair_needs_no_money_in_the_account(done: Shell, emulator: Emulator) -> None:
    """What the vendor says of the balance stands in the way of new requests, not of paid files."""
    (done.folder / FIRST).unlink()
    emulator.arm("result", "status", status=402, body='{"error_code": 10001}', times=None)
    said = done.expect(0, "repair", "m.yaml").out
    assert "1 file repaired, nothing was paid for" in said


def test_row_54_what_is_sound_is_left_alone(done: Shell, emulator: Emulator) -> None:
    before = untouched(done.folder / FIRST)
    assert "nothing to repair" in done.expect(0, "repair", "m.yaml").out
    assert untouched(done.folder / FIRST) == before
    assert len(emulator.charges()) == 2


def test_row_54_only_the_named_jobs_are_looked_at_and_repaired(done: Shell) -> None:
    for number in (0, 1):
        (done.folder / f"out/files/boat-00{number}.png").unlink()
    document = done.expect(1, "verify", "m.yaml", "--job", "*-001", "--json").document
    missing = {"id": "boat-001", "path": "files/boat-001.png", "problem": "missing"}
    assert document == {
        "name": "m",
        "problems": [missing],
        "unknown_files": [],
        "checked": 1,
        "sound": False,
    }
    done.expect(0, "repair", "m.yaml", "--job", "*-001")
    assert done.files() == ["boat-001.png"]


def test_row_54_pending_and_unknown_jobs_are_not_submitted_by_a_repair(
    done: Shell, emulator: Emulator
) -> None:
    done.manifest(4)
    emulator.arm("submit", "reset_after")
    done.expect(76, "run", "m.yaml", "--limit", "1", "--quiet")
    charges = len(emulator.charges())
    states = done.states()
    assert sorted(states.values()) == ["done", "done", "pending", "unknown"]
    (done.folder / FIRST).unlink()
    done.expect(0, "repair", "m.yaml")
    assert done.states() == states
    assert len(emulator.charges()) == charges


def test_row_54_a_request_that_the_vendor_forgot_is_repaired_by_its_saved_url(
    done: Shell, emulator: Emulator
) -> None:
    (done.folder / FIRST).unlink()
    emulator.arm("result", "not_found", times=None)
    done.expect(0, "repair", "m.yaml")
    assert done.states()["boat-000"] == "done"


def test_row_54_what_cannot_be_fetched_any_more_is_said_and_never_called_done(
    done: Shell, emulator: Emulator
) -> None:
    (done.folder / FIRST).unlink()
    emulator.arm("result", "not_found", times=None)
    emulator.arm("file", "expired", times=None)
    said = done.expect(1, "repair", "m.yaml").out
    assert "boat-000: not repaired: " in said
    assert "batchgen resolve m.yaml JOB --write-off" in said
    assert done.states() == {"boat-000": "fetching", "boat-001": "done"}
    assert "boat-000: its result was not downloaded" in done.expect(1, "verify", "m.yaml").out
    done.expect(0, "resolve", "m.yaml", "boat-000", "--write-off")
    assert done.states()["boat-000"] == "failed"
    assert len(emulator.charges()) == 2


def test_row_54_another_content_from_the_vendor_is_said(done: Shell) -> None:
    actual = digest(done.folder / FIRST)
    with closing(sqlite3.connect(done.folder / "out/state.db")) as db, db:
        db.execute("UPDATE file SET sha256 = ? WHERE name = 'boat-000'", ("0" * 64,))
    said = done.expect(0, "repair", "m.yaml").out
    assert "boat-000: the vendor serves different content than before" in said
    assert f"is now sha256 {actual}, was {'0' * 64}" in said
    assert metadata(done)["boat-000"]["sha256"] == actual


def test_row_54_a_repair_that_is_killed_is_finished_by_the_next_run_for_nothing(
    done: Shell, emulator: Emulator
) -> None:
    path = done.folder / FIRST
    before = digest(path)
    spoil(path)
    emulator.arm("file", "hang")
    with done.start("repair", "m.yaml") as process:
        wait_until(lambda: done.states()["boat-000"] == "fetching", "the repair begins")
        process.kill()
    # It may have died before it met the fault, which would hang the next run instead.
    emulator.disarm()
    assert not path.exists()
    document = done.expect(0, "run", "m.yaml", "--json").document
    assert (document["submitted"], document["counts"]) == (0, {"done": 2})
    assert digest(path) == before
    assert len(metadata(done)) == 2
    assert len(emulator.charges()) == 2


def test_row_54_a_repair_without_a_token_moves_nothing(done: Shell) -> None:
    spoil(done.folder / FIRST)
    without = done.having(RUNCOMFY_TOKEN="")
    without.expect(77, "repair", "m.yaml")
    assert done.files() == ["boat-000.png", "boat-001.png"]
    assert done.states()["boat-000"] == "done"


def copy_the_state(user: Shell) -> None:
    """As a backup comes back: the same bytes in a new file."""
    state = user.folder / "out/state.db"
    shutil.copy2(state, state.with_suffix(".copy"))
    # The first one stays, as on the other machine: its number on the disk is not given again.
    state.rename(user.folder / "original.db")
    state.with_suffix(".copy").rename(state)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "m.yaml"),
        ("retry", "m.yaml"),
        ("repair", "m.yaml"),
        ("resolve", "m.yaml", "boat-000", "--resubmit"),
    ],
)
def test_row_65_a_copied_state_is_refused_by_all_that_could_send(
    user: Shell, emulator: Emulator, words: tuple[str, ...]
) -> None:
    user.manifest(2, run={"concurrency": 1})
    emulator.arm("submit", "reset_after")
    user.expect(76, "run", "m.yaml", "--limit", "1", "--quiet")
    copy_the_state(user)
    charges = len(emulator.charges())
    said = user.expect(65, *words).err
    assert "is a copy or a restored backup" in said
    assert "could be paid for twice" in said
    # The suggested command does what was asked, and pays for nothing else.
    verb = "run" if words[0] == "resolve" else words[0]
    assert f"batchgen {verb} m.yaml --accept-copy" in said
    assert user.states() == {"boat-000": "unknown", "boat-001": "pending"}
    assert (user.folder / "out/decisions.jsonl").read_text() == ""
    assert len(emulator.charges()) == charges
    user.expect(0, "status", "m.yaml")


def test_row_65_who_accepts_the_copy_says_so_once(done: Shell, emulator: Emulator) -> None:
    copy_the_state(done)
    done.manifest(3)
    done.expect(0, "run", "m.yaml", "--accept-copy", "--quiet")
    done.manifest(4)
    done.expect(0, "run", "m.yaml", "--quiet")
    assert len(emulator.charges()) == 4


def test_row_65_a_folder_that_is_moved_on_its_disk_is_no_copy(done: Shell) -> None:
    (done.folder / "out").rename(done.folder / "moved")
    done.manifest(2, output={"dir": "moved"})
    document = done.expect(0, "run", "m.yaml", "--json").document
    assert document["submitted"] == 0


def test_row_65_a_copy_in_which_nothing_was_ever_sent_is_taken_as_it_is(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    user.expect(75, "run", "m.yaml", "--budget", "0.001", "--quiet")
    assert emulator.charges() == []
    copy_the_state(user)
    user.expect(0, "run", "m.yaml", "--quiet")
    assert len(emulator.charges()) == 1


def test_status_tells_spent_reserved_and_unknown_money_apart(
    user: Shell, emulator: Emulator
) -> None:
    prices = {"bytedance/dreamina-4-0/text-to-image": {"price": 0.03}}
    user.manifest(2, run={"concurrency": 1, "models": prices})
    emulator.arm("submit", "reset_after")
    user.expect(76, "run", "m.yaml", "--quiet")
    money = user.status()["money"]
    assert money["unknown"] == 0.03
    assert (money["reserved"], money["unpriced"]) == (0.0, 0)
    assert money["spent"] == only(emulator.charges()[1:])["usd"]
    assert "0.03 USD unknown (counted as spent)" in user.expect(0, "status", "m.yaml").out


def test_row_54_a_folder_of_results_that_is_away_is_not_taken_for_lost(user: Shell) -> None:
    user.manifest(2)
    user.expect(0, "run", "m.yaml", "--emulator", "--latency", "0")
    files, away = user.folder / "out" / "files", user.folder / "away"
    files.rename(away)
    done = user.expect(66, "repair", "m.yaml", "--emulator")
    assert "put it back" in done.err
    away.rename(files)
    user.expect(0, "verify", "m.yaml")
