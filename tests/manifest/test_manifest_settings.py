"""The table of the keys under `run:`, against everything that has to agree with it."""

from dataclasses import fields
from typing import Any

import pytest

from batchgen.cli import load
from batchgen.manifest.policy import SETTINGS, Policy, Setting, build_policy
from batchgen.manifest.schema_validation import read_schema
from batchgen.runs.options import RunOptions

KEYS = {one.key for one in SETTINGS}
SCHEMA: dict[str, Any] = read_schema()["properties"]["run"]["properties"]
FLAGS = [one for one in SETTINGS if one.is_flag]


def names_of(record: type) -> set[str]:
    return {one.name for one in fields(record)}


def test_schema_policy_and_table_have_the_same_keys() -> None:
    assert set(SCHEMA) == KEYS
    assert names_of(Policy) == KEYS


def test_without_any_key_the_policy_has_its_defaults() -> None:
    assert build_policy({}) == Policy()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: one.key)
def test_the_editors_description_states_the_default(setting: Setting) -> None:
    if setting.default:
        assert SCHEMA[setting.key]["description"].endswith(f"Default: {setting.default}.")


@pytest.mark.parametrize("setting", FLAGS, ids=lambda one: one.key)
@pytest.mark.parametrize("verb", ["run", "retry"])
def test_a_key_with_a_flag_has_an_option_and_a_field_of_its_name(
    setting: Setting, verb: str
) -> None:
    options = {option for one in load(verb).params for option in one.opts}
    assert f"--{setting.key.replace('_', '-')}" in options
    assert setting.key in names_of(RunOptions)
