"""Rows 40 to 49: a paid file comes home whole, or not under its name."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from batchgen.engine.events import Event, FileSaved, Noted
from tests.failures.broken_disks import MIB, assert_whole, run_hearing
from tests.shell import PATIENCE, Emulator, Shell, boat, emulating

BIG = 3 * MIB + 12345
"""Bytes: more than one block of a download, so that a part of it can stay."""


@dataclass
class Watch:
    """What was said of downloads, and which names stood there then. `at_trouble` may meddle."""

    user: Shell
    at_trouble: Callable[[Path], None] = lambda _part: None
    notes: list[str] = field(default_factory=list)
    names: list[list[str]] = field(default_factory=list)
    saved: int = 0

    def on_event(self, event: Event) -> None:
        if isinstance(event, FileSaved):
            self.saved += 1
        elif isinstance(event, Noted) and event.text.startswith("download of"):
            self.notes.append(event.text)
            self.names.append(self.user.files())
            self.at_trouble(self.user.folder / "out/files/boat-000.part")


def spoil_one_download(user: Shell, emulator: Emulator, kind: str) -> str:
    """Run into one bad answer of the file server; gives what was said of it."""
    user.manifest(1)
    emulator.arm("file", kind)
    watch = Watch(user)
    assert run_hearing(user, watch.on_event).exit_code == 0
    (names,) = watch.names
    assert all(".part" in name for name in names), "a name stood there before all was verified"
    assert watch.saved == 1
    assert_whole(user, emulator)
    return watch.notes[0]


def test_row_40_an_expired_url_is_asked_for_again_and_not_paid_again(
    shell: Shell, tmp_path: Path
) -> None:
    memory = {"state": tmp_path / "vendor.db", "latency": 0.02}
    shell.manifest(1)
    with emulating(url_ttl=0, **memory) as emulator:
        done = shell.using(emulator).expect(75, "run", "m.yaml")
        assert "url_expired" in done.said
        assert shell.files() == []
    # The vendor comes back at the same address; the URLs of the evening stay expired.
    with emulating(url_ttl=60, port=urlsplit(emulator.base).port, **memory) as emulator:
        again = shell.using(emulator).expect(0, "run", "m.yaml", "--json").document
        assert again["submitted"] == 0
        assert len(emulator.charges()) == 1
    assert shell.status()["counts"] == {"done": 1}
    assert shell.files() == ["boat-000.png"]


def test_row_41_a_short_body_never_takes_the_final_name(user: Shell, emulator: Emulator) -> None:
    assert "broke off before its end" in spoil_one_download(user, emulator, "short_body")


def test_row_42_wrong_bytes_of_the_right_size_are_noticed_by_the_decoder(
    user: Shell, emulator: Emulator
) -> None:
    assert "does not decode" in spoil_one_download(user, emulator, "wrong_bytes")


def continue_a_part(user: Shell, emulator: Emulator, kind: str) -> None:
    """Break off after two blocks, then meet `kind` where the rest is asked for.

    The part is overwritten meanwhile, as if it were of another file: whoever glued to it would be
    found out by the decoder, which costs a second note.
    """

    def overwrite(part: Path) -> None:
        part.write_bytes(bytes(part.stat().st_size))

    user.manifest(1)
    emulator.arm("file", "short_body", size=2 * MIB + 777)
    emulator.arm("file", kind)
    watch = Watch(user, overwrite)
    assert run_hearing(user, watch.on_event).exit_code == 0
    assert watch.names == [["boat-000.part", "boat-000.part.json"]]
    assert len(watch.notes) == 1
    assert_whole(user, emulator)
    with urllib.request.urlopen(f"{emulator.origin}/emulator/faults", timeout=PATIENCE) as answer:
        assert json.load(answer) == {"faults": []}


def test_row_43_a_server_that_ignores_range_makes_the_download_start_over(
    shell: Shell,
) -> None:
    with emulating(media_bytes=BIG) as emulator:
        continue_a_part(shell.using(emulator), emulator, "ignore_range")


def test_row_44_another_etag_makes_the_download_start_over(shell: Shell) -> None:
    with emulating(media_bytes=BIG) as emulator:
        continue_a_part(shell.using(emulator), emulator, "etag_changes")


def test_row_45_an_html_page_is_no_picture(user: Shell, emulator: Emulator) -> None:
    assert "an HTML page, not a picture" in spoil_one_download(user, emulator, "html")


def test_row_46_zero_bytes_are_no_picture(user: Shell, emulator: Emulator) -> None:
    assert "empty" in spoil_one_download(user, emulator, "empty")


def test_row_47_two_files_that_want_one_name_are_both_kept_under_the_same_names_each_time(
    user: Shell, emulator: Emulator
) -> None:
    jobs = [boat(number, tags=["Twin" if number else "twin"]) for number in range(3)]
    listings = []
    for folder in ("out", "again"):
        user.manifest(jobs, output={"dir": folder, "name": "{{ tags[0] }}"})
        # Another folder of one manifest is a new run only by a word of the user.
        user.expect(0, "run", "m.yaml", "--start-over")
        assert user.expect(0, "run", "m.yaml", "--json").document["submitted"] == 0
        files = {job["id"]: Path(job["files"][0]["path"]) for job in user.status()["jobs"]}
        listings.append({job: path.name for job, path in files.items()})
        assert all(path.stat().st_size for path in files.values())
        assert len(list((user.folder / folder / "files").iterdir())) == 3
    assert listings[0] == listings[1]
    assert len({name.casefold() for name in listings[0].values()}) == 3
    assert len(emulator.charges()) == 6


def test_row_48_a_foreign_host_is_not_fetched_and_its_url_is_kept(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(2, run={"concurrency": 1})
    emulator.arm("submit", "foreign_host", url="https://elsewhere.example/boat.png?key=1")
    said = user.expect(75, "run", "m.yaml").said
    assert 'output.allow_hosts: ["elsewhere.example"]' in said
    assert user.states() == {"boat-000": "fetching", "boat-001": "done"}
    assert user.files() == ["boat-001.png"]
    with closing(sqlite3.connect(user.folder / "out/state.db")) as db:
        kept = db.execute("SELECT url FROM file WHERE verified_at IS NULL").fetchall()
    assert kept == [("https://elsewhere.example/boat.png?key=1",)]
    user.expect(75, "run", "m.yaml")
    assert len(emulator.charges()) == 2


def test_row_49_a_file_over_the_cap_is_stopped_and_removed(user: Shell, emulator: Emulator) -> None:
    user.manifest(2, run={"concurrency": 1})
    emulator.arm("file", "oversize")
    said = user.expect(75, "run", "m.yaml").said
    assert "over the cap" in said
    assert user.files() == ["boat-001.png"]
    assert user.states() == {"boat-000": "fetching", "boat-001": "done"}
    user.expect(0, "run", "m.yaml")
    assert_whole(user, emulator, jobs=2)


def test_results_under_undocumented_keys_come_home_without_their_decoys(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(2)
    emulator.arm("submit", "odd_output", times=2)
    user.expect(0, "run", "m.yaml")
    assert_whole(user, emulator, jobs=2)
    assert user.files() == ["boat-000.png", "boat-001.png"]


def test_a_result_inside_the_answer_is_saved_and_takes_no_room_in_the_state(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(2)
    emulator.arm("submit", "data_uri", times=2)
    user.expect(0, "run", "m.yaml")
    assert user.files() == ["boat-000.png", "boat-001.png"]
    assert len(emulator.charges()) == 2
    with closing(sqlite3.connect(user.folder / "out/state.db")) as db:
        rows = db.execute("SELECT url, bytes FROM file").fetchall()
    assert all(len(url) < 100 < size for url, size in rows)
    (user.folder / "out/files/boat-001.png").unlink()
    user.expect(0, "repair", "m.yaml")
    assert user.files() == ["boat-000.png", "boat-001.png"]


def test_a_picture_from_a_video_model_is_kept_and_told(user: Shell, emulator: Emulator) -> None:
    clip = {
        "id": "clip",
        "model": "bytedance/dreamina-3-0/pro/image-to-video",
        "input": {"prompt": "slow", "image_urls": ["https://example.com/a.png"]},
    }
    user.manifest([clip], run={"check_inputs": "off"})
    emulator.arm("submit", "picture_for_video")
    done = user.expect(0, "run", "m.yaml")
    assert "clip: image/png came from a model that makes videos; it is kept as" in done.said
    with closing(sqlite3.connect(user.folder / "out/state.db")) as db:
        assert db.execute("SELECT kind FROM flaw").fetchall() == [("wrong_kind",)]


def test_a_file_host_that_is_down_for_a_while_costs_no_second_run(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(4)
    emulator.arm("file", "host_down", seconds=4)
    user.expect(0, "run", "m.yaml")
    assert_whole(user, emulator, jobs=4)


def test_files_that_are_served_at_another_port_now_come_home_at_once(
    shell: Shell, tmp_path: Path
) -> None:
    """As after kill -9 of a rehearsal: the saved URLs lead to a port that is gone."""
    memory = {"state": tmp_path / "vendor.db", "latency": 0.02}
    shell.manifest(3)
    with emulating(url_ttl=0, **memory) as emulator:
        shell.using(emulator).expect(75, "run", "m.yaml")
    with emulating(url_ttl=60, **memory) as emulator:
        done = shell.using(emulator).expect(0, "run", "m.yaml", "--json").document
        assert done["submitted"] == 0
        assert len(emulator.charges()) == 3
    assert shell.files() == ["boat-000.png", "boat-001.png", "boat-002.png"]
