"""Signed URLs of the user's own files stay out of what is kept of an answer."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from batchgen.runcomfy.hidden_urls import HiddenUrls

PREFIX = "https://s3.eu-west-1.amazonaws.com/pictures/some%20prefix/"
KEY = f"{'0123456789abcdef' * 4}.png"
SECRET = "X-Amz-Credential=AKIA%2F1%2Fs3&X-Amz-Signature=abc123&sig=def"
URL = f"{PREFIX}{KEY}?{SECRET}"
RESULT = "https://cdn.runcomfy.net/out/1.png?X-Amz-Signature=needed"


def hidden(answer: str) -> str:
    urls = HiddenUrls()
    urls.add("pictures")
    urls.add("pictures")
    return urls.redact(answer.encode()).decode()


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps({"input": {"image_urls": [URL, URL]}}),
        json.dumps({"input": URL}).replace("/", "\\/"),
        json.dumps({"input": URL}).replace("/", "\\u002f").replace("?", "\\u003f"),
        json.dumps({"input": URL}).replace("&", "\\u0026"),
        f"could not fetch {URL}: HTTP 403",
        f"<p>could not fetch '{URL}'</p>",
        f"https://proxy.example/?of={quote(URL, safe='')}",
    ],
)
def test_the_signature_goes_and_the_rest_stays(answer: str) -> None:
    redacted = hidden(answer)
    for secret in ("AKIA", "abc123", 'def"', "Amz"):
        assert secret not in redacted
    assert KEY in redacted
    assert redacted[-1] == answer[-1] or redacted.endswith("[signature]")


@pytest.mark.parametrize(
    "address",
    [
        "https://pictures.s3.eu-west-1.amazonaws.com/",
        "https://storage.googleapis.com/pictures/a/b/",
        "https://account.blob.core.windows.net/pictures/",
        "http://127.0.0.1:40123/emulator/bucket/pictures/",
    ],
)
def test_the_address_of_the_bucket_does_not_matter(address: str) -> None:
    """A request of an earlier run may have been given another one."""
    assert hidden(f"{address}{KEY}?{SECRET}") == f"{address}{KEY}?[signature]"


def test_an_answer_is_still_json() -> None:
    document = json.loads(hidden(json.dumps({"input": [URL], "output": {"image": RESULT}})))
    assert document == {"input": [f"{PREFIX}{KEY}?[signature]"], "output": {"image": RESULT}}


def test_the_urls_of_results_keep_their_signatures() -> None:
    of_others = f"https://cdn.runcomfy.net/out/{KEY}?sig=needed"
    assert hidden(f"{RESULT} {of_others}") == f"{RESULT} {of_others}"
