"""The API's refusals, with the vendor's error codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.emulator.deliveries import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence


INVALID_RESOURCE = 400001
INSUFFICIENT_RESOURCES = 400002
USER_ACCOUNT = 400004
NOT_READY = 400005
NOT_FOUND = 404001
INVALID_INPUT = 422001
INSUFFICIENT_FUNDS = 10001
"""What the vendor's serverless API sends for INSUFFICIENT_RESOURCES."""


def refusal(status: int, message: str, error_code: int | None = None) -> Answer:
    document: dict[str, object] = {"error_message": message}
    if error_code is not None:
        document = {"error_code": error_code} | document
    return Answer(document, status)


def bad_token() -> Answer:
    message = "UserAccountError: the token is missing, expired or revoked."
    return refusal(401, message, USER_ACCOUNT)


def no_balance() -> Answer:
    message = "InsufficientResources: the balance does not cover this request."
    return refusal(402, message, INSUFFICIENT_RESOURCES)


def unknown_model(model_id: str) -> Answer:
    return refusal(
        400, f"InvalidResourceIdentifier: there is no model {model_id!r}.", INVALID_RESOURCE
    )


def unknown_request(request_id: str) -> Answer:
    return refusal(404, f"ResourceNotFound: there is no request {request_id!r}.", NOT_FOUND)


def not_ready(request_id: str) -> Answer:
    return refusal(400, f"The request {request_id!r} is not completed yet.", NOT_READY)


def unknown_path(path: str) -> Answer:
    return refusal(404, f"ResourceNotFound: there is nothing at {path!r}.", NOT_FOUND)


def bad_json(reason: str) -> Answer:
    return refusal(400, f"The body is not JSON: {reason}.")


def too_large(limit: int) -> Answer:
    return refusal(413, f"The body is larger than {limit} bytes.")


def too_many(retry_after: int) -> Answer:
    answer = refusal(429, f"Too many requests; try again in {retry_after} s.")
    return Answer(answer.document, answer.status, {"Retry-After": str(retry_after)})


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One problem of an input. `path` is the keys and indexes that lead to it."""

    path: tuple[str | int, ...]
    message: str
    rule: str


def bad_input(problems: Sequence[InputProblem]) -> Answer:
    """422 with `detail`: one entry for each problem; `loc` is the path to it from the body."""
    message = "; ".join(f"{_path(problem)}: {problem.message}" for problem in problems)
    detail = [
        {"loc": ["body", *problem.path], "msg": problem.message, "type": problem.rule}
        for problem in problems
    ]
    return Answer({"error_message": message, "detail": detail}, 422)


def _path(problem: InputProblem) -> str:
    return ".".join(map(str, problem.path)) or "input"
