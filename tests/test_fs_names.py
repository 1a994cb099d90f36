"""Any text becomes a name that every file system accepts (row 67)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen import fs
from batchgen.fs import file_names, name_key, safe_name

TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(), min_size=80, max_size=400),
    st.text(st.sampled_from("aA/.\\ -_:<conCON1²\u0301\u200d\u202e\udc80\x00é船"), max_size=300),
)
DEVICES = {"con", "prn", "aux", "nul", "com1", "lpt9", "com²", "conin$"}


@given(TEXTS)
@example("CON" + " " * 200 + "x")
@example("a/" * 300)
@example("船" * 100)
def test_any_text_becomes_a_name_that_every_file_system_takes(text: str) -> None:
    """Row 67."""
    name = safe_name(text)
    assert 0 < len(name.encode()) <= 240
    for part in name.split("/"):
        assert part not in {"", ".", ".."}
        assert len(part.encode()) <= 100
        assert part == unicodedata.normalize("NFC", part)
        assert part[0] not in ".- "
        assert part[-1] not in ". "
        assert part.split(".")[0].rstrip(" ").lower() not in DEVICES
        assert not set(part) & set('<>:"\\|?*\u200b\u200d\u202e\x00\n')
        assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in part)


@given(TEXTS)
@example("a" * 100 + "/" + "b" * 100 + "/" + "c" * 29 + "./" + "d" * 100)
@example("a" * 100 + "/" + "b" * 129 + "/:" + "d" * 40)
@example("a" * 30 + "/" + "b" * 99 + "/" + "c" * 100 + "/d")
def test_a_safe_name_stays_as_it_is(text: str) -> None:
    once = safe_name(text)
    assert safe_name(once) == once


@given(TEXTS, TEXTS)
def test_two_texts_stay_two_files(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@pytest.mark.parametrize(
    "name", ["boat", "hero/boat-1", "a b", "Bücher", "船", "x.y", "v1.0/final (2)", "_con", "cone"]
)
def test_a_plain_name_is_kept(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("../x", "x-"),
        ("/x", "x-"),
        ("CON", "_CON-"),
        ("com1.png", "_com1.png-"),
        ("a:b", "a_b-"),
        ("-rf", "rf-"),
        (".hidden", "hidden-"),
        ("C:\\boat", "C__boat-"),
        ("", "unnamed-"),
        ("../..", "unnamed-"),
        ("a" * 300, "a" * 91 + "-"),
        ("e\u0301", "é-"),
    ],
)
def test_an_unsafe_name_is_changed_and_marked_with_its_hash(text: str, start: str) -> None:
    """Row 67."""
    name = safe_name(text)
    assert name.startswith(start)
    assert len(name) == len(start) + 8


def test_two_long_names_that_differ_at_the_end_stay_two() -> None:
    assert safe_name("a" * 300 + "1") != safe_name("a" * 300 + "2")


@pytest.mark.parametrize(
    ("one", "other"), [("Boat", "boat"), ("STRASSE", "straße"), ("É", "e\u0301")]
)
def test_case_twins_have_one_key(one: str, other: str) -> None:
    """Row 67."""
    assert name_key(one) == name_key(other)


@given(st.text())
def test_a_key_is_its_own_key(text: str) -> None:
    assert name_key(name_key(text)) == name_key(text)


@pytest.mark.parametrize(
    ("count", "names"), [(0, ()), (1, ("boat",)), (3, ("boat.1", "boat.2", "boat.3"))]
)
def test_files_are_numbered_only_where_there_are_several(
    count: int, names: tuple[str, ...]
) -> None:
    """Row 47: the names are the same on every run."""
    assert file_names("boat", count) == names


plain = st.text("abcXYZ019._- /", max_size=110)
near_devices = st.tuples(st.sampled_from(["con", "NUL", "com1", "lpt0", "prn", "aux"]), plain).map(
    "".join
)


@given(plain | near_devices | st.text())
@example("x" * 99)
@example("x" * 100)
@example("x" * 101)
@example("boat.")
@example("boat\n")
@example("nul.png")
@example("_con")
def test_the_fast_path_for_plain_names_agrees_with_the_slow_one(text: str) -> None:
    assert fs.safe_name(text) == fs._made_safe(text)


@given(plain | st.text())
@example("BOAT")
@example("\u212a")
def test_the_key_of_a_plain_name_is_that_of_any_other(text: str) -> None:
    folded = unicodedata.normalize("NFD", text).casefold()
    assert fs.name_key(text) == unicodedata.normalize("NFC", folded)
