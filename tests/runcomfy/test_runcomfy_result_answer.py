"""What the answer about a request means: states, ends, and silence."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.pauses import PauseReason
from batchgen.runcomfy import result
from batchgen.runcomfy.outcomes import (
    Cancelled,
    Ended,
    Failed,
    Gateway,
    Halted,
    Missing,
    NoAnswer,
    NotReady,
    Queued,
    ResultOutcome,
    Running,
    Succeeded,
    Throttled,
    UnrecognizedState,
)
from batchgen.runcomfy.response import Answer
from tests.runcomfy.answers import HTML, answer

ASKED = "r"


def read_result(given: Answer) -> ResultOutcome:
    return result.read_result(given, ASKED)


DATA = "data:image/png;base64,AAAA"
URL = "https://cdn.runcomfy.net/a.png"
OTHER = "https://cdn.runcomfy.net/b.png"


@pytest.mark.parametrize(
    "word", ["in_queue", "pending", "waiting", "queued", " IN-QUEUE ", "In queue"]
)
def test_a_request_in_the_queue_is_queued(word: str) -> None:
    assert read_result(answer({"status": word, "queue_position": 3})) == Queued(3)


@pytest.mark.parametrize(
    ("position", "place"),
    [
        (None, None),
        (0, 0),
        ("4", 4),
        (2.0, 2),
        (-1, None),
        (True, None),
        (10**30, None),
        ([], None),
    ],
)
def test_row_39_an_odd_queue_position_is_harmless(position: Any, place: int | None) -> None:
    assert read_result(answer({"status": "in_queue", "queue_position": position})) == Queued(place)


@pytest.mark.parametrize("word", ["in_progress", "starting", "processing", "running"])
def test_a_running_request_runs(word: str) -> None:
    assert read_result(answer({"status": word, "error_code": 0})) == Running()


@pytest.mark.parametrize(
    ("word", "shown"),
    [("thinking", "thinking"), ("\x1b[31mEvil\nword", "evil word"), ("x" * 99, "x" * 39 + "…")],
)
def test_row_33_an_unknown_state_is_no_end(word: str, shown: str) -> None:
    assert read_result(answer({"status": word})) == UnrecognizedState(shown)


@pytest.mark.parametrize("word", ["succeeded", "completed"])
def test_a_finished_request_gives_its_files_and_cost(word: str) -> None:
    body = {"request_id": "r", "status": word, "output": {"image": URL}, "cost": 0.03}
    outcome = read_result(answer(body))
    assert isinstance(outcome, Succeeded)
    assert (outcome.urls, outcome.cost) == ((URL,), 0.03)
    assert URL in outcome.raw


def test_row_37_success_without_addresses_is_a_success() -> None:
    for body in ({"status": "succeeded"}, {"status": "completed", "output": {"text": "blocked"}}):
        outcome = read_result(answer(body))
        assert isinstance(outcome, Succeeded)
        assert outcome.urls == ()


def test_completed_with_neither_output_nor_error_is_a_success_whose_files_may_come() -> None:
    nothing: list[dict[str, Any]] = [{}, {"output": {}}, {"error": ""}, {"message": "done"}]
    for extra in nothing:
        outcome = read_result(answer({"status": "completed"} | extra))
        assert isinstance(outcome, Succeeded)
        assert outcome.urls == ()


def test_completed_with_an_error_and_no_files_has_failed() -> None:
    outcome = read_result(answer({"status": "completed", "error": "nsfw", "output": {}}))
    assert isinstance(outcome, Failed)
    assert outcome.reason == "nsfw"


@pytest.mark.parametrize(
    ("extra", "code", "reason"),
    [
        ({"error": "content policy"}, "", "content policy"),
        ({"error": {"code": "NSFW", "message": "content policy"}}, "NSFW", "content policy"),
        (
            {"error_code": 404001, "error": "input image not found"},
            "404001",
            "input image not found",
        ),
        ({"error_code": 400002}, "400002", "error code 400002"),
        ({}, "", "the vendor gave no reason"),
    ],
)
def test_row_29_a_failed_request_is_failed_whatever_its_code(
    extra: dict[str, Any], code: str, reason: str
) -> None:
    outcome = read_result(answer({"request_id": "r", "status": "failed", "cost": 0} | extra))
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.reason, outcome.cost) == (code, reason, 0.0)


@pytest.mark.parametrize("word", ["cancelled", "canceled"])
def test_a_cancelled_request_is_cancelled(word: str) -> None:
    outcome = read_result(answer({"status": word, "cost": "free"}))
    assert isinstance(outcome, Cancelled)
    assert outcome.cost is None


def test_row_38_files_beside_cancelled_are_kept() -> None:
    outcome = read_result(answer({"status": "cancelled", "output": URL}))
    assert isinstance(outcome, Succeeded)
    assert outcome.urls == (URL,)


def test_files_without_a_state_are_kept() -> None:
    outcome = read_result(answer({"output": {"image": URL}}))
    assert isinstance(outcome, Succeeded)


@pytest.mark.parametrize(
    ("cost", "usd"),
    [
        (0, 0.0),
        (1, 1.0),
        (0.5, 0.5),
        (-1, None),
        (True, None),
        ("0.05", 0.05),
        ("$0.05", 0.05),
        ("0.05 USD", 0.05),
        ("0,05", None),
        ("free", None),
        ("-1", None),
        ("9" * 30, None),
        (1e308, None),
        (1001, None),
        (1000, 1000.0),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
    ],
)
def test_a_cost_is_a_sane_number_or_none(cost: Any, usd: float | None) -> None:
    outcome = read_result(answer({"status": "succeeded", "cost": cost}))
    assert isinstance(outcome, Succeeded)
    assert outcome.cost == usd


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        (URL, (URL,)),
        ([URL, OTHER, URL], (URL, OTHER)),
        ({"images": [OTHER, URL], "image": URL}, (URL, OTHER)),
        ({"image": URL, "images": [OTHER, URL]}, (URL, OTHER)),
        ({"videos": [OTHER], "video": URL, "thumbnail": "https://x.example/t"}, (URL, OTHER)),
        ({"images": [{"url": URL, "width": 1}, None, 7, [OTHER]]}, (URL, OTHER)),
        ({"result": {"files": [URL]}}, (URL,)),
        ({"image": "HTTPS://cdn.runcomfy.net/a.png"}, ("HTTPS://cdn.runcomfy.net/a.png",)),
        (["ftp://x.example/a", "data:text/html;base64,AA", "file:///etc/passwd", "a.png"], ()),
        (["https://x.example/a b", "https://x.example/\r\nX: 1", "https://x/" + "a" * 9000], ()),
        (["https://x.example/\ud800"], ()),
        ({}, ()),
        (5, ()),
    ],
)
def test_addresses_are_found_in_every_shape_and_always_in_one_order(
    output: Any, urls: tuple[str, ...]
) -> None:
    outcome = read_result(answer({"status": "succeeded", "output": output}))
    assert isinstance(outcome, Succeeded)
    assert outcome.urls == urls


@pytest.mark.parametrize(
    "output",
    [DATA, [DATA], {"image": DATA}, {"images": [DATA, DATA]}, {"result": {"file": DATA}}],
)
def test_a_data_uri_is_a_result_and_has_a_short_reference(output: Any) -> None:
    outcome = read_result(answer({"status": "succeeded", "output": output}))
    assert isinstance(outcome, Succeeded)
    (reference,) = outcome.urls
    assert reference.startswith("data:image/png;sha256=")
    assert len(reference) < 100
    assert outcome.data == {reference: DATA}


def test_only_what_is_under_other_keys_is_guessed_and_decoys_are_left_aside() -> None:
    documented = [{"image": URL}, {"videos": [URL]}, URL, [URL]]
    for output in documented:
        outcome = read_result(answer({"status": "succeeded", "output": output}))
        assert isinstance(outcome, Succeeded)
        assert not outcome.guessed
    odd = {
        "thumbnail_url": "https://cdn.runcomfy.net/t.jpg",
        "preview": {"url": "https://cdn.runcomfy.net/p.jpg"},
        "page_url": "https://www.runcomfy.com/generations/1",
        "input": {"image_urls": ["https://elsewhere.example/in.png"]},
        "data": {"result_urls": [URL, OTHER]},
    }
    outcome = read_result(answer({"status": "succeeded", "output": odd}))
    assert isinstance(outcome, Succeeded)
    assert (outcome.guessed, outcome.urls) == (True, (URL, OTHER))


def test_row_74_a_deep_output_is_walked_without_recursion() -> None:
    deep = b"[" * 900 + f'"{URL}"'.encode() + b"]" * 900
    outcome = read_result(answer(b'{"status": "succeeded", "output": ' + deep + b"}"))
    assert isinstance(outcome, Succeeded)
    assert outcome.urls == (URL,)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {}),
        (404, {"request_id": ASKED, "error_code": 404001}),
        (400, {"error_code": 404001}),
        (200, {"code": 404001}),
    ],
)
def test_rows_34_35_a_request_that_is_not_there_is_missing(status: int, body: Any) -> None:
    assert isinstance(read_result(answer(body, status)), Missing)


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (401, {}, PauseReason.TOKEN_REFUSED),
        (200, {"error_code": 400004}, PauseReason.TOKEN_REFUSED),
        (402, {}, PauseReason.NO_BALANCE),
        (200, {"status": "error", "error_code": 400002}, PauseReason.NO_BALANCE),
    ],
)
def test_row_13_trouble_of_the_account_halts(status: int, body: Any, cause: PauseReason) -> None:
    outcome = read_result(answer(body, status))
    assert isinstance(outcome, Halted)
    assert outcome.cause is cause


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error_code": 400005, "message": "not completed yet"}),
        (200, {"error_code": 400005}),
        (403, {}),
        (200, {"error_code": 403001, "message": "not yours"}),
        (400, {"error_code": 400001}),
        (409, {}),
        (422, {}),
        (425, {}),
        (404, {"request_id": "another", "error_code": 404001}),
    ],
)
def test_a_refused_question_is_no_end_of_a_request(status: int, body: Any) -> None:
    for read in (result.read_result, result.read_status):
        outcome = read(answer(body, status), ASKED)
        assert isinstance(outcome, NotReady)
        assert f"HTTP {status}" in outcome.reason


@pytest.mark.parametrize("word", ["completed", "succeeded", "cancelled", "error", "not_completed"])
def test_not_completed_yet_is_no_end_whatever_state_is_beside_it(word: str) -> None:
    body = {"request_id": ASKED, "status": word, "error_code": 400005, "message": "not yet"}
    for read in (result.read_result, result.read_status):
        assert read(answer(body), ASKED) == NotReady("HTTP 200: not yet")


@pytest.mark.parametrize("code", [400002, 10001, 400004, 401001, 403001, 429001])
def test_a_refusal_that_names_the_request_does_not_end_it(code: int) -> None:
    """Else a job would be paid again while its request goes on."""
    body = {"request_id": ASKED, "status": "error", "error_code": code, "message": "refused"}
    outcome = read_result(answer(body))
    assert isinstance(outcome, Halted | NotReady | Throttled)
    ended = read_result(answer(body | {"finished_at": "2026-01-01T00:00:00Z"}))
    assert isinstance(ended, Failed)


@pytest.mark.parametrize("output", [{}, [], {"image": None, "images": []}])
def test_an_output_that_holds_nothing_yet_is_no_end(output: Any) -> None:
    body = {"request_id": ASKED, "status": "rendering", "output": output}
    assert read_result(answer(body)) == UnrecognizedState("rendering")


def test_a_result_that_is_mislabelled_as_html_is_read() -> None:
    body = {"request_id": ASKED, "status": "succeeded", "output": {"image": URL}}
    outcome = read_result(answer(body, Content_Type="text/html; charset=utf-8"))
    assert isinstance(outcome, Succeeded)
    assert outcome.urls == (URL,)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, HTML) for status in (200, 400, 401, 402, 403, 404, 409, 422, 425)),
        (404, b"404: Not Found"),
        (403, b""),
        (422, b"[]"),
    ],
)
def test_a_page_of_a_gateway_is_no_answer_of_the_api(status: int, body: bytes) -> None:
    outcome = read_result(answer(body, status))
    assert isinstance(outcome, Gateway)
    assert outcome.reason.startswith(f"HTTP {status}: ")


@pytest.mark.parametrize("word", ["in_queue", "in_progress", "succeeded", "failed", "odd"])
def test_the_document_of_another_request_does_not_count_for_this_one(word: str) -> None:
    body = {"request_id": "another", "status": word, "output": {"image": URL}}
    assert read_result(answer(body)) == NotReady("the answer is about another request")
    assert isinstance(result.read_status(answer({"request_id": 7, "status": word}), "8"), NotReady)


@pytest.mark.parametrize(
    ("asked", "named"), [("r", None), ("r", ""), ("7", 7), ("ab-C", "AB-c"), ("r", "r")]
)
def test_an_answer_that_names_the_request_or_none_is_taken(asked: str, named: Any) -> None:
    body = {"request_id": named, "status": "in_progress"}
    assert result.read_result(answer(body), asked) == Running()


def test_the_status_call_shows_that_a_request_has_ended_and_not_how() -> None:
    for word in ("completed", "succeeded"):
        assert result.read_status(answer({"status": word}), ASKED) == Ended()
    assert result.read_status(answer({"status": "in_queue"}), ASKED) == Queued(None)
    assert isinstance(result.read_status(answer({"status": "failed"}), ASKED), Failed)
    assert isinstance(result.read_status(answer({"status": "canceled"}), ASKED), Cancelled)


@pytest.mark.parametrize(
    "body",
    [
        {"finished_at": "2026-01-01T00:00:00Z"},
        {"output": {"image": URL}},
        {"output": {"text": "blocked"}},
    ],
)
def test_an_unknown_state_beside_an_output_or_a_time_of_end_is_an_end(body: dict[str, Any]) -> None:
    outcome = read_result(answer({"request_id": ASKED, "status": "Finalized"} | body))
    assert isinstance(outcome, Succeeded)
    assert outcome.unknown_state == "finalized"
    assert bool(outcome.urls) == (URL in str(body))


@pytest.mark.parametrize(
    "body",
    [
        {"error": "worker gone"},
        {"failure_reason": "worker gone"},
        {"error": {"code": "E7", "message": "worker gone"}, "finished_at": "x"},
        {"error_code": "E7", "error_message": "worker gone"},
    ],
)
def test_an_unknown_state_beside_an_error_is_a_failure(body: dict[str, Any]) -> None:
    outcome = read_result(answer({"request_id": ASKED, "status": "aborted"} | body))
    assert isinstance(outcome, Failed)
    assert (outcome.unknown_state, outcome.reason) == ("aborted", "worker gone")


def test_a_mere_message_beside_an_unknown_state_is_no_end() -> None:
    body = {"request_id": ASKED, "status": "rendering", "message": "frame 3", "error": None}
    assert read_result(answer(body)) == UnrecognizedState("rendering")


@pytest.mark.parametrize("code", [400002, "400002", 10001, "10001", 402])
def test_a_request_that_failed_for_lack_of_money_is_marked_as_such(code: object) -> None:
    for error in ({"error_code": code}, {"error": {"code": code}}):
        outcome = read_result(answer({"status": "failed"} | error))
        assert isinstance(outcome, Failed)
        assert outcome.no_balance


def test_row_30_too_many_questions_are_a_wait() -> None:
    assert read_result(answer(HTML, 429, Retry_After="2")) == Throttled(
        2.0, "HTTP 429, without a reason"
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"status": "failed"}),
        (503, b""),
        (408, {}),
        (302, b""),
        (200, b""),
        (200, b'{"status": "succ'),
        (200, b"[" * 200_000),
        (200, b"null"),
        (200, {}),
        (200, {"status": 7}),
        (200, {"error_code": 1001}),
        (200, {"error_code": 500001}),
    ],
)
def test_what_is_uninformative_is_no_answer(status: int, body: Any) -> None:
    outcome = read_result(answer(body, status))
    assert isinstance(outcome, NoAnswer)
    assert outcome.reason.startswith(f"HTTP {status}: ")


@given(st.integers(min_value=100, max_value=599), st.binary())
def test_row_74_no_bytes_crash_the_reading_of_a_result(status: int, body: bytes) -> None:
    assert isinstance(read_result(answer(body, status)), get_args(ResultOutcome))


WORDS = ["in_queue", "in_progress", "completed", "succeeded", "failed", "cancelled", "odd"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(URL),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = ["queue_position", "output", "error", "error_code", "code", "message", "cost", "request_id"]


@given(
    st.integers(min_value=100, max_value=599),
    st.sampled_from(WORDS) | JSON_VALUES,
    st.dictionaries(st.sampled_from(KEYS), JSON_VALUES),
)
def test_row_74_no_json_crashes_it_and_only_2xx_ends_a_request(
    status: int, word: Any, rest: dict[str, Any]
) -> None:
    outcome = read_result(answer(rest | {"status": word}, status))
    assert isinstance(outcome, get_args(ResultOutcome))
    if isinstance(outcome, (Succeeded, Failed, Cancelled)):
        assert status // 100 == 2
        assert outcome.cost is None or outcome.cost >= 0
        outcome.raw.encode()
