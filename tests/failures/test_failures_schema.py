"""Rows 8 to 11: what the model's published schema does not allow."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from batchgen.models.catalog import bundled
from tests.failures.picture_site import drawn, padded, picture_site
from tests.shell import EDIT, PICTURE, T2I, Emulator, Shell


@dataclass(frozen=True)
class Rule:
    """A published rule on the files of a model."""

    model: str
    quantity: str
    operator: str
    limit: float
    sentence: str


RULES = tuple(
    Rule(model.id, rule.quantity, rule.operator, rule.limit, rule.sentence)
    for model in bundled().models.values()
    for field in model.fields
    for rule in field.file_rules
)


def breaking(rule: Rule) -> bytes:
    """A picture that breaks this rule, and no other where that is possible."""
    is_most = rule.operator.startswith("<")
    match rule.quantity:
        case "file_size_mb":
            return padded(drawn("PNG", (400, 400)), int(rule.limit * 1.1 * 1_048_576))
        case "width_pixels":
            return drawn("PNG", (int(rule.limit) + 1, 4000) if is_most else (int(rule.limit), 400))
        case "height_pixels":
            return drawn("PNG", (4000, int(rule.limit) + 1) if is_most else (400, int(rule.limit)))
        case _:
            return drawn("PNG", (1300, 400) if is_most else (400, 1300))


def write_job(user: Shell, text: str, model: str = T2I) -> None:
    """Write a manifest of one job, whose input stands in line 6 and model in line 5."""
    user.write(
        f"version: 1\noutput: {{dir: out}}\njobs:\n"
        f"  - id: a\n    model: {model}\n    input: {text}\n"
    )


def assert_refused(user: Shell, emulator: Emulator, *words: str) -> None:
    err = user.expect(65, "run", "m.yaml").err
    for word in (*words, "nothing was sent"):
        assert word in err
    assert emulator.charges() == []
    assert not (user.folder / "out").exists()


def test_row_08_an_unknown_model_is_refused_and_the_nearest_one_is_named(
    user: Shell, emulator: Emulator
) -> None:
    write_job(user, "{prompt: a boat}", T2I.replace("text-to-image", "txt-to-image"))
    assert_refused(user, emulator, "m.yaml:5:12", f"did you mean '{T2I}'?")


def test_row_08_an_unknown_key_is_refused_and_the_nearest_one_is_named(
    user: Shell, emulator: Emulator
) -> None:
    write_job(user, "{prompt: a boat, scael: 0.5}")
    assert_refused(user, emulator, "m.yaml:6:29", "did you mean 'scale'?")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (".nan", "finite number; got nan"),
        (".inf", "finite number; got inf"),
        ("-.inf", "finite number; got -inf"),
        ("9" * 400, "an integer of 400 digits"),
        ("true", "scale must be a number"),
        ("'0.5'", "scale must be a number"),
    ],
)
def test_row_09_a_number_that_is_none_is_refused(
    user: Shell, emulator: Emulator, value: str, words: str
) -> None:
    write_job(user, f"{{prompt: a boat, scale: {value}}}")
    assert_refused(user, emulator, "m.yaml:6:36", words)


def test_row_10_a_prompt_of_801_characters_is_refused_with_the_count(
    user: Shell, emulator: Emulator
) -> None:
    write_job(user, f"{{prompt: {'é' * 801}}}")
    assert_refused(user, emulator, "m.yaml:6:21", "801 characters long; at most 800")


def test_row_10_a_prompt_of_800_characters_is_sent_whole(user: Shell, emulator: Emulator) -> None:
    """Characters, not bytes: these take four bytes each."""
    write_job(user, f"{{prompt: {'🛶' * 800}}}")
    user.expect(0, "run", "m.yaml")
    assert [charge["input"]["prompt"] for charge in emulator.charges()] == ["🛶" * 800]


@pytest.mark.parametrize("number", range(len(RULES)))
def test_row_11_an_input_image_that_breaks_a_rule_is_refused_in_the_words_of_the_page(
    user: Shell, emulator: Emulator, number: int
) -> None:
    rule = RULES[number]
    with picture_site({"/boat.png": breaking(rule)}) as site:
        picture = {"prompt": "p", "image_urls": [f"{site}/boat.png"]}
        user.manifest([{"id": "a", "model": rule.model, "input": picture}], defaults={})
        err = user.expect(65, "run", "m.yaml").err
    for word in (rule.sentence, f"{site}/boat.png", "job a", "nothing was sent", "check_inputs"):
        assert word in err
    assert emulator.charges() == []
    assert user.states() == {"a": "pending"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/boat.webp", "it is a WebP picture; the vendor takes JPEG and PNG"),
        ("/page.png", "the file is an HTML page"),
        ("/nowhere.png", "the server answered 404"),
    ],
)
def test_row_11_an_input_image_that_is_none_is_refused_with_the_reason(
    user: Shell, emulator: Emulator, path: str, words: str
) -> None:
    shelf = {"/boat.webp": drawn("WEBP", (400, 400)), "/page.png": b"<!doctype html><title>x"}
    with picture_site(shelf) as site:
        picture = {"prompt": "p", "image_urls": [f"{site}{path}"]}
        user.manifest([{"id": "a", "model": EDIT, "input": picture}], defaults={})
        assert words in user.expect(65, "run", "m.yaml").err
    assert emulator.charges() == []


def test_row_11_a_refusal_by_the_vendor_has_its_own_words_and_costs_nothing(
    user: Shell, emulator: Emulator
) -> None:
    """What a rehearsal does not look at, or what changed since, the vendor judges."""
    sentences = sorted({rule.sentence for rule in RULES if rule.model == EDIT})
    for sentence in sentences:
        body = json.dumps({"error_message": sentence})
        emulator.arm("submit", "status", status=422, body=body)
    picture = {"prompt": "p", "image_urls": [PICTURE]}
    jobs = [{"id": f"job-{n}", "model": EDIT, "input": picture} for n in range(len(sentences))]
    user.manifest(jobs, run={"concurrency": 1}, defaults={})
    said = user.expect(1, "run", "m.yaml").said
    assert [(job["state"], job["error"]["message"]) for job in user.status()["jobs"]] == [
        ("failed", sentence) for sentence in sentences
    ]
    for sentence in sentences:
        assert sentence in said
    assert emulator.charges() == []
