"""What only all jobs together show is told in one pass, beside what is wrong with single jobs."""

from __future__ import annotations

from tests.manifest.manifest_reading import HEAD, problems, with_jobs

BAD = "scale: 9"


def test_duplicates_missing_needs_and_circles_are_told_beside_other_problems() -> None:
    found = problems(
        with_jobs(
            f"{{id: bad, input: {{prompt: x, {BAD}}}}}",
            "{id: a, input: {prompt: x}}",
            "{id: a, input: {prompt: y}}",
            "{id: b, input: {prompt: x}, needs: [nobody]}",
            "{id: c, input: {prompt: x}, needs: [d]}",
            "{id: d, input: {prompt: x}, needs: [c]}",
        )
    )
    assert found == [
        "4:41 scale must be between 0 and 1; got 9",
        "6:1 duplicate id 'a': lines 5 and 6",
        "7:1 it needs 'nobody', and no job has this id",
        "8:1 these jobs need each other in a circle: c → d → c",
    ]


def test_a_refused_job_is_not_missing_and_its_id_and_needs_are_judged() -> None:
    found = problems(
        with_jobs(
            f"{{id: bad, input: {{prompt: x, {BAD}}}, needs: [b]}}",
            "{id: b, input: {prompt: x}, needs: [bad]}",
            "{id: unsound, input: 7}",
            "{id: c, input: {prompt: x}, needs: [unsound]}",
            "{id: unsound, input: {prompt: x}}",
        )
    )
    assert found == [
        "4:1 these jobs need each other in a circle: bad → b → bad",
        "4:41 scale must be between 0 and 1; got 9",
        "6:26 input must be a mapping; got 7",
        "8:1 duplicate id 'unsound': lines 6 and 8",
    ]


def test_what_may_be_a_job_of_a_sweep_that_cannot_be_made_is_not_told_as_missing() -> None:
    found = problems(
        with_jobs(
            'id: "still-{{ hour }}"\n    matrix: {hour: []}\n    input: {prompt: x}',
            "{id: a, input: {prompt: x}, needs: [still-dawn]}",
            "{id: b, input: {prompt: x}, needs: [other-dawn]}",
        )
    )
    assert [one.partition(" ")[2] for one in found] == [
        "the axis 'hour' is empty: there is nothing to combine",
        "it needs 'other-dawn', and no job has this id",
    ]


def test_nothing_is_missing_where_the_rest_of_the_file_cannot_be_read() -> None:
    text = with_jobs("{id: a, input: {prompt: x}, needs: [below]}")
    found = problems(f"{text}  - id: below\n   input: {{prompt: x}}\n")
    assert found == ["5:5 prompt is required", "6:4 a '- ' was expected here"]


def test_a_wrong_header_hides_no_missing_need() -> None:
    head = f"run: {{concurrency: 0}}\n{HEAD}"
    found = problems(with_jobs("{id: a, input: {prompt: x}, needs: [b]}", head=head))
    assert len(found) == 2
    assert found[1].endswith("it needs 'b', and no job has this id")


def test_what_the_jobs_of_a_sweep_have_alike_is_one_problem() -> None:
    sweep = "matrix: {hour: [dawn, dusk, noon]}\n    input: {prompt: x}\n    needs: [nobody]"
    assert problems(with_jobs(f'id: "x-{{{{ hour }}}}"\n    {sweep}')) == [
        "4:1 it needs 'nobody', and no job has this id (in 3 jobs: x-dawn; x-dusk; x-noon)"
    ]
