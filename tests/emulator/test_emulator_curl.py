"""The curl commands of the vendor's documentation, run against the emulator."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.shell import Emulator

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

PUBLISHED_BASE = "https://model-api.runcomfy.net/v1"
HEADER = '--header "Authorization: Bearer <token>"'
SUBMITS = {
    "text-to-image": f"""curl --request POST \\
  --url {PUBLISHED_BASE}/models/bytedance/dreamina-4-0/text-to-image \\
  --header "Content-Type: application/json" \\
  {HEADER} \\
  --data '{{
    "prompt": "A beautiful girl is walking on the street"
  }}'""",
    "edit": f"""curl --request POST \\
  --url {PUBLISHED_BASE}/models/bytedance/dreamina-4-0/edit \\
  --header "Content-Type: application/json" \\
  {HEADER} \\
  --data '{{
    "image_urls": [
      "https://playgrounds-storage-public.runcomfy.net/tools/7002/media-files/usecase5-1-1-input.jpg",
      "https://playgrounds-storage-public.runcomfy.net/tools/7002/media-files/usecase5-1-2-input.jpg"
    ],
    "prompt": "A beautiful girl is sitting on the boat"
  }}'""",
}
STATUS = f"curl --request GET --url {PUBLISHED_BASE}/requests/{{request_id}}/status {HEADER}"
RESULT = f"curl --request GET --url {PUBLISHED_BASE}/requests/{{request_id}}/result {HEADER}"
CANCEL = f"curl --request POST --url {PUBLISHED_BASE}/requests/{{request_id}}/cancel {HEADER}"


def pasted(command: str, emulator: Emulator, request_id: str = "") -> Any:
    """Run a published command in a shell, with the three words replaced that a reader replaces."""
    text = command.replace(PUBLISHED_BASE, emulator.base).replace("<token>", "mine")
    text = text.replace("{request_id}", request_id).replace("curl ", "curl --silent --noproxy '*' ")
    done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)


@pytest.mark.parametrize("model", SUBMITS)
def test_a_published_submit_is_accepted_and_can_be_followed(
    slow_emulator: Emulator, model: str
) -> None:
    accepted = pasted(SUBMITS[model], slow_emulator)
    assert accepted.keys() >= {"request_id", "status_url", "result_url", "cancel_url"}
    request_id = accepted["request_id"]
    assert accepted["status_url"] == f"{slow_emulator.base}/requests/{request_id}/status"
    status = pasted(STATUS, slow_emulator, request_id)
    assert status["request_id"] == request_id
    assert status["status"] in {"in_queue", "in_progress"}
    assert pasted(RESULT, slow_emulator, request_id)["status"] == status["status"]
    assert pasted(CANCEL, slow_emulator, request_id)["outcome"] == "not_cancellable"
    assert [charge["request_id"] for charge in slow_emulator.charges()] == [request_id]
