"""Models that do not come with batchgen: found, added, run, updated; and what goes wrong there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests.shell import T2I, Emulator, Shell, emulating

EXAMPLE = Path(__file__).parents[2] / "manifests/models"
POSTER = "example/poster-2/text-to-image"
CLIP = "example/clip-1/text-to-video"
TUNE = "example/tune-1/text-to-audio"
MANIFEST = "other-models.yaml"
RUN = ("run", MANIFEST, "--emulator", "--latency", "0.02")


@pytest.fixture
def example(shell: Shell) -> Shell:
    shutil.copytree(EXAMPLE, shell.folder, dirs_exist_ok=True)
    return shell


@pytest.fixture
def offers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of schemas that the vendor, here an emulator, serves."""
    return Path(shutil.copytree(EXAMPLE / "schemas", tmp_path_factory.mktemp("vendor") / "schemas"))


@pytest.fixture
def vendor(offers: Path) -> Iterator[Emulator]:
    with emulating(schemas=(offers,)) as emulator:
        yield emulator


def change(offers: Path, model_id: str, edit: Any) -> None:
    path = offers / f"{model_id}.json"
    schema = json.loads(path.read_text("utf-8"))
    edit(schema)
    path.write_text(json.dumps(schema), "utf-8")


def jobs_of(shell: Shell) -> dict[str, Any]:
    return {job["id"]: job for job in shell.status(MANIFEST)["jobs"]}


def test_three_models_of_other_kinds_run_to_their_end_and_match_what_was_asked(
    example: Shell,
) -> None:
    ended = example.expect(0, *RUN, "--json").document
    assert ended["counts"] == {"done": 4}
    files = {name: job["files"][0] for name, job in jobs_of(example).items()}
    paths = {name: example.folder / file["path"] for name, file in files.items()}
    assert {name: path.suffix for name, path in paths.items()} == {
        "lighthouse": ".jpg",
        "harbour": ".png",
        "waves": ".mp4",
        "theme": ".wav",
    }
    with Image.open(paths["harbour"]) as picture:
        assert picture.size == (1280, 720)
    with Image.open(paths["lighthouse"]) as picture:
        assert picture.height > picture.width
    for name, seconds in (("waves", 4.0), ("theme", 3.0)):
        with av.open(str(paths[name])) as container:
            assert container.duration == pytest.approx(seconds * av.time_base, rel=0.02)
    lines = (example.folder / "output/other-models/metadata.jsonl").read_text("utf-8").splitlines()
    costs = {row["id"]: row["cost"] for row in map(json.loads, lines)}
    assert costs == {"lighthouse": 0.04, "harbour": 0.04, "waves": 0.4, "theme": 0.03}
    assert example.expect(0, *RUN, "--json").document["submitted"] == 0


def test_a_plan_knows_added_prices_offline_and_tells_two_short_names_apart(example: Shell) -> None:
    text = (example.folder / MANIFEST).read_text("utf-8")
    example.write(f"{text}\n  - {{id: boat, model: {T2I}, input: {{prompt: A boat}}}}\n", MANIFEST)
    said = example.expect(0, "plan", MANIFEST, "--offline").out
    assert "poster-2/t2i" in said
    assert "dreamina-4-0/t2i" in said
    document = example.expect(0, "plan", MANIFEST, "--offline", "--json").document
    assert document["models"][CLIP]["cost"]["estimated_usd"] == 0.4
    assert document["models"][POSTER]["cost"]["estimated_usd"] == 0.08


def test_the_emulators_models_can_be_added_elsewhere(example: Shell) -> None:
    added = example.expect(0, "models", "add", CLIP, "--emulator", "--to", "other", "--json")
    assert (added.document["new"], added.document["makes"]) == (True, "video")
    assert (example.folder / f"other/schemas/{CLIP}.json").exists()
    assert CLIP in example.expect(0, "models", "--search", "clip", "--emulator").out


def test_a_changed_schema_has_the_jobs_of_a_finished_run_checked_again(example: Shell) -> None:
    example.expect(0, *RUN)
    change(example.folder / "schemas", TUNE, lambda one: one["required"].append("seed"))
    assert "seed is required" in example.expect(65, *RUN).err


def test_a_short_name_of_two_models_names_neither(example: Shell) -> None:
    example.write("version: 1\njobs:\n  - {model: t2i, input: {prompt: A boat}}\n", "short.yaml")
    said = example.expect(65, "validate", "short.yaml").err
    assert f"several models have this short name: {T2I}, {POSTER}" in said


def test_sounds_are_checked_reported_verified_and_exported(example: Shell) -> None:
    example.expect(0, *RUN)
    assert "nothing found" in example.expect(0, "check", MANIFEST).out
    example.expect(0, "report", MANIFEST)
    assert len(list((example.folder / "output").rglob("thumbs/*/*.webp"))) == 4
    example.expect(0, "verify", MANIFEST)
    example.expect(0, "export", MANIFEST, "dataset", "--to", "hf")
    assert (example.folder / "dataset/audios/train/theme.wav").exists()
    sound = next((example.folder / "output").rglob("theme.wav"))
    sound.write_bytes(sound.read_bytes()[:1000])
    found = example.run("check", MANIFEST, "--json").document
    assert "unreadable" in json.dumps(found)


