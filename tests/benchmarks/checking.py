"""How long one check of an input takes, with and without the compiled schema.

    python -m tests.benchmarks.checking [--rounds 5]

The best of some rounds, in microseconds a job, on one core: the whole check from a mapping to the
text that is sent; then the validator alone, which the compiled schema spares.
"""

from __future__ import annotations

import argparse
import timeit
from collections.abc import Callable

from batchgen.jobs import JsonObject
from batchgen.manifest.schema_validation import job_problems
from batchgen.models.catalog import bundled
from batchgen.models.fields import with_full_size
from batchgen.models.inputs import CheckedInput, check_input
from batchgen.models.urls import require_public_url
from batchgen.models.validator import build_validator

CALLS = 20_000
IMAGES = "https://playgrounds-storage-public.runcomfy.net/tools"
INPUTS: dict[str, JsonObject] = {
    "bytedance/dreamina-4-0/text-to-image": {
        "prompt": "A beautiful girl is walking on the street",
        "size": "2048x2048",
        "scale": 0.5,
    },
    "bytedance/dreamina-4-0/edit": {
        "prompt": "A beautiful girl is sitting on the boat",
        "image_urls": [
            f"{IMAGES}/7002/media-files/usecase5-1-1-input.jpg",
            f"{IMAGES}/7002/media-files/usecase5-1-2-input.jpg",
        ],
        "size": "2048x2048",
    },
    "bytedance/dreamina-3-0/pro/image-to-video": {
        "prompt": "A slow, sweeping tracking shot moves through a sun-drenched street",
        "image_urls": [f"{IMAGES}/7013/media-files/usecase2-2-input.jpeg"],
        "frames": 121,
        "seed": 7,
    },
}


def microseconds(call: Callable[[], object], rounds: int, calls: int = CALLS) -> float:
    return min(timeit.repeat(call, number=calls, repeat=rounds)) / calls * 1e6


def measure_model(model_id: str, given: JsonObject, rounds: int) -> None:
    model = bundled().find(model_id)
    assert model is not None
    assert isinstance(check_input(model, given), CheckedInput)
    values = with_full_size(given, model.sizes)
    validator = build_validator(model.schema)
    whole = microseconds(lambda: check_input(model, given), rounds)
    alone = microseconds(lambda: validator.is_valid(values), rounds, CALLS // 20)
    print(f"{model.alias:6} check {whole:7.2f} µs   the validator alone {alone:7.2f} µs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for model_id, given in INPUTS.items():
        measure_model(model_id, given, rounds)
    job: JsonObject = {
        "id": "boat",
        "model": next(iter(INPUTS)),
        "input": {"prompt": "x"},
        "tags": ["hero"],
    }
    assert job_problems(job) == []
    print(f"a job's structure {microseconds(lambda: job_problems(job), rounds):7.2f} µs")
    url = f"{IMAGES}/7013/media-files/usecase2-2-input.jpeg"
    print(f"a plain URL       {microseconds(lambda: require_public_url(url), rounds):7.2f} µs")


if __name__ == "__main__":
    main()
