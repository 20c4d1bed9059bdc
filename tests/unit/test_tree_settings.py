"""``.dlm/training.yaml``: read strictly, ignored as a whole when anything is wrong, and always with a line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlm.domain.tree_settings import MAX_WEIGHT, TreeSettings, merged_weights, read_tree_settings, weight_of

WHOLE = """\
dlm_training_version: 1
include: ["**/*.md", '*.txt']
exclude:
  - old/**
exclude_defaults: false
metadata:
  language: english
  reviewed: true
  year: 2024
  day: 2024-01-31
weights:
  language: {english: 2, other: 0.5}
  reviewed:
    true: 1.5
"""


def test_a_whole_file() -> None:
    settings, problems = read_tree_settings(WHOLE)
    assert problems == ()
    assert settings == TreeSettings(
        include=("**/*.md", "*.txt"),
        exclude=("old/**",),
        exclude_defaults=False,
        metadata={"language": "english", "reviewed": "true", "year": "2024", "day": "2024-01-31"},
        weights={"language": {"english": 2.0, "other": 0.5}, "reviewed": {"true": 1.5}},
    )
    assert weight_of(settings.metadata, settings.weights) == 3.0


@pytest.mark.parametrize("text", ["", "\n# nothing yet\n", "---\n", "metadata: {}\n"])
def test_nothing_written_means_the_defaults(text: str) -> None:
    assert read_tree_settings(text) == (TreeSettings(), ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("metadata: {}\nincldue: []\n", "2:1: unknown key 'incldue'; did you mean 'include'?"),
        ("colour: red\n", "1:1: unknown key 'colour'; known are"),
        ("include: '*.md'\n", "1:10: include must be a list of file patterns, not the text '*.md'"),
        ("include: [2024]\n", "1:11: include must be a list of file patterns"),
        ("exclude:\n", "1:1: exclude must be a list of file patterns, not empty"),
        ("exclude_defaults: maybe\n", "exclude_defaults must be true or false"),
        ("dlm_training_version: 2\n", "dlm_training_version must be a whole number from 1 to 1"),
        ("metadata: [a]\n", "1:11: metadata must be tags with a value each, not a list"),
        ("metadata:\n  a: [b]\n", "2:6: metadata must be tags with a single value each"),
        ("weights:\n  a:\n    b: .inf\n", "3:8: weights must be a number from 0 to 1000, not the number .inf"),
        ("weights: {a: {b: .nan}}\n", "1:18: weights must be a number from 0 to 1000"),
        ("weights: {a: {b: -1}}\n", "not the number -1"),
        ("weights: {a: {b: 1e9}}\n", "not the number 1000000000.0"),
        ("weights: {a: {b: 1001}}\n", "not the number 1001"),
        ("weights: {a: {b: true}}\n", "not the truth value true"),
        ("weights: {a: 2}\n", "weights must be tags, each with its values and their weights, not the number 2"),
        ("weights: 2\n", "weights must be tags, each with its values and their weights"),
        ("a: &x 1\nb: *x\n", "YAML anchors"),
        ("metadata: {a: b\n", "the file is not valid YAML"),
        ("- a\n", "1:1: the file must be a list of 'key: value' lines"),
        ("metadata: {}\nmetadata: {}\n", "'metadata' is written twice, on lines 1 and 2"),
        ("include: ['" + "{a,b}" * 20 + "']\n", "stands for more than 256 patterns"),
        (
            "include: [" + "'{a,b}{a,b}{a,b}', " * 500 + "]\n",
            "include must be a list that stands for at most 2000 patterns",
        ),
        ("x: " + "[" * 50 + "]" * 50 + "\n", "nested more than"),
        ("# " + "x" * 300_000, "characters; at most"),
    ],
)
def test_each_fault_drops_the_file_and_names_its_line(text: str, told: str) -> None:
    settings, problems = read_tree_settings(text)
    assert settings is None
    assert any(told in problem for problem in problems), problems
    assert all(problem.split(":")[0].isdigit() for problem in problems)


def test_all_faults_are_told_together() -> None:
    _, problems = read_tree_settings("include: 3\nfoo: 1\nweights: {a: {b: -1}}\n")
    assert [problem.split(":")[0] for problem in problems] == ["1", "2", "3"]


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    settings, problems = read_tree_settings(text.encode("utf-8", "replace").decode())
    assert (settings is None) == bool(problems)


def test_deeper_weights_win_value_by_value() -> None:
    above = {"kind": {"a": 1.0, "b": 2.0}, "other": {"x": 3.0}}
    assert merged_weights(above, {"kind": {"b": 0.5}}) == {"kind": {"a": 1.0, "b": 0.5}, "other": {"x": 3.0}}
    assert merged_weights(above, {}) is above


def test_a_weight_is_the_product_of_what_is_listed_up_to_a_limit() -> None:
    weights = {"a": {"1": 0.5, "0": 0.0}, "b": {"1": 4.0}, "c": {"1": 900.0}}
    assert weight_of({}, weights) == 1.0
    assert weight_of({"a": "1", "b": "1", "z": "1"}, weights) == 2.0
    assert weight_of({"a": "0", "b": "1"}, weights) == 0.0
    assert weight_of({"b": "1", "c": "1"}, weights) == MAX_WEIGHT
