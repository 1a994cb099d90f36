"""The disk against the state: each kind of damage is told from the others, and strays are said."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from batchgen.downloads.outcomes import VerifiedFile
from batchgen.errors import UsageError
from batchgen.runs.verify import (
    Checked,
    Damage,
    check_files,
    confirmed,
    orphaned_files,
)
from batchgen.state import files, transitions
from batchgen.state.queries import Selection
from batchgen.storage.folders import FolderResults
from batchgen.storage.locations import FolderLocation
from tests.runs.run_world import Place

CONTENT = b"a boat"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def boat(place: Place) -> Path:
    """The job `boat` is done, its file is there; `clip` is being fetched."""
    for number, job_id in enumerate(("boat", "clip"), start=1):
        seq = place.seq(job_id)
        assert transitions.begin_attempt(place.db, seq, "h", 0.03, 1.0) == 1
        transitions.accepted(place.db, seq, 1, f"r{number}", "raw", 1.0)
        assert transitions.delivered(
            place.db, seq, 1, [f"https://x/{job_id}.png"], 0.03, "raw", 2.0
        )
    path = place.folder.files / "boat.png"
    path.write_bytes(CONTENT)
    job = files.files_to_fetch(place.db, place.seq("boat"))
    assert job is not None
    file = VerifiedFile("files/boat.png", len(CONTENT), DIGEST, "image/png", 1, 1, None, 1)
    assert files.verified(place.db, job.files[0].id, file, 3.0).done
    return path


def results_of(place: Place) -> FolderResults:
    return FolderResults(FolderLocation(place.folder.root))


def damages(place: Place, *, quick: bool = False) -> list[Damage | None]:
    found = check_files(place.db, results_of(place), Selection(), quick=quick)
    return [one.damage for one in found]


def link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_a_file_as_it_was_is_sound(place: Place, boat: Path) -> None:
    assert damages(place) == [None]


@pytest.mark.parametrize(
    ("harm", "damage"),
    [
        (lambda path: path.unlink(), Damage.MISSING),
        (lambda path: path.write_bytes(b""), Damage.SIZE),
        (lambda path: path.write_bytes(CONTENT + b"!"), Damage.SIZE),
        (lambda path: path.write_bytes(CONTENT.upper()), Damage.CONTENT),
        (link, Damage.LINK),
        (make_folder, Damage.NOT_A_FILE),
        (make_pipe, Damage.NOT_A_FILE),
    ],
)
def test_each_harm_is_called_by_its_name(
    place: Place, boat: Path, harm: Callable[[Path], None], damage: Damage
) -> None:
    harm(boat)
    assert damages(place) == [damage]


def test_a_quick_look_reads_no_content_and_still_compares_sizes(place: Place, boat: Path) -> None:
    boat.write_bytes(CONTENT.upper())
    assert damages(place, quick=True) == [None]
    boat.write_bytes(b"short")
    assert damages(place, quick=True) == [Damage.SIZE]


def test_a_file_that_a_repair_takes_meanwhile_is_no_problem(place: Place, boat: Path) -> None:
    boat.unlink()
    (known,) = files.results_after(place.db, Selection(), 0, 9)
    found = Checked(known, Damage.MISSING)
    assert files.fetch_again(place.db, known)
    assert confirmed(place.db, found, found) == Checked(known)
    assert place.state("boat") == "fetching"


def test_a_selection_that_names_no_job_is_refused(place: Place) -> None:
    with pytest.raises(UsageError, match="no job is called zz"):
        list(check_files(place.db, results_of(place), Selection(("zz",))))


def test_foreign_files_and_forsaken_parts_are_strays_and_awaited_ones_are_not(
    place: Place, boat: Path
) -> None:
    below = place.folder.files
    (below / "mine").mkdir()
    for name in ("boat.jpg", "boat.png.part", "mine/holiday.png", "clip.part", "clip.part.json"):
        (below / name).touch()
    # Renamed already, and not yet recorded.
    (below / "clip.png").touch()
    found = sorted(orphaned_files(place.db, results_of(place)))
    assert found == ["files/boat.jpg", "files/boat.png.part", "files/mine/holiday.png"]
