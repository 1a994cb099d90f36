"""Rows 1 to 7: what is wrong with a manifest, and that nothing is sent for it."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.shell import T2I, Emulator, Shell, boat

HEAD = f"version: 1\ndefaults: {{model: {T2I}}}\noutput: {{dir: out}}\njobs:\n"
JOB = "  - {id: a, input: {prompt: a boat}}\n"

MEBIBYTE = 1024 * 1024
FULL_SIZE = "BATCHGEN_FULL_SIZE"
"""Set, the manifest of row 6 has its 300 MB; else a tenth, which takes seconds."""


def assert_refused(user: Shell, emulator: Emulator, *words: str) -> None:
    """Both commands say `words` with 65; nothing is charged and no folder is made."""
    for verb in ("validate", "run"):
        err = user.expect(65, verb, "m.yaml").err
        for word in (*words, "nothing was sent"):
            assert word in err
    assert emulator.charges() == []
    assert not (user.folder / "out").exists()


def test_row_01_two_jobs_with_one_id_are_refused_and_both_lines_are_named(
    user: Shell, emulator: Emulator
) -> None:
    user.write(HEAD + JOB + JOB)
    assert_refused(user, emulator, "m.yaml:6:", "'a'", "lines 5 and 6")


def test_row_02_an_input_that_changed_after_it_was_paid_is_listed_and_refused(
    user: Shell, emulator: Emulator
) -> None:
    user.manifest(2)
    user.expect(0, "run", "m.yaml")
    user.manifest([boat(0), {**boat(1), "input": {"prompt": "another one"}}])
    err = user.expect(65, "run", "m.yaml").err
    assert "boat-001 (done)" in err
    assert "boat-000" not in err
    assert "--changed keep" in err
    assert len(emulator.charges()) == 2
    user.expect(0, "run", "m.yaml", "--changed", "rerun")
    assert [charge["input"]["prompt"] for charge in emulator.charges()][2:] == ["another one"]


@pytest.mark.parametrize("jobs", ["jobs: []\n", "jobs:\n", ""])
def test_row_03_a_manifest_without_jobs_is_refused(
    user: Shell, emulator: Emulator, jobs: str
) -> None:
    user.write("version: 1\noutput: {dir: out}\n" + jobs)
    assert_refused(user, emulator, "m.yaml:", "job")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (HEAD + "  - {id: a, input: {prompt: a boat}\n", "m.yaml:6:1"),
        (HEAD + JOB + "  - id: b\n\tinput: {prompt: p}\n", "m.yaml:7:1"),
        (HEAD + '  - {id: a, input: {prompt: "a boat}}\n', "m.yaml:"),
        (HEAD + "  - {id: a, input: *nobody}\n", "m.yaml:5:20"),
    ],
    ids=["an open bracket", "a tab", "an open quote", "an unknown alias"],
)
def test_row_04_bad_yaml_is_shown_with_line_and_column_and_nothing_is_sent(
    user: Shell, emulator: Emulator, text: str, place: str
) -> None:
    user.write(text)
    assert_refused(user, emulator, place)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_row_05_a_byte_order_mark_and_crlf_are_read(
    user: Shell, emulator: Emulator, encoding: str
) -> None:
    text = (HEAD + "  - {id: a, input: {prompt: ein grünes Boot}}\n").replace("\n", "\r\n")
    (user.folder / "m.yaml").write_bytes(text.encode(encoding))
    user.expect(0, "run", "m.yaml")
    assert [charge["input"]["prompt"] for charge in emulator.charges()] == ["ein grünes Boot"]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (b"a\0boat", "a NUL character"),
        (b"a \xed\xa0\x80 boat", "this is not UTF-8"),
        (b'"a \\ud800 boat"', "half a character"),
        (b"a \xff boat", "this is not UTF-8"),
    ],
    ids=["NUL", "a surrogate's bytes", "an escaped surrogate", "no UTF-8"],
)
def test_row_05_characters_that_are_none_are_refused_with_their_place(
    user: Shell, emulator: Emulator, prompt: bytes, words: str
) -> None:
    job = JOB.encode().replace(b"a boat", prompt)
    (user.folder / "m.yaml").write_bytes(HEAD.encode() + job)
    assert_refused(user, emulator, "m.yaml:5:", words)


def test_row_06_a_huge_manifest_takes_no_more_memory_than_a_tenth_of_it(tmp_path: Path) -> None:
    """Peak resident memory of `validate`; the page cache of its spool file is not counted."""
    size = 300 if FULL_SIZE in os.environ else 30
    small, huge = (
        peak_of_validating(many_jobs(tmp_path, mebibytes * MEBIBYTE))
        for mebibytes in (size // 4, size)
    )
    assert huge < small + size / 10 * MEBIBYTE, f"{small} became {huge} bytes"


def many_jobs(folder: Path, size: int) -> Path:
    path = folder / f"{size}.yaml"
    # Long prompts are not the point: jobs are, since it is they that could pile up.
    words = "a boat " * 110
    with path.open("w") as file:
        file.write(HEAD)
        number = 0
        while file.tell() < size:
            lines = range(number, number + 1000)
            file.writelines(f"  - {{id: j{n}, input: {{prompt: {words}{n}}}}}\n" for n in lines)
            number += 1000
    return path


MEASURED = """
import resource, sys
from pathlib import Path
from batchgen.cli import main
code = main(["validate", sys.argv[1]])
status = Path("/proc/self/status")
if status.exists():
    # Not ru_maxrss: Linux hands the parent's own peak down to its children.
    print([1024 * int(line.split()[1]) for line in status.open() if line.startswith("VmHWM")][0])
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def peak_of_validating(manifest: Path) -> int:
    """Bytes at most, of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(manifest)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])


def bomb() -> str:
    """Ten million values from seven short lines."""
    names = "abcdefg"
    lines = [f"x-a: &a [{', '.join('1' * 10)}]"]
    for before, name in pairwise(names):
        lines.append(f"x-{name}: &{name} [{', '.join(['*' + before] * 10)}]")
    return HEAD + JOB + "\n".join(lines) + "\n"


def test_row_07_an_alias_bomb_is_refused(user: Shell, emulator: Emulator) -> None:
    user.write(bomb())
    assert_refused(user, emulator, "m.yaml:10:", "make it smaller")


@pytest.mark.parametrize(
    ("tagged", "words"),
    [
        ("!!python/object/apply:os.system [touch harmed]", "remove the tag"),
        ("!mine a boat", "remove the tag"),
    ],
)
def test_row_07_a_custom_tag_is_refused_and_not_obeyed(
    user: Shell, emulator: Emulator, tagged: str, words: str
) -> None:
    user.write(HEAD + f"  - id: a\n    input: {{prompt: {tagged}}}\n")
    assert_refused(user, emulator, "m.yaml:6:21", words)
    assert not (user.folder / "harmed").exists()


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "  - &job {id: a, input: {prompt: [*job]}}\n",
        HEAD + f"  - {{id: a, input: {{prompt: {'[' * 5000}{']' * 5000}}}}}\n",
    ],
    ids=["a value within itself", "5000 levels"],
)
def test_row_07_recursion_is_refused(user: Shell, emulator: Emulator, text: str) -> None:
    user.write(text)
    assert_refused(user, emulator, "m.yaml:5:")
