"""What of a message names its cause, and what is just the job's own."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.state.causes import cause_key, without_word

LETTERS = "ab-_ .1é٣²\u0301\n漢"


@given(text=st.text(LETTERS, max_size=40), word=st.text(LETTERS, min_size=1, max_size=4))
@example(text="aa a-a a", word="a")
@example(text="a.a.a", word="a.a")
@example(text="-aa-", word="aa")
@example(text="a b a", word="")
def test_a_word_is_found_where_the_pattern_finds_it(text: str, word: str) -> None:
    pattern = rf"(?<![\w-]){re.escape(word)}(?![\w-])"
    assert without_word(text, word) == (re.sub(pattern, "#", text) if word else text)


@given(st.text(max_size=40), st.text(min_size=1, max_size=3))
def test_in_any_letters(text: str, word: str) -> None:
    text = f"{text}{word} {word}{text}{word}"
    pattern = rf"(?<![\w-]){re.escape(word)}(?![\w-])"
    assert without_word(text, word) == re.sub(pattern, "#", text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("a", "job a: no"), ("b", "job b: no"), True),
        (("a", "a banana"), ("b", "b banana"), True),
        (("an", "an answer"), ("no", "an answer"), False),
        (("x-1", "x-1 took 3.5 s"), ("x-2", "x-2 took 40 s"), True),
        (("x-1", "x-1-a failed"), ("x-2", "x-2-a failed"), True),
        (("x", "x-ray"), ("y", "y-ray"), False),
        (("x", "request rq-7Kd9fQ2z ended"), ("y", "request rq-a81_bQzz ended"), True),
        (("x", "request 3f9a1c2b04 ended"), ("y", "request ABCDEF01-23 ended"), True),
        (("x", "h264 is not taken"), ("y", "vp9 is not taken"), False),
        (("x", "see https://x.example/1?a=b"), ("y", "see https://y.example/2"), True),
        (("x", "prompt: too long"), ("y", "image_urls: too many"), False),
    ],
)
def test_messages_of_one_cause_have_one_key(
    one: tuple[str, str], other: tuple[str, str], same: bool
) -> None:
    keys = {cause_key(job_id, "failed", "code", words) for job_id, words in (one, other)}
    assert len(keys) == (1 if same else 2)
