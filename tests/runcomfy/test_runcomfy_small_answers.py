"""Cancels, prices and request ids."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.runcomfy.base import LONGEST_ID, usable_request_id
from batchgen.runcomfy.outcomes import CancelOutcome, Halted, NoAnswer
from batchgen.runcomfy.pricing import ModelPrice, read_balance, read_price, why_no_price
from batchgen.runcomfy.submit import read_cancel
from tests.runcomfy.answers import HTML, answer


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (202, {"status": "cancelled", "outcome": "cancelled"}, CancelOutcome.CANCELLED),
        (200, {"outcome": "Canceled"}, CancelOutcome.CANCELLED),
        (202, {"outcome": "not_cancellable"}, CancelOutcome.NOT_CANCELLABLE),
        (202, {"outcome": "cancellation_requested"}, CancelOutcome.REQUESTED),
        (202, {"outcome": "odd", "status": "cancelled"}, CancelOutcome.CANCELLED),
        (200, {"status": "succeeded"}, CancelOutcome.NOT_CANCELLABLE),
        (200, {"status": "in_progress"}, CancelOutcome.REQUESTED),
        (200, {}, CancelOutcome.REQUESTED),
        (404, {}, CancelOutcome.MISSING),
        (200, {"error_code": 404001}, CancelOutcome.MISSING),
        (409, {}, CancelOutcome.NOT_CANCELLABLE),
        (400, {}, CancelOutcome.NOT_CANCELLABLE),
        (401, {}, CancelOutcome.UNANSWERED),
        (429, {}, CancelOutcome.UNANSWERED),
        (500, {"outcome": "cancelled"}, CancelOutcome.UNANSWERED),
        (302, b"", CancelOutcome.UNANSWERED),
        (200, HTML, CancelOutcome.UNANSWERED),
        (200, b"", CancelOutcome.UNANSWERED),
        *((status, HTML, CancelOutcome.UNANSWERED) for status in (400, 403, 404, 409, 422)),
        (404, b"", CancelOutcome.UNANSWERED),
        (202, {"request_id": "another", "outcome": "cancelled"}, CancelOutcome.UNANSWERED),
        (202, {"request_id": "r", "outcome": "cancelled"}, CancelOutcome.CANCELLED),
    ],
)
def test_a_cancel_is_read(status: int, body: Any, outcome: CancelOutcome) -> None:
    assert read_cancel(answer(body, status), "r") is outcome


@given(st.integers(min_value=100, max_value=599), st.binary())
def test_row_74_no_bytes_crash_the_reading_of_a_cancel_or_price(status: int, body: bytes) -> None:
    assert isinstance(read_cancel(answer(body, status), "r"), CancelOutcome)
    assert isinstance(read_price(answer(body, status)), (ModelPrice, type(None)))
    assert isinstance(read_balance(answer(body, status)), float | None)


@pytest.mark.parametrize(
    ("body", "balance"),
    [
        ({"balance_usd": 12.5, "balance_microdollars": 12500000, "currency": "USD"}, 12.5),
        ({"balance_usd": 0}, 0.0),
        ({"balance_usd": -3, "currency": "USD"}, -3.0),
        ({"balance_usd": "7.25"}, 7.25),
        ({"balance_usd": None, "balance_microdollars": 2500000}, 2.5),
        ({"balance_usd": True}, None),
        ({"balance_usd": float("inf")}, None),
        ({"balance_usd": float("nan")}, None),
        ({"balance_usd": 10**400}, None),
        ({"balance_usd": 5, "currency": "EUR"}, None),
        ({}, None),
        (b"<html>", None),
    ],
)
def test_a_balance_is_read_or_not_known(body: Any, balance: float | None) -> None:
    assert read_balance(answer(body)) == balance
    assert read_balance(answer(body, 500)) is None


@pytest.mark.parametrize(
    ("status", "body", "price"),
    [
        (200, {"base_price_usd": 0.03, "price_unit": "output"}, ModelPrice(0.03, "output")),
        (200, {"base_price_usd": 1, "price_unit": "sec\nond"}, ModelPrice(1.0, "sec ond")),
        (200, {"base_price_usd": "0.03", "price_unit": "output"}, ModelPrice(0.03, "output")),
        (200, {"base_price_usd": 1e308, "price_unit": "output"}, None),
        (200, {"base_price_usd": 0.03}, None),
        (200, {"base_price_usd": -1, "price_unit": "output"}, None),
        (404, {"base_price_usd": 0.03, "price_unit": "output"}, None),
        (200, HTML, None),
    ],
)
def test_a_price_is_read_or_none(status: int, body: Any, price: ModelPrice | None) -> None:
    assert read_price(answer(body, status)) == price


@pytest.mark.parametrize("status", [401, 403, 404, 407, 422])
def test_a_gateways_page_is_no_answer_about_a_price(status: int) -> None:
    found = why_no_price(answer(HTML, status))
    assert isinstance(found, NoAnswer)
    assert "HTML page" in found.reason
    assert why_no_price(answer({"error_code": 404001}, 404)) is None
    assert isinstance(why_no_price(answer({}, 401)), Halted)


@pytest.mark.parametrize(
    ("value", "request_id"),
    [
        ("6f1d3c9e-aa11", "6f1d3c9e-aa11"),
        (" r1\n", "r1"),
        (12345, "12345"),
        ("a.b:c~d", "a.b:c~d"),
        ("x" * LONGEST_ID, "x" * LONGEST_ID),
        ("x" * (LONGEST_ID + 1), None),
        ("", None),
        ("..", None),
        ("a/b", None),
        ("a\\b", None),
        ("a?b", None),
        ("a#b", None),
        ("a%2fb", None),
        ("a b", None),
        ("a\nb", None),
        ("naïve", None),
        (True, None),
        (1.5, None),
        (None, None),
        ({"id": "x"}, None),
    ],
)
def test_an_id_is_usable_or_none(value: object, request_id: str | None) -> None:
    assert usable_request_id(value) == request_id
