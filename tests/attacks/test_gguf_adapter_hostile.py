"""Adapter folders that somebody wrote to do harm: written as they are meant, or refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from dlm.adapters.gguf.checking import read_head
from dlm.adapters.gguf.exporter import GgufExporter
from dlm.adapters.peft_files import PeftFiles
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import DlmError, ExportError
from dlm.ports.exporter import WeightsJob
from peft_made import PREFIX, write_adapter
from tiny_architectures import tiny_architecture

Q = "model.layers.0.self_attn.q_proj"
NAMES = (
    f"{PREFIX}{Q}.lora_A.weight",
    f"{PREFIX}{Q}.lora_B.weight",
    f"{PREFIX}{Q}.lora_magnitude_vector",
    f"{PREFIX}{Q}.base_layer.weight",
    f"{PREFIX}{Q}.base_layer.base_layer.bias",
    f"{PREFIX}{Q}.weight",
    f"{PREFIX}lm_head.lora_A.weight",
    f"{PREFIX}lm_head.lora_B.weight",
    f"{PREFIX}lm_head.weight",
    f"{PREFIX}lm_head.base_layer.weight",
    f"{PREFIX}model.embed_tokens.weight",
    f"{PREFIX}model.embed_tokens.base_layer.weight",
    f"{PREFIX}model.embed_tokens.lora_embedding_A",
    f"{PREFIX}model.embed_tokens.lora_embedding_B",
    f"{PREFIX}model.norm.weight",
    f"{PREFIX}model.norm.bias",
    f"{PREFIX}model.layers.9.self_attn.q_proj.lora_A.weight",
    f"{PREFIX}{PREFIX}{Q}.lora_B.weight",
    f"{PREFIX}.weight",
    PREFIX,
    "../../x",
    "lora_A.weight",
    "\x00",
)
SHAPES = ((64,), (4, 64), (64, 4), (64, 64), (390, 4), (4, 390), (390, 64), (382, 64), (382, 4), (4, 382), (395, 64))
"""Those that fit somewhere; the vocabularies have 390 and 382 rows."""
SIDES = (0, 1, 2, 4, 63, 64, 65, 128, 390, 395)
MODULES = ("q_proj", "lm_head", "embed_tokens", "model.norm", "norm", "x")


@pytest.fixture(scope="module", params=["llama3", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    """One with an output head of its own, one without."""
    folder = tmp_path_factory.mktemp("base") / request.param
    return attrs.evolve(tiny_architecture(request.param, folder), sha256="a" * 64)


def _lora(*, rank: int = 4, inputs: int = 64, outputs: int = 64, **options: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        f"{PREFIX}{Q}.lora_A.weight": rng.normal(size=(rank, inputs)).astype(np.float32),
        f"{PREFIX}{Q}.lora_B.weight": rng.normal(size=(outputs, rank)).astype(np.float32),
        **options,
    }


def _adapter(folder: Path, tensors: dict[str, Any], **config: Any) -> Path:
    """Write an adapter without a tokenizer of its own."""
    write_adapter(folder, tensors=tensors, **config)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink()
    return folder


def _job(base: ResolvedBase, adapter: Path, **options: Any) -> WeightsJob:
    return WeightsJob(base=base, adapter=adapter, facts=PeftFiles().facts(adapter), **options)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    extra=st.dictionaries(
        st.sampled_from(NAMES),
        st.sampled_from(SHAPES) | st.lists(st.sampled_from(SIDES), max_size=3).map(tuple),
        max_size=2,
    ),
    config=st.fixed_dictionaries(
        {},
        optional={
            "modules_to_save": st.lists(st.sampled_from(MODULES), max_size=2),
            "target_modules": st.just("all-linear") | st.lists(st.sampled_from(MODULES), max_size=3),
            "bias": st.sampled_from(["none", "all", "lora_only", "x"]),
            "use_dora": st.sampled_from([False, False, True]),
            "use_rslora": st.booleans(),
            "lora_alpha": st.sampled_from([0, -8, 1e-300, 1e9, 8]),
            "rank_pattern": st.just({"lm_head": 2}),
        },
    ),
    kind=st.sampled_from([np.float32, np.float16, np.float64] * 2 + [np.int32]),
    merged=st.booleans(),
)
def test_any_adapter_is_written_or_refused(
    extra: dict[str, Any], config: dict[str, Any], kind: Any, merged: bool, base: ResolvedBase, tmp_path: Path
) -> None:
    import tempfile

    tensors = _lora(**{name: np.full(shape, 0.5, kind) for name, shape in extra.items()})
    exporter = GgufExporter(tmp_path / "home", threads=1)
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        out = Path(folder, "out")
        out.mkdir()
        try:
            job = _job(base, _adapter(Path(folder, "adapter"), tensors, **config), merged=merged)
            exporter.check(job)
        except DlmError:
            return  # refused in words
        refusal = ""
        try:
            for file in exporter.write(job, out):
                assert read_head(out / file.path).tensors
        except ExportError as exc:
            refusal = exc.code
        assert refusal in ("", "export.bad-weights", "export.half-overflow")  # numbers are looked at only now


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        (_lora(outputs=32), {}),
        (_lora(inputs=128), {}),
        (_lora(**{f"{PREFIX}{Q}.weight": np.ones((64, 64), np.float32)}), {}),
        (_lora(**{f"{PREFIX}{Q}.bias": np.ones(64, np.float32)}), {}),
        (_lora(**{f"{PREFIX}model.norm.base_layer.weight": np.ones(64, np.float32)}), {}),
        (_lora(**{f"{PREFIX}model.norm.weight": np.ones(128, np.float32)}), {"modules_to_save": ["model.norm"]}),
        (_lora(**{f"{PREFIX}model.norm.weight": np.ones((1, 64), np.float32)}), {"modules_to_save": ["model.norm"]}),
        (_lora(**{f"{PREFIX}lm_head.weight": np.ones((0, 64), np.float32)}), {"modules_to_save": ["lm_head"]}),
        (_lora(**{f"{PREFIX}model.norm.bias": np.ones(64, np.float32)}), {"bias": "all"}),
    ],
    ids=["outputs", "inputs", "whole", "bias", "inner", "longer", "sides", "empty", "new bias"],
)
def test_what_does_not_fit_is_refused_when_checking(
    tensors: dict[str, Any], config: dict[str, Any], merged: bool, base: ResolvedBase, tmp_path: Path
) -> None:
    adapter = _adapter(tmp_path / "adapter", tensors, **config)
    with pytest.raises(ExportError) as caught:
        GgufExporter(tmp_path).check(_job(base, adapter, merged=merged))
    assert caught.value.code in ("export.other-base", "export.unfit-adapter")
    assert caught.value.hint


@pytest.mark.parametrize("merged", [False, True])
def test_a_file_that_changed_since_it_was_looked_at_is_noticed(
    merged: bool, base: ResolvedBase, tmp_path: Path
) -> None:
    adapter = _adapter(tmp_path / "adapter", _lora(), target_modules=["q_proj"])
    job, path = _job(base, adapter, merged=merged), adapter / "adapter_model.safetensors"
    exporter = GgufExporter(tmp_path)
    exporter.check(job)
    whole = path.read_bytes()
    other_module = {name.replace("q_proj", "k_proj"): value for name, value in _lora().items()}
    for damage in (
        lambda: save_file(_lora(rank=5), path),
        lambda: save_file(other_module, path),
        lambda: save_file({name: value for name, value in _lora().items() if "lora_A" in name}, path),
        lambda: path.write_bytes(whole[:-1]),
        lambda: path.write_bytes(whole[:6]),
        lambda: path.write_bytes(b"\xff" * 100),
        lambda: path.unlink(),
    ):
        damage()
        for act in (lambda: exporter.check(job), lambda: exporter.write(job, tmp_path)):
            with pytest.raises(ExportError) as caught:
                act()
            assert caught.value.code == "export.damaged-adapter"
    assert not list(tmp_path.glob("*.gguf"))


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("merged", [False, True])
def test_numbers_that_are_none_do_not_get_into_a_file(
    value: float, merged: bool, base: ResolvedBase, tmp_path: Path
) -> None:
    adapter = _adapter(tmp_path / "adapter", _lora(), target_modules=["q_proj"])
    facts = PeftFiles().facts(adapter)
    tensors = _lora()
    tensors[f"{PREFIX}{Q}.lora_B.weight"][3, 2] = value
    save_file(tensors, adapter / "adapter_model.safetensors")
    job = WeightsJob(base=base, adapter=adapter, facts=attrs.evolve(facts, alphas={Q: 1e9}), merged=merged)
    (tmp_path / "out").mkdir()
    if merged or not np.isfinite(value):
        with pytest.raises(ExportError, match=r"blk\.0\.attn_q\.weight") as caught:
            GgufExporter(tmp_path).write(job, tmp_path / "out")
        assert caught.value.code == "export.bad-weights"
        return
    assert GgufExporter(tmp_path).write(job, tmp_path / "out")  # in 32 bits it is a number


def test_a_tokenizer_that_names_far_ids_is_refused(base: ResolvedBase, tmp_path: Path) -> None:
    adapter = _adapter(tmp_path / "adapter", _lora(), target_modules=["q_proj"])
    job = _job(base, adapter)
    record = json.loads((base.folder / "tokenizer.json").read_text())
    for far in (10**6, 1 << 24, -1, 2**70):
        record["added_tokens"][0]["id"] = far
        (adapter / "tokenizer.json").write_text(json.dumps(record))
        with pytest.raises(ExportError) as caught:
            GgufExporter(tmp_path).check(job)
        assert caught.value.code in ("export.bad-tokenizer", "export.vocabulary")
