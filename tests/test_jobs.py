"""Jobs, their ids, and the table of legal transitions."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.jobs import (
    ENDED,
    IN_FLIGHT,
    LEGAL_SOURCES,
    LEGAL_TARGETS,
    JobState,
    canonical_json,
    content_id,
    digest_of,
    model_alias,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "alias"),
    [
        ("bytedance/dreamina-4-0/text-to-image", "t2i"),
        ("bytedance/dreamina-3-0/pro/image-to-video", "i2v"),
        ("bytedance/dreamina-4-0/edit", "edit"),
        ("someone/Big-Edit", "be"),
        ("someone/", "job"),
    ],
)
def test_a_model_has_an_alias(model: str, alias: str) -> None:
    assert model_alias(model) == alias


def test_a_content_id_begins_with_the_alias_and_stays_for_ever() -> None:
    """A change here would make every nameless job of every manifest new, and paid again."""
    body = '{"prompt":"Paper boats"}'
    assert content_id("bytedance/dreamina-4-0/text-to-image", body) == "t2i-2ceafe9e48"


def test_another_input_or_model_is_another_id() -> None:
    ids = {content_id(model, body) for model in ("a/edit", "b/edit") for body in ("{}", "[]")}
    assert len(ids) == 4


@given(JSON)
def test_equal_inputs_are_equal_texts(value: object) -> None:
    text = canonical_json(value)  # type: ignore[arg-type] # hypothesis makes JSON values
    assert "\n" not in text
    if isinstance(value, dict):
        assert canonical_json(dict(reversed(value.items()))) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_what_json_does_not_have_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(value)


def test_the_digest_of_an_input_is_that_of_the_text_that_is_sent() -> None:
    assert digest_of('{"prompt":"é"}') == hashlib.sha256(b'{"prompt":"\xc3\xa9"}').hexdigest()


def test_every_state_has_its_row_in_the_table() -> None:
    assert LEGAL_TARGETS.keys() == set(JobState)
    assert LEGAL_SOURCES.keys() == set(JobState)


@pytest.mark.parametrize("target", JobState)
def test_entrances_are_the_same_table_read_backwards(target: JobState) -> None:
    assert set(LEGAL_SOURCES[target]) == {
        state for state in JobState if target in LEGAL_TARGETS[state]
    }


def test_no_state_follows_itself_and_each_can_be_reached() -> None:
    assert not [state for state in JobState if state in LEGAL_TARGETS[state]]
    assert all(LEGAL_SOURCES.values())


def test_what_may_be_paid_never_becomes_pending_by_itself() -> None:
    """Promise 1: from an accepted request no way leads back to a submit but through an end."""
    for state in (JobState.QUEUED, JobState.RUNNING, JobState.FETCHING):
        assert JobState.PENDING not in LEGAL_TARGETS[state]
        assert JobState.SUBMITTING not in LEGAL_TARGETS[state]
    assert LEGAL_SOURCES[JobState.SUBMITTING] == (JobState.PENDING,)


def test_a_paid_result_becomes_done_or_is_written_off_by_a_person() -> None:
    """Promise 2."""
    assert LEGAL_TARGETS[JobState.FETCHING] == {JobState.DONE, JobState.FAILED}


def test_in_flight_and_ended_have_nothing_in_common() -> None:
    assert not IN_FLIGHT & ENDED
    assert JobState.UNKNOWN not in IN_FLIGHT | ENDED


def test_a_done_job_is_fetched_again_and_no_other_ended_one_is() -> None:
    fetched = {JobState.QUEUED, JobState.RUNNING, JobState.DONE}
    assert set(LEGAL_SOURCES[JobState.FETCHING]) == fetched
