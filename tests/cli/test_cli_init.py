"""`batchgen init` with a model and a data file: the manifest fits them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from batchgen.cli import main
from batchgen.errors import UsageError
from batchgen.manifest.starters.manifests import rows_manifest
from batchgen.manifest.starters.preview import MOST_ROWS, preview_rows
from batchgen.models.catalog import bundled

T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"
VIDEO = "bytedance/dreamina-3-0/pro/image-to-video"
URL = "https://example.com/a.jpg"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def init(*words: str) -> dict[str, Any]:
    """Write m.yaml, and see that validate takes it."""
    assert main(["init", "m.yaml", *words]) == 0
    assert main(["validate", "m.yaml"]) == 0
    return manifest()


def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(Path("m.yaml").read_text(encoding="utf-8"))
    return loaded


def text_of(folder: Path) -> str:
    return (folder / "m.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "model", [*bundled().models, *(one.alias for one in bundled().models.values())]
)
def test_a_model_gives_one_job_with_every_key_and_its_limits(folder: Path, model: str) -> None:
    made = init("--model", model)
    chosen = bundled().models[made["defaults"]["model"]]
    assert model in (chosen.id, chosen.alias)
    (job,) = made["jobs"]
    assert set(job["input"]) == {field.name for field in chosen.fields if field.required}
    text = text_of(folder)
    for field in chosen.fields:
        assert f"{'size' if field.name.startswith('width') else field.name}: " in text
        assert field.limits in text


def test_an_unknown_model_is_a_mistake_that_names_the_nearest(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "m.yaml", "--model", "text-to-imge"]) == 64
    said = capsys.readouterr().err
    assert "unknown model 'text-to-imge'" in said
    assert T2I in said
    assert not (folder / "m.yaml").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "a boat, at sea\n\na car\n"),
        ("list.json", '["a boat, at sea", "a car"]'),
        ("list.json", '[{"prompt": "a boat, at sea"}, {"prompt": "a car"}]'),
        ("list.csv", "sep=;\nprompt;;\na boat, at sea;;\n;;\na car;;\n"),
    ],
)
def test_a_list_of_prompts_gives_a_job_of_each(folder: Path, name: str, text: str) -> None:
    write(folder, name, text)
    (item,) = init("--model", "t2i", "--from", name)["jobs"]
    assert item["input"]["prompt"] == "{{ prompt }}"
    assert (item["id"], item["from"]) == ("list-{{ index }}", name)


def test_a_data_file_without_a_model_is_a_mistake(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, "p.csv", "prompt\nA fox\n")
    assert main(["init", "m.yaml", "--from", "p.csv"]) == 64
    assert "--model t2i" in capsys.readouterr().err


def test_columns_fill_the_keys_of_their_name_and_the_ids(folder: Path) -> None:
    write(folder, "p.csv", "SKU,Caption,Scale,artist,my col\na-1,A fox,0.5,Bo,x\na-2,A hen,1,,y\n")
    made = init("--model", "t2i", "--from", "p.csv")
    assert made["defaults"]["model"] == T2I
    (job,) = made["jobs"]
    assert (job["id"], job["from"]) == ("{{ SKU }}", "p.csv")
    assert job["input"] == {"prompt": "{{ Caption }}", "scale": "{{ Scale }}"}
    assert "here:\n    #   {{ artist }}\n    #   {{ row['my col'] }}\n" in text_of(folder)
    assert "The values of this column are unique in the 2 rows" in text_of(folder)


def test_a_column_with_one_url_fills_the_list_of_urls(folder: Path) -> None:
    write(folder, "p.csv", f"id,prompt,image_url,seed\na,pan,{URL},\nb,pan,{URL},7\n")
    (job,) = init("--model", VIDEO, "--from", "p.csv")["jobs"]
    assert job["input"] == {
        "prompt": "{{ prompt }}",
        "image_urls": ["{{ image_url }}"],
        "seed": "{{ seed or none }}",
    }


def test_json_lines_fill_keys_with_their_own_values(folder: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"name": 1, "prompt": "pan", "image_urls": [URL], "frames": 121},
        {"name": 2, "prompt": "tilt", "image_urls": [URL]},
    ]
    write(folder, "p.jsonl", "\n".join(map(json.dumps, rows)))
    (job,) = init("--model", VIDEO, "--from", "p.jsonl")["jobs"]
    assert job["id"] == "{{ name }}"
    assert job["input"]["image_urls"] == "{{ image_urls }}"
    assert job["input"]["frames"] == "{{ frames | default(none) }}"


def test_a_required_key_without_a_column_has_the_example_of_its_page(folder: Path) -> None:
    write(folder, "p.csv", "id,prompt\na,pan\n")
    (job,) = init("--model", VIDEO, "--from", "p.csv")["jobs"]
    assert job["input"]["image_urls"][0].startswith("https://")
    assert "no column has its name" in text_of(folder)


def test_no_two_rows_get_one_prompt_since_no_column_fits_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, "odd.csv", "id,title,artist\na,A fox,Bo\nb,A hen,Bo\n")
    assert main(["init", "m.yaml", "--model", "t2i", "--from", "odd.csv"]) == 65
    said = capsys.readouterr().err
    assert "odd.csv: no column fits the required prompt; it has id, title, artist" in said
    assert "call the column that holds it one of: prompt, text, caption, description" in said
    assert not (folder / "m.yaml").exists()


@pytest.mark.parametrize(
    "ids", [("a", "a"), ("a", ""), ("a", " b"), ("a", "x" * 201)], ids=lambda ids: ids[1][:3]
)
def test_ids_that_do_not_serve_are_counted_instead(folder: Path, ids: tuple[str, str]) -> None:
    rows = "".join(f"{one},A fox {number}\n" for number, one in enumerate(ids))
    write(folder, "prompts.v2.csv", f"id,prompt\n{rows}")
    (job,) = init("--model", "t2i", "--from", "prompts.v2.csv")["jobs"]
    assert job["id"] == "prompts-{{ index }}"


def test_ids_are_numbers_where_a_column_is_called_index(folder: Path) -> None:
    write(folder, "p.csv", "index,prompt\n1,x\n1,y\n")
    (job,) = init("--model", "t2i", "--from", "p.csv")["jobs"]
    assert job["id"] == "p"


def test_columns_that_no_template_can_name_are_reached_through_their_row(folder: Path) -> None:
    write(folder, "p.csv", 'id,prompt,jobs,"a""b\'c",not\na,x,1,2,3\n')
    init("--model", "t2i", "--from", "p.csv")
    further = [line.strip("# ") for line in text_of(folder).splitlines() if "{{ row[" in line]
    assert further == ["{{ row['jobs'] }}", '{{ row["a\\"b\'c"] }}', "{{ row['not'] }}"]
    filled = text_of(folder).replace(
        '"{{ prompt }}"', f"'{' '.join(further).replace(chr(39), chr(39) * 2)}'"
    )
    write(folder, "m.yaml", filled)
    assert main(["validate", "m.yaml"]) == 0


def test_the_better_of_two_columns_of_ids_is_taken(folder: Path) -> None:
    write(folder, "p.csv", "slug,name,id,prompt\ns1,n1,1,x\ns2,n2,1,y\n")
    (job,) = init("--model", "t2i", "--from", "p.csv")["jobs"]
    assert job["id"] == "{{ name }}"


def test_of_a_long_file_only_the_first_rows_are_looked_at(folder: Path) -> None:
    write(folder, "p.csv", "id,prompt\n" + "".join(f"{n},x\n" for n in range(MOST_ROWS)) + "0,x\n")
    data = preview_rows(folder / "p.csv")
    assert (data.rows, data.whole) == (MOST_ROWS, False)
    assert "unique in the first 100000 rows" in rows_manifest(
        "m", bundled().models[T2I], "p.csv", data
    )


def test_the_data_file_is_named_as_the_manifest_sees_it(folder: Path) -> None:
    write(folder, "data/my prompts.csv", "id,prompt\na,x\n")
    (folder / "plans").mkdir()
    assert main(["init", "plans/m.yaml", "--model", "t2i", "--from", "data/my prompts.csv"]) == 0
    assert main(["validate", "plans/m.yaml"]) == 0
    assert 'from: "../data/my prompts.csv"\n' in (folder / "plans/m.yaml").read_text("utf-8")


def test_bad_rows_are_counted_and_left_to_validate(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, "p.csv", "id,prompt\na,x\nb\n")
    assert main(["init", "m.yaml", "--model", "t2i", "--from", "p.csv"]) == 0
    assert "1 bad row in p.csv: batchgen validate m.yaml" in capsys.readouterr().out
    assert main(["validate", "m.yaml"]) == 65
    assert "p.csv:3:1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("id,prompt\n", 65, "p.csv: the file has no rows"),
        ("id,prompt\na\n", 65, "p.csv:2: the row has 1 field"),
        (None, 66, "p.csv: there is no such file"),
    ],
)
def test_a_data_file_that_gives_no_job_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str | None, code: int, message: str
) -> None:
    if text is not None:
        write(folder, "p.csv", text)
    assert main(["init", "m.yaml", "--model", "t2i", "--from", "p.csv"]) == code
    assert message in capsys.readouterr().err
    assert not (folder / "m.yaml").exists()


def test_a_file_that_exists_stays_as_it_is(folder: Path) -> None:
    write(folder, "m.yaml", "mine")
    write(folder, "p.csv", "id,prompt\na,x\n")
    assert main(["init", "m.yaml", "--model", "t2i", "--from", "p.csv"]) == 64
    assert text_of(folder) == "mine"


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(
    st.lists(NAMES, min_size=1, max_size=4, unique=True), st.sampled_from(sorted(bundled().models))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names_of_columns_and_files_give_sound_yaml(
    tmp_path: Path, names: list[str], model: str
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(dict.fromkeys([*names, "prompt"], "x")), encoding="utf-8")
    text = rows_manifest(names[0], bundled().models[model], names[-1], preview_rows(path))
    made = yaml.safe_load(text)
    assert (made["name"], made["jobs"][0]["from"]) == (names[0], names[-1])
    assert text.count("\n  - id: ") == len(made["jobs"]) == 1


def photos(folder: Path, *names: str) -> None:
    (folder / "photos").mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (64, 64)).save(folder / "photos" / name)


@pytest.mark.parametrize("words", ["photos/*.jpg", "photos", "photos/"])
def test_photos_make_a_job_each_for_the_edit_model(folder: Path, words: str) -> None:
    photos(folder, "a.jpg", "b.jpg")
    made = init("--from", words)
    assert made["defaults"]["model"] == EDIT
    assert made["inputs"] == {"send": "data", "fit": True}
    (job,) = made["jobs"]
    assert job["from"] in {"photos/*.jpg", "photos/*"}
    assert job["input"] == {"image_urls": ["{{ path }}"], "prompt": "as an oil painting"}
    assert "2 today, 0 with a caption" in text_of(folder)


def test_captions_become_prompts(folder: Path) -> None:
    photos(folder, "a.jpg", "b.jpg")
    write(folder, "photos/a.txt", "a boat")
    (job,) = init("--from", "photos/*")["jobs"]
    assert job["input"]["prompt"] == "{{ caption | default('as an oil painting') }}"
    Path("m.yaml").unlink()
    write(folder, "photos/b.txt", "a quay")
    (job,) = init("--from", "photos/*")["jobs"]
    assert job["input"]["prompt"] == "{{ caption }}"


def test_photos_for_another_model_and_beside_another_folder(folder: Path) -> None:
    photos(folder, "a.jpg")
    (folder / "work").mkdir()
    assert main(["init", "work/m.yaml", "--from", "photos/*", "--model", "t2i"]) == 0
    assert main(["validate", "work/m.yaml"]) == 0
    assert '"../photos/*"' in (folder / "work/m.yaml").read_text("utf-8")


@pytest.mark.parametrize("words", [("photos/b.jpg",), ("photos/b.jpg", "photos/c.jpg")])
def test_a_pattern_without_quotes_gets_a_hint(
    folder: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    photos(folder, "a.jpg", "b.jpg", "c.jpg")
    assert main(["init", "--from", "photos/a.jpg", *words]) == UsageError.exit_code
    assert "put a pattern in quotes" in capsys.readouterr().err
