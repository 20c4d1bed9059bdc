"""Configurations and tokenizers that somebody wrote to do harm: refused in words, whatever they hold."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlm.adapters.gguf.architectures import architecture_of
from dlm.adapters.gguf.architectures.architecture import Architecture
from dlm.adapters.gguf.container import write_gguf
from dlm.adapters.gguf.vocabulary import read_vocabulary
from dlm.domain.errors import DlmError
from tiny_architectures import ARCHITECTURES, tiny_architecture

NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([0, 1, -1, 1e-320, 1e38]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=8), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
ROPE_KEYS = ("rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor", "long_factor")
ROPE_KEYS += ("short_factor", "original_max_position_embeddings", "partial_rotary_factor", "full_attention")
ROPE = st.dictionaries(
    st.sampled_from(ROPE_KEYS),
    VALUES | NUMBERS | st.sampled_from(["llama3", "yarn", "longrope", "linear"]),
    max_size=8,
)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for each family."""
    folder = tmp_path_factory.mktemp("bases")
    for name in ARCHITECTURES:
        tiny_architecture(name, folder / name)
    return folder


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_configuration_is_understood_or_refused(bases: Path, data: st.DataObject) -> None:
    config = json.loads(_read(bases / data.draw(st.sampled_from(ARCHITECTURES)) / "config.json"))
    for key in data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=2)):
        config[key] = data.draw(VALUES | NUMBERS)
    if data.draw(st.booleans()):
        config["rope_parameters"] = data.draw(ROPE)
    try:
        family = architecture_of(config)
    except DlmError:
        return  # refused in words
    assert family.shape.layers <= 1000
    _writable(family)


def _writable(family: Architecture) -> None:
    """All keys fit the format: the file with nothing but them can be written."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_gguf(Path(folder) / "x.gguf", family.metadata, (), lambda info: ())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["llama3", "phi3"]),
    steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
    value=VALUES | NUMBERS,
)
def test_any_tokenizer_is_understood_or_refused(
    bases: Path, tmp_path: Path, name: str, steps: list[int], value: object
) -> None:
    tokenizer: Any = json.loads(_read(bases / name / "tokenizer.json"))
    place = tokenizer
    for step in steps[1:]:  # walk down to somewhere
        inner = list(place.values()) if isinstance(place, dict) else place
        inner = [item for item in inner if item and isinstance(item, dict | list)]
        place = inner[step % len(inner)] if inner else place
    keys = sorted(place) if isinstance(place, dict) else range(len(place))
    place[keys[steps[0] % len(keys)]] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    try:
        vocabulary = read_vocabulary(tmp_path, base=tmp_path)
    except DlmError:
        return  # refused in words
    assert len(vocabulary.tokens) == len(vocabulary.kinds) == len(set(vocabulary.tokens))