@pytest.mark.parametrize(
    ("jobs", "problem"),
    [
        (f"{{model: {CLIP}, input: {{prompt: x, duration: '5'}}}}", "duration must be one of"),
        (f"{{model: {CLIP}, input: {{prompt: x, camera: {{speed: 0.2}}}}}}", "is required"),
        (f"{{model: {CLIP}, input: {{prompt: x, camera: {{sped: 0.2}}}}}}", "unknown key"),
        (
            f"{{model: {TUNE}, input: {{prompt: x, duration: 90}}}}",
            "duration must be between 1 and 60",
        ),
        (f"{{model: {TUNE}, input: {{prompt: x, size: 1024x1024}}}}", "unknown key 'size'"),
        (
            f"{{model: {POSTER}, input: {{prompt: x, reference_images: ['http://a.com/b.png']}}}}",
            "https",
        ),
    ],
)
def test_inputs_are_checked_against_the_added_schema(
    example: Shell, jobs: str, problem: str
) -> None:
    example.write(f"version: 1\njobs:\n  - {jobs}\n", "wrong.yaml")
    assert problem in example.expect(65, "validate", "wrong.yaml").err


def test_an_included_manifest_has_the_models_beside_itself(example: Shell) -> None:
    folder = example.folder / "part"
    folder.mkdir()
    shutil.move(example.folder / "schemas", folder / "schemas")
    shutil.move(example.folder / MANIFEST, folder / MANIFEST)
    example.write(
        f"version: 1\nrun: {{models: {{{CLIP}: {{price: 0.5}}}}}}\ninclude: part/{MANIFEST}\n",
        "all.yaml",
    )
    document = example.expect(0, "plan", "all.yaml", "--offline", "--json").document
    assert document["models"][CLIP]["cost"]["known_usd"] == 0.5


def test_a_sound_can_be_the_input_of_another_job_and_is_no_picture(example: Shell) -> None:
    jobs = (
        f"  - {{id: a, model: {TUNE}, input: {{prompt: x}}}}\n"
        f"  - {{id: b, model: {POSTER}, input:"
        " {prompt: y, reference_images: ['{{ jobs.a.image }}']}}\n"
    )
    example.write(f"version: 1\njobs:\n{jobs}", "chain.yaml")
    assert "'a' makes a sound, not an image" in example.expect(65, "validate", "chain.yaml").err


def test_the_vendors_models_are_searched_added_and_run(shell: Shell, vendor: Emulator) -> None:
    user = shell.using(vendor)
    assert TUNE in user.expect(0, "models", "--search", "music").out
    found = user.expect(0, "models", "--category", "text-to-video", "--json").document
    assert [one["model_id"] for one in found] == [CLIP]
    assert "no such model" in user.expect(0, "models", "--search", "nothing-like-it").out

    added = user.expect(0, "models", "add", TUNE).out
    assert "makes audio · needs prompt · 0.01 USD per second" in added
    schema = json.loads((shell.folder / f"schemas/{TUNE}.json").read_text("utf-8"))
    assert schema == json.loads((EXAMPLE / f"schemas/{TUNE}.json").read_text("utf-8"))
    assert TUNE in (shell.folder / "schemas/manifest.schema.json").read_text("utf-8")
    assert "unchanged" in user.expect(0, "models", "add", TUNE).out
    assert "duration" in shell.expect(0, "models", TUNE).out

    user.write(f"version: 1\njobs:\n  - {{model: {TUNE}, input: {{prompt: Rain, duration: 2}}}}\n")
    assert user.expect(0, "run", "m.yaml", "--json").document["counts"] == {"done": 1}
    assert vendor.charges()[0]["usd"] == 0.02


