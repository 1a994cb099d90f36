"""What the answer to a submit means: row by row."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.pauses import PauseReason
from batchgen.runcomfy.outcomes import (
    Accepted,
    Gateway,
    Halted,
    Refused,
    Scope,
    SubmitOutcome,
    Throttled,
    Unclear,
)
from batchgen.runcomfy.response import Answer
from batchgen.runcomfy.submit import read_submit
from tests.runcomfy.answers import HTML, answer

ACCEPTED = {
    "request_id": "6f1d3c9e-1",
    "status_url": "https://model-api.runcomfy.net/v1/requests/6f1d3c9e-1/status",
}


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_request_id_with_2xx_is_an_acceptance(status: int) -> None:
    assert read_submit(answer(ACCEPTED, status)) == Accepted("6f1d3c9e-1", json.dumps(ACCEPTED))


@pytest.mark.parametrize(
    "extra",
    [
        {"code": 0},
        {"code": 200},
        {"code": "ok"},
        {"error_code": None},
        {"error": None},
        {"code": ""},
    ],
)
def test_a_code_that_means_success_does_not_spoil_an_acceptance(extra: dict[str, Any]) -> None:
    outcome = read_submit(answer(ACCEPTED | extra))
    assert isinstance(outcome, Accepted)
    assert outcome.request_id == "6f1d3c9e-1"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {}),
        (200, {"request_id": None}),
        (200, {"request_id": ""}),
        (200, {"request_id": "../models"}),
        (200, {"request_id": ["x"]}),
        (200, {"message": "try later"}),
        (200, [ACCEPTED]),
        (200, b""),
        (200, b'{"request_id": "6f1d'),
        (200, HTML),
        (200, b"\xff\xfe\x00"),
        (200, b"[" * 200_000),
        (200, b'{"request_id": ' + b"9" * 5000 + b"}"),
        (204, b""),
        (500, {"error_code": 500001, "message": "oops"}),
        (500, {"error_code": 400002}),
        (502, HTML),
        (503, b""),
        (599, ACCEPTED),
        (408, {"error_code": 400001}),
        (101, b""),
        (200, ACCEPTED | {"error_code": 1001}),
        (200, ACCEPTED | {"error_code": 500001}),
        (200, {"error_code": 500001}),
    ],
)
def test_rows_23_25_27_what_proves_nothing_is_unclear(status: int, body: Any) -> None:
    outcome = read_submit(answer(body, status))
    assert isinstance(outcome, Unclear)
    assert outcome.reason.startswith(f"HTTP {status}: ")


def test_row_25_half_an_answer_is_kept_for_the_person_who_resolves_it() -> None:
    outcome = read_submit(answer(b'{"request_id": "6f1d3c9e-1", "status_u'))
    assert isinstance(outcome, Unclear)
    assert "6f1d3c9e-1" in outcome.raw


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (401, {}, PauseReason.TOKEN_REFUSED),
        (400, {"error_code": 400004}, PauseReason.TOKEN_REFUSED),
        (200, {"error_code": 400004}, PauseReason.TOKEN_REFUSED),
        (200, {"error_code": "UserAccountError"}, PauseReason.TOKEN_REFUSED),
        (200, {"code": 401}, PauseReason.TOKEN_REFUSED),
        (402, b"", PauseReason.NO_BALANCE),
        (402, HTML, PauseReason.NO_BALANCE),
        (400, {"error_code": "400002"}, PauseReason.NO_BALANCE),
        *(
            (status, body, PauseReason.NO_BALANCE)
            for status in (200, 400, 402, 403)
            for body in (
                {"error_code": 10001, "message": "insufficient funds"},
                {"code": "10001"},
                {"error": {"code": 10001}},
                {"error": {"error_code": "10001"}},
                {"detail": {"code": 402}},
                {"error_code": "InsufficientFunds"},
            )
        ),
        (402, {"detail": "pay first"}, PauseReason.NO_BALANCE),
        (400, {"code": 401001}, PauseReason.TOKEN_REFUSED),
        (429, {"error_code": 400002}, PauseReason.NO_BALANCE),
        (200, {"code": 400002.0}, PauseReason.NO_BALANCE),
        (200, {"error": {"code": 400002, "message": "top up"}}, PauseReason.NO_BALANCE),
        (200, ACCEPTED | {"error_code": 400002}, PauseReason.NO_BALANCE),
        (301, b"", PauseReason.REDIRECTED),
        (307, {"request_id": "x"}, PauseReason.REDIRECTED),
        (308, {"error_code": 400002}, PauseReason.REDIRECTED),
    ],
)
def test_rows_13_15_26_28_trouble_of_the_account_halts(
    status: int, body: Any, cause: PauseReason
) -> None:
    outcome = read_submit(answer(body, status))
    assert isinstance(outcome, Halted)
    assert outcome.cause is cause
    assert outcome.reason


def test_row_26_a_redirection_names_only_the_host_it_points_to() -> None:
    outcome = read_submit(answer(b"", 307, Location="https://elsewhere.example/v1?token=abc"))
    assert isinstance(outcome, Halted)
    assert "elsewhere.example" in outcome.reason
    assert "abc" not in outcome.reason


@pytest.mark.parametrize("location", ["https://[::1/", "/v2", ""])
def test_row_26_a_redirection_to_nowhere_is_one_too(location: str) -> None:
    outcome = read_submit(answer(b"", 302, Location=location))
    assert isinstance(outcome, Halted)
    assert "another address" in outcome.reason


@pytest.mark.parametrize(
    ("status", "body", "scope", "code"),
    [
        (400, {"error_code": 400001}, Scope.MODEL, "400001"),
        (200, {"code": "400001"}, Scope.MODEL, "400001"),
        (403, {}, Scope.MODEL, "403"),
        (200, {"error_code": 403001}, Scope.MODEL, "403001"),
        (404, {"error_code": 404001}, Scope.MODEL, "404001"),
        (400, {"error_code": 400003}, Scope.JOB, "400003"),
        (400, {}, Scope.JOB, "400"),
        (413, {}, Scope.JOB, "413"),
        (200, {"error_code": 422001}, Scope.JOB, "422001"),
        (200, {"error_code": "CONTENT_POLICY"}, Scope.JOB, "CONTENT_POLICY"),
        (200, {"code": -1, "message": "no"}, Scope.JOB, "-1"),
    ],
)
def test_rows_14_28_a_refusal_reaches_as_far_as_its_code_reaches(
    status: int, body: Any, scope: Scope, code: str
) -> None:
    outcome = read_submit(answer(body, status))
    assert isinstance(outcome, Refused)
    assert (outcome.scope, outcome.code) == (scope, code)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, HTML) for status in (400, 401, 403, 404, 407, 409, 413, 422, 425, 451)),
        (403, b""),
        (404, b"not found"),
        (422, b"[]"),
        (422, b'{"mess'),
    ],
)
def test_a_page_of_somebody_on_the_way_refuses_no_job_and_no_model(
    status: int, body: bytes
) -> None:
    outcome = read_submit(answer(body, status))
    assert isinstance(outcome, Gateway)
    assert outcome.status == status
    assert outcome.reason.startswith(f"HTTP {status}: ")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error_message": "too long", "message": "other"}, "too long"),
        ({"message": "too long"}, "too long"),
        ({"error": "too long"}, "too long"),
        ({"error": {"message": "too long", "type": "x"}}, "too long"),
        ({"detail": "too long"}, "too long"),
        ({"detail": ["too long", "too wide"]}, "too long; too wide"),
        ({"detail": [{"loc": ["prompt"], "msg": "too long"}]}, "prompt: too long"),
        ({"error_message": [{"loc": ["body", "prompt"], "msg": "too long"}]}, "prompt: too long"),
        (
            {
                "error_message": "Validation error",
                "detail": [
                    {"loc": ["body", "image_urls", 0], "msg": "too large", "type": "x"},
                    {"loc": ["body", "size"], "msg": "unknown"},
                ],
            },
            "image_urls[0]: too large; size: unknown (Validation error)",
        ),
        ({"message": '[{"loc": ["body", "a", "b"], "msg": "no"}]'}, "a.b: no"),
        ({"detail": [{"loc": [], "msg": "no"}, {"odd": 1}]}, "no"),
        ({"detail": [{"odd": 1}]}, '{"odd": 1}'),
        ({"failure_reason": "too long"}, "too long"),
        ({"message": "\x1b[31mtoo\nlong\x1b[0m"}, "too long"),
        ({"message": "  "}, "HTTP 422, without a reason"),
        ({"error_code": 422001}, "error code 422001"),
    ],
)
def test_a_refusal_has_the_vendors_text(body: dict[str, Any], words: str) -> None:
    outcome = read_submit(answer(body, 422))
    assert isinstance(outcome, Refused)
    assert outcome.reason == words


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (answer({}, 429, Retry_After="12"), 12.0),
        (answer(HTML, 429), None),
        (answer({"error_code": 429001}, 200, Retry_After="-1"), 0.0),
    ],
)
def test_row_30_too_many_requests_is_a_wait(reply: Answer, seconds: float | None) -> None:
    outcome = read_submit(reply)
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == seconds


def test_what_is_kept_of_an_answer_is_bounded_and_printable() -> None:
    outcome = read_submit(answer(b'{"request_id": "r1",\n "pad": "' + b"\x01x" * 50_000 + b'"}'))
    assert isinstance(outcome, Unclear)
    assert len(outcome.raw) <= 4096
    assert outcome.raw.isprintable()


@given(st.integers(min_value=100, max_value=599), st.binary())
def test_row_74_no_bytes_crash_it(status: int, body: bytes) -> None:
    assert isinstance(read_submit(answer(body, status)), get_args(SubmitOutcome))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = ["request_id", "status", "error_code", "code", "error", "message", "detail"]


@given(
    st.integers(min_value=100, max_value=599),
    st.dictionaries(st.sampled_from(KEYS), JSON_VALUES),
)
def test_row_74_no_json_crashes_it_and_none_is_accepted_without_an_id(
    status: int, body: dict[str, Any]
) -> None:
    outcome = read_submit(answer(body, status))
    assert isinstance(outcome, get_args(SubmitOutcome))
    if isinstance(outcome, Accepted):
        assert status // 100 == 2
        assert outcome.request_id == str(body["request_id"]).strip()
        outcome.raw.encode()
