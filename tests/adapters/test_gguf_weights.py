"""Weights read from safetensors: every kind of number, several files, damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dlm.adapters.gguf.weights import SafetensorsWeights
from dlm.domain.errors import ExportError

KINDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_number_is_widened_exactly(kind: str, tmp_path: Path) -> None:
    values = (torch.arange(-30, 30).reshape(5, 12) / 7).to(KINDS[kind])
    save_file({"w": values, "b": values[0].clone()}, tmp_path / "model.safetensors")
    weights = SafetensorsWeights(tmp_path)
    assert weights.names() == ("b", "w")
    assert (weights.shape("w"), weights.dtype("w")) == ((5, 12), kind)
    expected = values.float().numpy()
    assert weights.read("w").dtype == np.float32
    assert (weights.read("w") == expected).all()
    assert (weights.read("w", slice(1, 3)) == expected[1:3]).all()
    assert (weights.read("b") == expected[0]).all()
    assert (weights.read("b", slice(0, 4)) == expected[0, :4]).all()


def test_special_numbers_keep_their_bits(tmp_path: Path) -> None:
    odd = torch.tensor([float("inf"), -float("inf"), float("nan"), -0.0, 1e-40, 3e38]).bfloat16()
    save_file({"w": odd}, tmp_path / "model.safetensors")
    assert (SafetensorsWeights(tmp_path).read("w").view(np.uint32) == odd.float().numpy().view(np.uint32)).all()


def test_several_files_are_one_model(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "a")):
        save_file({name: torch.full((2, 2), float(number))}, tmp_path / f"part-{number}.safetensors")
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-0.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    weights = SafetensorsWeights(tmp_path)
    assert weights.names() == ("a", "b")
    assert weights.read("a")[0, 0] == 1


def _cut(data: bytes) -> bytes:
    return data[:-1]


def _longer(data: bytes) -> bytes:
    return data + b"x"


def _huge_header(data: bytes) -> bytes:
    return b"\xff" * 8 + data[8:]


def _no_json(data: bytes) -> bytes:
    return data[:8] + b"x" + data[9:]


@pytest.mark.parametrize("damage", [_cut, _longer, _huge_header, _no_json, lambda data: b""])
def test_a_damaged_file_is_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(4, 4)}, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ExportError) as caught:
        SafetensorsWeights(tmp_path)
    assert caught.value.code == "export.bad-weights"
    assert caught.value.hint


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(4, 4)}, path)
    weights = SafetensorsWeights(tmp_path)
    path.write_bytes(path.read_bytes()[:-4])
    assert weights.read("w", slice(0, 3)).shape == (3, 4)
    for change in (lambda: None, path.unlink):
        change()
        with pytest.raises(ExportError, match="not there any more"):
            weights.read("w")


@pytest.mark.parametrize(
    "index",
    [None, [], {}, {"weight_map": {}}, {"weight_map": []}, {"weight_map": {"a": "../x"}}, {"weight_map": {"a": 1}}],
)
def test_a_folder_without_usable_weights_is_refused(index: Any, tmp_path: Path) -> None:
    if index is not None:
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ExportError) as caught:
        SafetensorsWeights(tmp_path)
    assert caught.value.code == "export.bad-weights"
