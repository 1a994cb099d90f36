"""A night that went wrong in places: it is found, rejected, and only that is paid again."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

from batchgen.state.database import open_for_reading
from tests.acceptance.shell import VIDEO, boat

if TYPE_CHECKING:
    from tests.acceptance.shell import Emulator, Shell

PICTURE = "https://pictures.example.com/boat.png"


def flaws(shell: Shell) -> dict[str, set[str]]:
    with closing(open_for_reading(shell.folder / "out/state.db")) as db:
        rows = db.execute(
            "SELECT job.id, kind FROM flaw JOIN file ON file.id = flaw.file"
            " JOIN job ON job.seq = file.job AND job.attempts = file.attempt"
        )
        found: dict[str, set[str]] = {}
        for job_id, kind in rows:
            found.setdefault(job_id, set()).add(kind)
        return found


def test_what_was_delivered_blank_is_found_rejected_and_made_again(
    user: Shell, emulator: Emulator
) -> None:
    emulator.arm("file", "blank", size=512)
    path = user.manifest(5, run={"concurrency": 1})
    user.expect(0, "run", path)
    user.expect(0, "verify", path)
    found = user.expect(1, "check", path, "--json").document
    assert found["counts"] == {"blank": 1, "wrong_size": 1}
    (spoilt,) = (file["id"] for file in found["files"])
    assert flaws(user) == {spoilt: {"blank", "wrong_size"}}
    said = user.expect(1, "check", path, "--reject", "blank").out
    assert "0 looked at now" in said
    assert f"batchgen retry {path} --state rejected" in said
    assert len(emulator.charges()) == 5
    user.expect(0, "retry", path, "--state", "rejected")
    assert len(emulator.charges()) == 6
    again = user.expect(0, "check", path, "--json").document
    assert (again["looked_at"], again["checked"], again["files"]) == (1, 5, [])
    assert flaws(user) == {}
    user.expect(64, "retry", path, "--state", "rejected")
    assert len(emulator.charges()) == 6


def test_a_rehearsal_is_sound_until_somebody_spoils_its_files(shell: Shell) -> None:
    """Landscapes that look much alike, and clips in which little moves: no false alarm."""
    clip = {"prompt": "slow pan", "image_urls": [PICTURE], "frames": 121}
    jobs = [*map(boat, range(40)), {"id": "clip", "model": VIDEO, "input": clip}]
    path = shell.manifest(jobs, run={"check_inputs": "off"})
    shell.expect(0, "run", path, "--emulator", "--latency", "0.02")
    assert "nothing found" in shell.expect(0, "check", path).out
    files = shell.folder / "out/files"
    (files / "boat-001.png").unlink()
    (files / "boat-002.png").write_bytes((files / "boat-002.png").read_bytes()[:500])
    shutil.copy(files / "boat-004.png", files / "boat-003.png")
    spoilt = {"boat-001", "boat-002", "boat-003"}
    found = shell.expect(1, "check", path, "--json").document
    assert {file["id"] for file in found["files"]} == spoilt
    assert found["looked_at"] == 3
    assert flaws(shell) == {job_id: {"unreadable"} for job_id in spoilt}
    shell.expect(0, "repair", path, "--emulator")
    assert "3 gone" in shell.expect(0, "check", path).out
    assert flaws(shell) == {}


def test_equal_pictures_leave_one_in_the_dataset(shell: Shell) -> None:
    """Two jobs with one input make one picture here."""
    twins = [{"id": f"twin-{n}", "input": {"prompt": "the same boat"}} for n in range(3)]
    path = shell.manifest([boat(1), *twins])
    shell.expect(0, "run", path, "--emulator", "--latency", "0.02")
    shell.expect(1, "check", path, "--reject", "duplicate", "--reject", "near_duplicate")
    assert flaws(shell) == {"twin-1": {"duplicate"}, "twin-2": {"duplicate"}}
    words = ("export", path, "ds", "--to", "jsonl", "--state", "!rejected", "--json")
    assert shell.expect(0, *words).document["results"] == 2