def test_a_schema_that_changed_is_shown_and_replaced_only_if_asked(
    shell: Shell, offers: Path
) -> None:
    with emulating(schemas=(offers,)) as vendor:
        shell.using(vendor).expect(0, "models", "add", TUNE, "--to", "project")
    change(offers, TUNE, lambda one: one["properties"]["duration"].update(maximum=30))
    with emulating(schemas=(offers,)) as vendor:
        user = shell.using(vendor)
        difference = "duration.maximum is 30, added 60"
        assert difference in user.expect(64, "models", "add", TUNE, "--to", "project").err
        drift = f"version: 1\njobs:\n  - {{model: {TUNE}, input: {{prompt: x, duration: 40}}}}\n"
        user.write(drift, "project/m.yaml")
        said = user.expect(0, "plan", "project/m.yaml").out
        assert "differs from the added one" in said
        assert "run refuses" in said
        path = shell.folder / f"project/schemas/{TUNE}.json"
        before = path.read_bytes()
        assert difference in user.expect(0, "models", "update", "--to", "project", "--dry-run").out
        assert path.read_bytes() == before
        assert difference in user.expect(0, "models", "update", "--to", "project").out
        assert f"{TUNE}: unchanged" in user.expect(0, "models", "update", "--to", "project").out
        assert (
            "duration must be between 1 and 30" in user.expect(65, "validate", "project/m.yaml").err
        )


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda one: one["properties"].update(b={"$ref": "#/x"}), "b has the unknown keyword '$r"),
        (lambda one: one["properties"].update(b={"type": "voice"}), "b has the unknown type 'voic"),
        (
            lambda one: one["properties"].update(b={"type": "string", "format": "mesh_uri"}),
            "b has the unknown format 'mesh_uri'",
        ),
    ],
)
def test_a_schema_that_is_not_understood_is_not_added(
    shell: Shell, offers: Path, monkeypatch: pytest.MonkeyPatch, edit: Any, problem: str
) -> None:
    change(offers, TUNE, edit)
    # A server checks less than batchgen does, so that it serves what batchgen refuses.
    monkeypatch.setattr("batchgen.emulator.catalogue.input_validator", lambda _schema: None)
    with emulating(schemas=(offers,)) as vendor:
        said = shell.using(vendor).expect(65, "models", "add", TUNE).err
    assert problem in said
    assert not (shell.folder / "schemas").exists()


def test_what_cannot_be_added_is_refused(shell: Shell, vendor: Emulator) -> None:
    user = shell.using(vendor)
    assert "comes with batchgen" in user.expect(64, "models", "add", T2I).err
    assert "is not the id of a model" in user.expect(64, "models", "add", "../../etc/passwd").err
    assert "the vendor has no model" in user.expect(65, "models", "add", "nobody/nothing").err
    assert "no API token" in shell.expect(77, "models", "add", TUNE).err
    away = shell.having(RUNCOMFY_MODEL_API_BASE="http://127.0.0.1:9/v1", RUNCOMFY_TOKEN="any")
    away.expect(69, "models", "--search", "x")


def test_an_unknown_model_is_looked_up_at_the_vendors_with_a_token(
    shell: Shell, vendor: Emulator
) -> None:
    text = "version: 1\njobs:\n  - {model: MODEL, input: {prompt: x}}\n"
    shell.write(text.replace("MODEL", CLIP))
    command = f"batchgen models add {CLIP}"
    user = shell.using(vendor)
    assert f"the vendor has {CLIP}: {command}" in user.expect(65, "validate", "m.yaml").err
    assert f"the vendor has {CLIP}: {command}" in user.expect(65, "run", "m.yaml").err
    assert "the vendor has" not in user.expect(65, "run", "m.yaml", "--emulator").err
    assert command in shell.expect(65, "validate", "m.yaml").err
    away = shell.having(RUNCOMFY_MODEL_API_BASE="http://127.0.0.1:9/v1", RUNCOMFY_TOKEN="any")
    assert command in away.expect(65, "validate", "m.yaml").err
    shell.write(text.replace("MODEL", "nobody/nothing"))
    assert "the vendor has no model nobody/nothing" in user.expect(65, "validate", "m.yaml").err
    assert f"the vendor has {CLIP}" in user.expect(64, "models", CLIP).err


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a mapping"),
        ('{"properties": {}}', "has no properties"),
        ('{"properties": {"a": {"maximum": "x"}}}', "'x' is not of type 'number'"),
    ],
)
def test_a_broken_schema_beside_a_manifest_is_a_problem_of_that_file(
    example: Shell, content: str, problem: str
) -> None:
    example.write(content, f"schemas/{TUNE}.json")
    said = example.expect(65, "validate", MANIFEST).err
    assert problem in said
    assert f"batchgen models add {TUNE} --force" in said


def test_a_broken_schema_stops_the_next_run_and_nothing_else(example: Shell) -> None:
    example.expect(0, *RUN)
    example.write("{", f"schemas/{CLIP}.json")
    assert "4 done" in example.expect(0, "status", MANIFEST).out
    example.expect(0, "verify", MANIFEST)
    example.expect(0, "report", MANIFEST)
    for command in ("run", "plan", "retry"):
        assert "is not JSON" in example.expect(65, command, MANIFEST, "--emulator").err


def test_the_emulator_command_serves_a_folder_of_schemas(example: Shell) -> None:
    assert "no such folder" in example.expect(66, "emulator", "--schemas", "nowhere").err
    with example.start("emulator", "--schemas", "schemas") as served:
        assert served.stdout is not None
        base = served.stdout.readline().split()[-1]
        user = example.having(RUNCOMFY_MODEL_API_BASE=base, RUNCOMFY_TOKEN="any")
        assert CLIP in user.expect(0, "models", "--search", "clip").out
        served.end()
