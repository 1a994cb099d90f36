"""What the vendor tells of a model."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.runcomfy.client import connect
from batchgen.runcomfy.outcomes import Halted, NoAnswer
from batchgen.runcomfy.pricing import ModelFacts, ModelPrice, read_model
from batchgen.runcomfy.response import Answer
from batchgen.runcomfy.token import Token
from tests.runcomfy.answers import answer
from tests.runcomfy.raw_server import Behaviour, as_json, resets, says, serving

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"prompt": {"type": "string"}}}
PRICE = {"base_price_usd": 0.03, "price_unit": "output"}
TOKEN = Token("rc-secret-4f9b0a77", "a test")


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ({**PRICE, "input_schema": SCHEMA}, ModelFacts(ModelPrice(0.03, "output"), SCHEMA)),
        ({"schema": SCHEMA}, ModelFacts(None, SCHEMA)),
        (PRICE, ModelFacts(ModelPrice(0.03, "output"))),
        ({**PRICE, "input_schema": []}, ModelFacts(ModelPrice(0.03, "output"))),
        ({"input_schema": {"properties": 7}}, ModelFacts()),
    ],
)
def test_price_and_schema_are_read_where_they_are_given(body: Any, facts: ModelFacts) -> None:
    assert read_model(answer(body)) == facts


def test_an_error_has_no_facts_of_a_model() -> None:
    assert read_model(answer({**PRICE, "input_schema": SCHEMA}, 404)) == ModelFacts()


def test_a_schema_that_repeats_the_token_is_read_without_it() -> None:
    told: dict[str, Any] = {"input_schema": {"properties": {"rc-secret-4f9b0a77": {}}}}
    body = json.dumps(told).encode()
    found = read_model(Answer(200, {}, body, redact=TOKEN.redact))
    assert found.schema == {"properties": {"[token]": {}}}


@given(st.integers(min_value=100, max_value=599), st.binary())
def test_no_bytes_crash_the_reading_of_a_model(status: int, body: bytes) -> None:
    assert isinstance(read_model(answer(body, status)), ModelFacts)


def described(behaviour: Behaviour) -> tuple[object, str]:
    async def ask() -> tuple[object, str]:
        async with serving(behaviour) as server, connect(server.base, TOKEN) as api:
            return await api.describe("x/y z"), server.requests[0].line

    return asyncio.run(ask())


def test_a_model_is_asked_for_by_its_id() -> None:
    facts, line = described(says(as_json({"input_schema": SCHEMA})))
    assert facts == ModelFacts(None, SCHEMA)
    assert line.startswith("GET /v1/models/x/y%20z ")


def test_a_model_that_is_not_listed_is_known_by_nothing() -> None:
    facts, _ = described(says(as_json({"error_code": 404001}, status=404)))
    assert facts == ModelFacts()


def test_a_refused_token_and_a_dead_network_are_distinct() -> None:
    halted, _ = described(says(as_json({}, status=401)))
    assert isinstance(halted, Halted)
    silent, _ = described(resets)
    assert isinstance(silent, NoAnswer)
