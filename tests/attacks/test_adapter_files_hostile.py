"""Adapter folders made to hurt: nothing runs, nothing hangs, every answer is one of ours."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlm.adapters.peft_files import PeftFiles
from dlm.domain.errors import ExportError
from dlm.ports.adapter_files import MixPart
from peft_made import PREFIX, Q, as_file, lora_tensors, write_adapter

A, B = f"{PREFIX}{Q}.lora_A.weight", f"{PREFIX}{Q}.lora_B.weight"


def refusal(folder: Path) -> ExportError:
    """Give the error that reading the folder ends with; it must come soon and be short."""
    began = time.monotonic()
    with pytest.raises(ExportError) as caught:
        PeftFiles().facts(folder)
    assert time.monotonic() - began < 20
    assert len(caught.value.message) < 1000
    assert str(caught.value.subject).startswith("preflight[")
    return caught.value


@pytest.mark.parametrize(
    "settings",
    [
        {"peft_type": None},
        {"peft_type": 3},
        {"base_model_name_or_path": ["x"]},
        *({"r": value} for value in (0, -1, 1.5, True, "8", 10**30, None, [])),
        *({"lora_alpha": value} for value in ("16", None, True, 10**400, [], {})),
        *({"rank_pattern": value} for value in ([1], "x", {"q_proj": 0}, {"q_proj": "4"}, {"(": 4})),
        *({"alpha_pattern": value} for value in ([1], {"q_proj": None}, {"[": 4})),
        *({"target_modules": value} for value in (3, [3], {"a": 1}, ["k_proj"], "k_proj", "(")),
        *({"use_dora": value} for value in ("yes", 1, [1])),
        {"use_rslora": "no!"},
        {"bias": 1},
        {"modules_to_save": "lm_head"},
        {"modules_to_save": [1]},
    ],
    ids=str,
)
def test_settings_of_the_wrong_kind_are_told(tmp_path: Path, settings: dict[str, object]) -> None:
    folder = write_adapter(tmp_path / "a", tensors=lora_tensors({Q: 4}), **settings)
    assert refusal(folder).code == "export.damaged-adapter"


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_mapping": {"base_model_class": "system", "parent_library": "os"}},
        {"auto_mapping": {"parent_library": "transformers_evil.models"}},
        {"auto_mapping": {"parent_library": 3}},
        {"auto_mapping": "os"},
        {"megatron_config": {"x": 1}, "megatron_core": "os"},
    ],
    ids=str,
)
def test_settings_that_name_code_are_refused(tmp_path: Path, settings: dict[str, object]) -> None:
    assert refusal(write_adapter(tmp_path / "a", **settings)).code == "export.unsafe-adapter"


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(.*)*x", "a?" * 40 + "a" * 40, "(a|a)" * 40, ".*" * 30 + "x", "(?=a)", r"(a)\1+" * 9, "x{1,9}{1,9}"],
)
@pytest.mark.parametrize("key", ["rank_pattern", "alpha_pattern", "target_modules"])
def test_patterns_that_never_end_are_not_tried(tmp_path: Path, key: str, pattern: str) -> None:
    value: object = pattern if key == "target_modules" else {pattern: 4}
    tensors = {name.replace("q_proj", "a" * 60): value for name, value in lora_tensors({Q: 4}).items()}
    folder = write_adapter(tmp_path / "a", tensors=tensors, **{"target_modules": None, key: value})
    assert "pattern" in refusal(folder).message


def test_a_million_patterns_are_not_tried(tmp_path: Path) -> None:
    patterns = {f"m{number}": 4 for number in range(200_000)}
    tensors = {
        f"{PREFIX}m.{number}.lora_{half}.weight": np.ones((1, 1), np.float32) for number in range(50) for half in "AB"
    }
    assert "patterns" in refusal(write_adapter(tmp_path / "a", tensors=tensors, rank_pattern=patterns)).message


@pytest.mark.parametrize(
    "name", ["adapter_config.json", "tokenizer.json", "tokenizer_config.json", "training_run.json"]
)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b'{"r": NaN}',
        b'{"r": 1, "r": 2}',
        b"{" * 200_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"r": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(9),
)
def test_json_made_to_hurt_is_told(tmp_path: Path, name: str, data: bytes) -> None:
    folder = write_adapter(tmp_path / "a")
    (folder / name).write_bytes(data)
    error = refusal(folder)
    assert error.code == "export.damaged-adapter"
    assert name in error.message


@pytest.mark.parametrize("name", ["adapter_config.json", "training_run.json"])
def test_small_files_that_are_huge_are_not_read(tmp_path: Path, name: str) -> None:
    folder = write_adapter(tmp_path / "a")
    with (folder / name).open("r+b") as file:
        file.truncate(20_000_000_000)  # sparse
    assert "bytes" in refusal(folder).message


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_pipe_is_no_file(tmp_path: Path, name: str) -> None:
    folder = write_adapter(tmp_path / "a")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert refusal(folder).code == "export.no-adapter"


class _Bomb:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


def test_pickles_beside_the_adapter_are_never_opened(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a")
    bomb = pickle.dumps(_Bomb(tmp_path / "ran"))
    for name in ("adapter_model.bin", "training_state.pt", "optimizer.pt", "tokenizer.pkl"):
        (folder / name).write_bytes(bomb)
    PeftFiles().facts(folder)
    (folder / "adapter_model.safetensors").unlink()
    assert refusal(folder).code == "export.no-adapter"
    (folder / "adapter_model.safetensors").write_bytes(bomb)
    assert refusal(folder).code == "export.damaged-adapter"
    assert not (tmp_path / "ran").exists()


def _with_header(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _entry(shape: object, start: object, end: object, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        (10**15).to_bytes(8, "little"),
        _with_header(b"nope"),
        _with_header([]),
        _with_header(b"[" * 100_000),
        _with_header({"x": 1}),
        _with_header({"x": _entry([1], 0, 4)}),
        _with_header({"x": _entry([1], 0, 4)}, b"12345"),
        _with_header({"x": _entry([-1, -1], 0, 4)}, b"1234"),
        _with_header({"x": _entry([1 << 40, 1 << 40], 0, 4)}, b"1234"),
        _with_header({"x": _entry([10**40], 0, 4 * 10**40)}, b"1234"),
        _with_header({"x": _entry([1], 4, 8)}, b"12345678"),
        _with_header({"x": _entry([1], 0, 4), "y": _entry([1], 0, 4)}, b"1234"),
        _with_header({"x": _entry([1], 0, 4), "y": _entry([1], 8, 12)}, b"1" * 12),
        _with_header({"x": _entry([True], 0, 4)}, b"1234"),
        _with_header({"x": _entry(["1"], 0, 4)}, b"1234"),
        _with_header({"x": _entry([1] * 5000, 0, 4)}, b"1234"),
        _with_header({"x": _entry([1], 0, 4, "F8_E4M3")}, b"1234"),
        _with_header({"x": _entry([1], 0, 4, ["F32"])}, b"1234"),
        _with_header(b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{}}', b"1234"),
        _with_header({}),
        _with_header({"x": _entry([1], 0, 4)}, b"1234"),
    ],
    ids=range(23),
)
def test_weight_files_that_lie_are_told(tmp_path: Path, data: bytes) -> None:
    folder = write_adapter(tmp_path / "a")
    (folder / "adapter_model.safetensors").write_bytes(data)
    assert refusal(folder).code == "export.damaged-adapter"


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1])
def test_weights_that_were_cut_off_are_told(tmp_path: Path, keep: int) -> None:
    path = write_adapter(tmp_path / "a") / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refusal(path.parent)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop(A),
        lambda t: t.pop(B),
        lambda t: t.update({A: np.ones((3, 12), np.float32)}),
        lambda t: t.update({B: np.ones((16, 5), np.float32)}),
        lambda t: t.update({A: np.ones((4,), np.float32)}),
        lambda t: t.update({A: np.ones((4, 12, 1), np.float32)}),
        lambda t: t.update({A: np.ones((4, 0), np.float32)}),
        lambda t: t.update({A: np.ones((4, 12), np.int64)}),
        lambda t: t.update({A.replace(".lora_A.weight", ".lora_embedding_A"): np.ones((4, 12), np.float32)}),
        lambda t: t.update({A.replace("lora_A.weight", "lora_magnitude_vector"): np.ones(16, np.float32)}),
        lambda t: t.clear(),
    ],
    ids=range(11),
)
def test_tensors_that_contradict_the_settings_are_told(tmp_path: Path, change: Change) -> None:
    tensors = lora_tensors({Q: 4})
    change(tensors)
    assert refusal(write_adapter(tmp_path / "a", tensors=tensors)).code == "export.damaged-adapter"


@pytest.mark.parametrize("ids", ["x", -1, 1.5, True, 1 << 40, None], ids=str)
def test_token_ids_that_are_none_are_told(tmp_path: Path, ids: object) -> None:
    folder = write_adapter(tmp_path / "a")
    as_file(folder / "tokenizer.json", {"model": {"vocab": {"a": ids}}})
    assert refusal(folder).subject == "preflight[tokenizer_vocab]"
    as_file(folder / "tokenizer.json", {"added_tokens": [{"id": ids}]})
    assert refusal(folder).subject == "preflight[tokenizer_vocab]"


def test_a_mix_with_a_damaged_part_leaves_nothing(tmp_path: Path) -> None:
    good = write_adapter(tmp_path / "good")
    wide = {name: np.ones((4, 13) if "lora_A" in name else (16, 4), np.float32) for name in (A, B)}
    into = tmp_path / "into"
    into.mkdir()
    for bad in (write_adapter(tmp_path / "wide", tensors=wide), write_adapter(tmp_path / "nan", lora_alpha=None)):
        parts = [MixPart(name="good", folder=good, weight=1), MixPart(name="bad", folder=bad, weight=1)]
        with pytest.raises(ExportError):
            PeftFiles().mix(parts, "linear", into)
        assert list(into.iterdir()) == []


@given(st.integers(0, 900), st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_a_changed_byte_gives_an_answer_or_our_error(tmp_path: Path, at: int, value: int) -> None:
    folder = write_adapter(tmp_path / "a")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        data = bytearray((folder / name).read_bytes())
        data[at % len(data)] = value
        (folder / name).write_bytes(data)
    with suppress(ExportError):  # any other error escapes and fails the test
        assert PeftFiles().facts(folder).kind
