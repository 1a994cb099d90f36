"""What a person sees of a check, and what the state knows afterwards."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import CaptureFixture
from PIL import ImageDraw

from batchgen.check import measures
from batchgen.check.kinds import CheckOptions, Kind
from batchgen.cli import main
from batchgen.cli.check import check_results
from batchgen.models.fields import SIZE_KEY
from batchgen.runs.folder import locked
from batchgen.state.meta import Meta, set_meta
from batchgen.state.reviews import Pick, pick
from batchgen.state.selection import Selection
from tests.check.check_world import Gallery, drawn, gallery, packed, plate
from tests.runs.run_world import apply_new


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Gallery]:
    """A boat, a copy of it, and a white picture."""
    with gallery(tmp_path / "out") as made:
        made.put("boat", packed(drawn(1)))
        made.put("copy", packed(drawn(1)))
        made.put("white", packed(plate()))
        yield made


@pytest.fixture
def manifest(tmp_path: Path, world: Gallery) -> Path:
    path = tmp_path / "m.yaml"
    header = {"version": 1, "output": {"dir": str(world.root)}}
    path.write_text(json.dumps({**header, "jobs": [{"id": "a"}]}))
    return path


def checked(manifest: Path, selection: Selection | None = None, **asked: Any) -> int:
    options = {name: asked.pop(name, False) for name in ("dry_run", "as_json")}
    return check_results(manifest, selection or Selection(), CheckOptions(**asked), **options)


def known(world: Gallery) -> dict[str, list[str]]:
    rows = world.db.execute(
        "SELECT job.id, flaw.kind FROM flaw JOIN file ON file.id = flaw.file"
        " JOIN job ON job.seq = file.job ORDER BY job.seq, kind"
    )
    found: dict[str, list[str]] = {}
    for job_id, kind in rows:
        found.setdefault(job_id, []).append(kind)
    return found


def picks(world: Gallery) -> dict[str, str]:
    return dict(
        world.db.execute(
            "SELECT job.id, file.pick FROM file JOIN job ON job.seq = file.job"
            " WHERE file.pick IS NOT NULL"
        )
    )


FLAWS = {"copy": ["duplicate"], "white": ["blank"]}


def test_flaws_are_told_and_written(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    assert checked(manifest) == 1
    out = capsys.readouterr().out
    assert "3 files checked, 3 examined now" in out
    assert "  1 blank\n      white: files/white.png: one colour" in out
    assert "  1 duplicate\n      copy: files/copy.png: the same file as boat\n" in out
    assert "2 files with flaws: 2 new, 0 gone\n" in out
    assert f"→ reject them: batchgen check {manifest} --reject blank,duplicate" in out
    assert "retry" not in out
    assert known(world) == FLAWS
    assert picks(world) == {}


def test_a_second_check_says_the_same_and_writes_nothing(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    checked(manifest)
    decided = world.folder.decisions.read_bytes()
    capsys.readouterr()
    assert checked(manifest) == 1
    out = capsys.readouterr().out
    assert "3 files checked, 0 examined now" in out
    assert "2 files with flaws: 0 new, 0 gone\n" in out
    assert world.folder.decisions.read_bytes() == decided


def test_a_file_that_is_sound_again_loses_its_flaws(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    content = world.file_of("boat").read_bytes()
    world.file_of("boat").write_bytes(content[:99])
    checked(manifest)
    out = capsys.readouterr().out
    assert f"→ download unreadable ones again without paying: batchgen repair {manifest}\n" in out
    assert known(world)["boat"] == ["unreadable"]
    world.file_of("boat").write_bytes(content)
    checked(manifest, Selection(jobs=("boat",)))
    assert "nothing found; 1 gone\n" in capsys.readouterr().out
    assert "boat" not in known(world)


def test_a_dry_run_tells_and_writes_nothing(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    assert checked(manifest, dry_run=True, rejected=frozenset({Kind.BLANK})) == 1
    assert "1 file rejected (a dry run: nothing was written)" in capsys.readouterr().out
    assert (known(world), picks(world)) == ({}, {})


def test_the_kinds_that_are_named_are_rejected_but_never_what_a_person_keeps(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    world.put("black", packed(plate((0, 0, 0))))
    pick(world.db, world.seq("white"), None, Pick.KEEP)
    assert checked(manifest, rejected=frozenset({Kind.BLANK})) == 1
    out = capsys.readouterr().out
    assert picks(world) == {"white": "keep", "black": "reject"}
    assert "; 1 file rejected\n" in out
    retry = f"batchgen retry {manifest} --state rejected"
    assert f"→ make rejected ones again, which costs: {retry}" in out
    assert f"→ reject them: batchgen check {manifest} --reject duplicate" in out


def test_of_copies_the_first_one_stays(world: Gallery, manifest: Path) -> None:
    world.put("small", packed(drawn(1).resize((200, 150))))
    asked: Any = {"rejected": frozenset({Kind.DUPLICATE, Kind.NEAR_DUPLICATE})}
    assert checked(manifest, **asked) == 1
    assert picks(world) == {"copy": "reject", "small": "reject"}
    # Once more: what was decided stays as it is.
    assert checked(manifest, **asked) == 1
    assert picks(world) == {"copy": "reject", "small": "reject"}
    assert checked(manifest, Selection(states=("!rejected",)), **asked) == 1
    assert checked(manifest, Selection(states=("!rejected",), jobs=("boat",))) == 0


def test_while_a_runner_is_at_work_it_writes_down_what_was_found(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    with locked(world.folder):
        assert checked(manifest) == 1
        assert "(handed to the run in progress)" in capsys.readouterr().out
        assert known(world) == {}
        apply_new(world.db, world.folder.decisions)
    assert known(world) == FLAWS


def test_programs_get_all_of_it_in_one_document(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    for number in range(8):
        world.put(f"grey-{number}", packed(plate((100 + number,) * 3)))
    assert checked(manifest, as_json=True, rejected=frozenset({Kind.DUPLICATE})) == 1
    document = json.loads(capsys.readouterr().out)
    counts = {"blank": 9, "duplicate": 1}
    assert (document["checked"], document["counts"]) == (11, counts)
    assert [document[name] for name in ("new", "gone", "rejected")] == [10, 0, 1]
    assert document["files"][0] == {
        "id": "copy",
        "position": 1,
        "path": "files/copy.png",
        "flaws": {"duplicate": "the same file as boat"},
        "pick": "reject",
    }
    assert len(document["files"]) == 10


def test_of_many_people_are_shown_the_first(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    for number in range(8):
        world.put(f"grey-{number}", packed(plate((100 + number,) * 3)))
    checked(manifest)
    out = capsys.readouterr().out
    assert out.count("one colour") == 5
    assert "      … 4 more: --only blank --json\n" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "blnk"), "did you mean 'blank'?"),
        (("--skip", "blank", "--reject", "frozen,blank"), "blank cannot be rejected"),
        (("--only", "blank", "--skip", "blank"), "every kind is left out"),
        (("--job", "nobody"), "no job is selected"),
        (("--tag", "nope"), "no job is selected\n  → check --job, --model, --tag and --state"),
        (("--state", "failed"), "no job is selected"),
        (("--blank", "nan"), "--blank: 'nan' is not a number"),
        (("--reject", "blank,unreadable"), "→ batchgen repair {manifest} downloads it again"),
    ],
)
def test_what_cannot_be_is_a_mistake_of_the_command_line(
    manifest: Path, words: tuple[str, ...], said: str, capsys: CaptureFixture[str]
) -> None:
    assert main(["check", str(manifest), *words]) == 64
    assert said.replace("{manifest}", str(manifest)) in capsys.readouterr().err


def test_the_options_reach_the_check(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    words = ("--only", "blank,duplicate", "--skip", "duplicate", "--reject", "blank")
    assert main(["check", str(manifest), *words]) == 1
    assert known(world) == {"white": ["blank"]}
    assert picks(world) == {"white": "reject"}
    assert main(["check", str(manifest), "--only", "duplicate", "--job", "!copy"]) == 0
    assert main(["check", str(manifest), "--only", "near_blank", "--blank", "0.9"]) == 0
    world.put("bright", packed(drawn(1).point(lambda level: min(255, level + 60))))
    assert main(["check", str(manifest), "--only", "near_duplicate", "--distance", "64"]) == 1


def test_without_the_library_all_else_is_found(
    world: Gallery,
    manifest: Path,
    capsys: CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measures, "find_spec", lambda _name: None)
    assert main(["check", str(manifest)]) == 64
    assert "pip install 'batchgen[check]'" in capsys.readouterr().err
    assert main(["check", str(manifest), "--skip", "near_duplicate"]) == 1
    assert known(world) == FLAWS


def test_before_the_first_run_there_is_nothing_to_check(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        json.dumps({"version": 1, "output": {"dir": str(tmp_path / "no")}, "jobs": [{"id": "a"}]})
    )
    assert main(["check", str(path)]) == 66


def suggested(out: str, word: str) -> str:
    """The command of a next step."""
    (line,) = (line for line in out.splitlines() if line.startswith(f"  → {word}"))
    return line.partition(": ")[2]


def test_what_is_suggested_reaches_no_further_than_what_was_asked(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    world.put("small", packed(drawn(7)), input={SIZE_KEY: "1024x1024(1:1)"}, tags=("a b",))
    world.put("black", packed(plate((0, 0, 0))), tags=("a b",))
    words = ("--job", "!boat", "--tag", "a b", "--only", "wrong_size,near_blank,blank")
    more = ("--blank", "0.6", "--distance", "3")
    assert main(["check", str(manifest), *words, *more]) == 1
    again = suggested(capsys.readouterr().out, "reject them")
    assert again == (
        f"batchgen check {manifest} --job '!boat' --tag 'a b' --only blank,near_blank,wrong_size"
        " --distance 3 --blank 0.6 --reject blank,wrong_size"
    )
    assert main(shlex.split(again)[1:]) == 1
    assert picks(world) == {"small": "reject", "black": "reject"}
    retry = suggested(capsys.readouterr().out, "make rejected ones again")
    assert retry == f"batchgen retry {manifest} --job '!boat' --tag 'a b' --state rejected"


def test_a_selection_goes_along_to_repair_and_to_the_kinds_that_were_left_out(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    world.file_of("boat").unlink()
    words = ("--job", "boat", "--job", "white", "--state", "!rejected", "--skip", "near_duplicate")
    assert main(["check", str(manifest), *words]) == 1
    out = capsys.readouterr().out
    assert (
        suggested(out, "download unreadable")
        == f"batchgen repair {manifest} --job boat --job white"
    )
    assert suggested(out, "reject them") == (
        f"batchgen check {manifest} --job boat --job white --state '!rejected'"
        " --skip near_duplicate --reject blank"
    )


def test_what_only_a_person_can_tell_is_not_suggested_to_be_rejected(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    """HELLO on white paper is nearly blank, and two good takes look alike."""
    paper = plate(size=(512, 512))
    ImageDraw.Draw(paper).text((200, 250), "HELLO", fill=(0, 0, 0))
    world.put("hello", packed(paper))
    world.put("again", packed(drawn(1).resize((200, 150))))
    assert checked(manifest, Selection(jobs=("hello", "again"))) == 1
    out = capsys.readouterr().out
    assert "reject them" not in out
    look = suggested(out, "look at them, and keep or reject what is near_blank,near_duplicate")
    assert look == f"batchgen watch {manifest}"


def test_after_a_dry_run_the_same_is_suggested_in_earnest(
    manifest: Path, capsys: CaptureFixture[str]
) -> None:
    assert checked(manifest, dry_run=True, rejected=frozenset({Kind.BLANK})) == 1
    out = capsys.readouterr().out
    assert suggested(out, "reject them").endswith("--reject blank,duplicate")
    assert "retry" not in out


def test_a_copied_state_is_refused_before_anything_is_looked_at(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    set_meta(world.db, Meta.INODE, "1")
    assert main(["check", str(manifest)]) == 65
    assert "a copy or a restored backup" in capsys.readouterr().err
    assert not world.folder.measures.exists()
    assert main(["check", str(manifest), "--dry-run"]) == 1
    assert "2 files with flaws" in capsys.readouterr().out


def test_what_was_found_is_told_where_it_cannot_be_written(
    world: Gallery, manifest: Path, capsys: CaptureFixture[str]
) -> None:
    decisions = world.folder.decisions
    decisions.unlink()
    decisions.mkdir()
    assert main(["check", str(manifest)]) == 73
    said = capsys.readouterr()
    assert "2 files with flaws: 2 new, 0 gone (not written, see below)\n" in said.out
    assert "→" not in said.out
    assert str(decisions) in said.err
    assert main(["check", str(manifest), "--json"]) == 73
    document = json.loads(capsys.readouterr().out)
    assert (document["written"], len(document["files"])) == (False, 2)


def test_help_says_each_kind_on_a_line_of_its_own(capsys: CaptureFixture[str]) -> None:
    assert main(["check", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "\\b" not in "".join(lines)
    start = lines.index("  KIND is one of") + 1
    assert [line.split()[0] for line in lines[start : start + len(Kind)]] == list(Kind)
    assert "    blank           nothing but one colour" in lines
    assert main(["--help"]) == 0
    (line,) = (one for one in capsys.readouterr().out.splitlines() if one.startswith("  check "))
    assert line.endswith("duplicate results.")
