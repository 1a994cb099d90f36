"""The short way for plain names says what the long way says."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from batchgen import fs

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
def test_a_plain_name_is_as_safe_as_a_long_look_says(text: str) -> None:
    assert fs.safe_name(text) == fs._made_safe(text)


@given(plain | st.text())
@example("BOAT")
@example("\u212a")
def test_the_key_of_a_plain_name_is_that_of_any_other(text: str) -> None:
    folded = unicodedata.normalize("NFD", text).casefold()
    assert fs.name_key(text) == unicodedata.normalize("NFC", folded)
