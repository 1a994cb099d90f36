"""Row 54, for results in a folder and in a bucket: what is gone comes back without a charge."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.shell import Emulator, Shell, wait_until
from tests.storage.stored import Stored

BOAT = "files/boat-000.png"


@pytest.fixture
def night(user: Shell, stored: Callable[[Shell], Stored]) -> Stored:
    """Two boats are paid."""
    user.manifest(2)
    user.expect(0, "run", "m.yaml", "--quiet")
    return stored(user)


@pytest.mark.parametrize(
    ("harm", "words", "kept"),
    [
        (Stored.remove, "missing", False),
        (Stored.spoil, "another content", True),
        (lambda night, path: night.replace(path, b"short"), "another size", True),
    ],
)
def test_what_is_gone_or_damaged_is_fetched_again_for_nothing(
    night: Stored,
    emulator: Emulator,
    harm: Callable[[Stored, str], None],
    words: str,
    kept: bool,
) -> None:
    before = night.content(BOAT)
    harm(night, BOAT)
    damaged = night.content(BOAT) if kept else b""
    assert f"boat-000: {BOAT}: {words}" in night.shell.expect(1, "verify", "m.yaml").out
    said = night.shell.expect(0, "repair", "m.yaml").out
    assert "1 file repaired, nothing was paid for" in said
    assert night.content(BOAT) == before
    assert (f"{BOAT}.damaged-1" in night.names()) == kept
    assert not kept or night.content(f"{BOAT}.damaged-1") == damaged
    assert "2 files verified: all sound" in night.shell.expect(0, "verify", "m.yaml").out
    assert night.shell.states() == {"boat-000": "done", "boat-001": "done"}
    assert len(emulator.charges()) == 2


def test_what_is_sound_is_left_alone(night: Stored, emulator: Emulator) -> None:
    assert "nothing to repair" in night.shell.expect(0, "repair", "m.yaml").out
    if night.s3 is not None:
        wrote = {method for method, path in night.s3.calls if "/files/" in path}
        assert wrote <= {"GET", "HEAD"}
    assert len(emulator.charges()) == 2


def test_only_the_named_jobs_are_looked_at_and_repaired(night: Stored) -> None:
    for number in (0, 1):
        night.remove(f"files/boat-00{number}.png")
    document = night.shell.expect(1, "verify", "m.yaml", "--job", "*-001", "--json").document
    assert [one["id"] for one in document["problems"]] == ["boat-001"]
    night.shell.expect(0, "repair", "m.yaml", "--job", "*-001")
    assert night.names() == ["files/boat-001.png"]


def test_a_repair_that_is_killed_is_finished_by_the_next_run_for_nothing(
    night: Stored, emulator: Emulator
) -> None:
    before = night.content(BOAT)
    night.spoil(BOAT)
    emulator.arm("file", "hang")
    with night.shell.start("repair", "m.yaml") as process:
        wait_until(lambda: night.shell.states()["boat-000"] == "fetching", "the repair begins")
        process.kill()
    emulator.disarm()
    assert BOAT not in night.names()
    document = night.shell.expect(0, "run", "m.yaml", "--json").document
    assert (document["submitted"], document["counts"]) == (0, {"done": 2})
    assert night.content(BOAT) == before
    assert len(emulator.charges()) == 2


def test_a_repair_without_a_token_moves_nothing(night: Stored) -> None:
    night.spoil(BOAT)
    night.shell.having(RUNCOMFY_TOKEN="").expect(77, "repair", "m.yaml")
    assert night.names() == [BOAT, "files/boat-001.png"]
    assert night.shell.states()["boat-000"] == "done"


def test_another_content_from_the_vendor_is_said(night: Stored) -> None:
    with closing(sqlite3.connect(night.shell.folder / "out/state.db")) as db, db:
        db.execute("UPDATE file SET sha256 = ? WHERE name = 'boat-000'", ("0" * 64,))
    said = night.shell.expect(0, "repair", "m.yaml").out
    assert "boat-000: the vendor serves different content than before" in said


def test_what_cannot_be_fetched_any_more_is_never_called_done(
    night: Stored, emulator: Emulator
) -> None:
    night.remove(BOAT)
    emulator.arm("result", "not_found", times=None)
    emulator.arm("file", "expired", times=None)
    assert "boat-000: not repaired: " in night.shell.expect(1, "repair", "m.yaml").out
    assert night.shell.states() == {"boat-000": "fetching", "boat-001": "done"}
    assert len(emulator.charges()) == 2
