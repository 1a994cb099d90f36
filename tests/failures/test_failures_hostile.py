"""Rows 70 to 75: answers that lead elsewhere, swell, or try to steer what shows them."""

from __future__ import annotations

import json
import resource
import unicodedata
from functools import partial

import pytest

from tests.failures.broken_disks import MIB, assert_whole, plain_files
from tests.shell import Emulator, Shell, ended

MARKUP = "<script>alert('x')</script> <img src=x onerror=alert(1)> {{ 7*7 }} &amp; %s"
SPARE_MEMORY = 700 * MIB
"""Bytes of private memory: a start of Python with its codecs needs about a third."""


def test_row_70_a_redirect_to_another_host_is_refused_unless_allowed(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1)
    emulator.arm("file", "redirect", url="https://elsewhere.example/boat.png")
    said = user.expect(75, "run", "m.yaml").said
    assert 'output.allow_hosts: ["elsewhere.example"]' in said
    assert user.states() == {"boat-000": "fetching"}
    assert user.files() == []
    # One within the allowed hosts is followed.
    (charge,) = emulator.charges()
    target = f"{emulator.origin}/files/{charge['request_id']}/1.png"
    emulator.arm("file", "redirect", url=target)
    user.expect(0, "run", "m.yaml")
    assert_whole(user, emulator)


def test_row_71_markup_in_prompts_and_errors_is_shown_as_text(
    user: Shell, emulator: Emulator
) -> None:
    """On the terminal and in the log, as it came: nothing is interpreted, nothing is lost."""
    # In the manifest's own text, braces are a template unless they are said to be none.
    prompt = f"{{% raw %}}{MARKUP}{{% endraw %}}"
    user.manifest([{"id": "<b>boat</b>", "input": {"prompt": prompt}}])
    emulator.arm("submit", "vendor_failed", message=MARKUP)
    assert MARKUP in user.expect(1, "run", "m.yaml").said
    (job,) = user.status()["jobs"]
    assert job["id"] == "<b>boat</b>"
    assert MARKUP in job["error"]["message"]
    events = [json.loads(line) for line in user.log().splitlines()]
    assert any(event.get("reason") == MARKUP for event in events)
    user.expect(0, "retry", "m.yaml")
    (line,) = (user.folder / "out/metadata.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["prompt"] == MARKUP
    (name,) = plain_files(user)
    assert not set(name) & set("<>")


def run_in_little_memory(user: Shell, *words: str) -> tuple[int, str]:
    limit = partial(resource.setrlimit, resource.RLIMIT_DATA, (SPARE_MEMORY, SPARE_MEMORY))
    with user.start(*words, preexec_fn=limit) as process:
        done = ended(process)
    return done.code, done.said


def test_row_72_bombs_are_capped(user: Shell, emulator: Emulator) -> None:
    """The process may not have the memory that any of them would unpack to."""
    user.manifest(1)
    emulator.arm("result", "gzip_bomb", size=768 * MIB)
    emulator.arm("file", "gzip_bomb", size=768 * MIB)
    emulator.arm("file", "bomb")
    code, said = run_in_little_memory(user, "run", "m.yaml")
    assert code == 0, said
    assert "MemoryError" not in said
    assert "compressed, although it was asked not to" in user.log()
    assert "60000x60000 pixels are too many" in user.log()
    assert_whole(user, emulator)


def test_row_72_pictures_too_large_to_unpack_are_given_up_with_a_sentence(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(3)
    emulator.arm("file", "bomb", times=9)
    done = user.expect(75, "run", "m.yaml")
    assert "60000x60000 pixels are too many to decode; its bytes stay as boat-00" in done.said
    assert "batchgen repair m.yaml" in done.said
    assert set(user.states().values()) == {"fetching"}
    user.expect(0, "run", "m.yaml")
    assert_whole(user, emulator, jobs=3)


def test_row_72_a_bomb_as_answer_to_a_submit_is_held(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    emulator.arm("submit", "gzip_bomb", size=768 * MIB)
    code, said = run_in_little_memory(user, "run", "m.yaml")
    assert code == 76, said
    assert user.states() == {"boat-000": "unknown"}


@pytest.mark.parametrize("name", ["boat-000.png", "boat-000.part"])
def test_row_73_a_symlink_where_a_file_should_go_is_not_followed(
    user: Shell, emulator: Emulator, name: str
) -> None:
    user.manifest(2, run={"concurrency": 1})
    # A run of before: pictures that no state knows of stop the first one.
    user.expect(0, "run", "m.yaml", "--job", "boat-001")
    victim = user.folder / "victim"
    victim.write_text("mine")
    link = user.folder / "out/files" / name
    link.symlink_to(victim)
    done = user.expect(75, "run", "m.yaml")
    assert "there is a symbolic link where the file should go" in done.said
    assert victim.read_text() == "mine"
    assert user.states() == {"boat-000": "fetching", "boat-001": "done"}
    link.unlink()
    user.expect(0, "run", "m.yaml")
    assert victim.read_text() == "mine"
    assert_whole(user, emulator, jobs=2)


def test_row_73_a_symlink_instead_of_a_folder_of_files_is_not_followed(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(1, output={"dir": "out", "name": "sub/{{ id }}"})
    elsewhere = user.folder / "elsewhere"
    elsewhere.mkdir()
    (user.folder / "out/files").mkdir(parents=True)
    (user.folder / "out/files/sub").symlink_to(elsewhere)
    assert "symbolic link" in user.expect(75, "run", "m.yaml").said
    assert list(elsewhere.iterdir()) == []
    assert user.states() == {"boat-000": "fetching"}


@pytest.mark.parametrize("kind", ["deep_json", "huge_json"])
def test_row_74_huge_or_deep_json_is_capped(user: Shell, emulator: Emulator, kind: str) -> None:
    user.manifest(1)
    emulator.arm("result", kind)
    user.expect(0, "run", "m.yaml")
    assert_whole(user, emulator)
    assert (user.folder / "out/state.db").stat().st_size < MIB
    assert len(user.log()) < 16 * 1024


@pytest.mark.parametrize("kind", ["deep_json", "huge_json"])
def test_row_74_huge_or_deep_json_at_a_submit_is_held(
    user: Shell, emulator: Emulator, kind: str
) -> None:
    user.manifest(1)
    emulator.arm("submit", kind)
    user.expect(76, "run", "m.yaml")
    assert user.states() == {"boat-000": "unknown"}
    assert (user.folder / "out/state.db").stat().st_size < MIB


STEERING = "red \x1b[31m\x1b]0;title\x07 \x9b2J\r\nnext \u202egnp.exe\u2028 words"


def is_harmless(text: str) -> bool:
    """Lines of printable characters: none that moves a cursor or turns the direction of text."""
    return all(
        character == "\n" or unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp"}
        for character in text
    )


def test_row_75_what_would_steer_a_terminal_is_removed(user: Shell, emulator: Emulator) -> None:
    user.manifest(1)
    emulator.arm("submit", "vendor_failed", message=STEERING)
    for words in (("run", "m.yaml"), ("status", "m.yaml"), ("status", "m.yaml", "--json")):
        done = user.run(*words)
        assert "words" in done.said
        assert is_harmless(done.said), repr(done.said)
    assert is_harmless(user.log())


def test_row_75_a_line_break_in_the_token_never_becomes_a_header(
    shell: Shell, emulator: Emulator
) -> None:
    user = shell.using(emulator, "token-of-the-house\r\nX-Evil: 1")
    user.manifest(1)
    err = user.expect(77, "run", "m.yaml").err
    assert "line break" in err
    assert "token-of-the-house" not in err
    assert emulator.charges() == []
