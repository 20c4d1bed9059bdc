"""What travels in a pack and what stays at home."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from dlm.domain.license import LicenseAcceptance
from dlm.domain.manifest import ExportRecord, Manifest, manifest_from_json, manifest_to_json
from dlm.domain.pack_adapter import adapter_settings_problem
from dlm.domain.pack_plan import PackPlan, content_type, is_dropped, plan_members, private_kinds, scrubbed_manifest
from dlm.testing.clocks import A_MOMENT
from dlm.testing.store_contract import ID

ALWAYS = """adapter/_gate/gate.safetensors adapter/current.txt adapter/versions/v0002/adapter_model.safetensors
adapter/versions/v0002/training_state.safetensors blobs/ab/abcd.bin dlm.lock manifest.json replay/corpus.zst
replay/index.json""".split()
NEVER = """.lock .lock.break .lock.tmp.12.abcdef01 manifest.json.tmp.12.abcdef01 provenance.json
adapter/.staging-5-abc/x adapter/_checkpoint/c000001/adapter_model.safetensors adapter/old/current.txt
adapter/old/versions/v0001/x adapter/versions/.staging-5-abcdef01/x adapter/versions/v0003-rejected/x
adapter/versions/v0002/training_state.pt adapter/versions/v0002/training_args.bin
cache/base/x/model.safetensors cache/merged/x tokenized-cache/a/b vl-cache/x audio-cache/x preference/pending.json
synth/pending.json replay/index.bin replay/corpus.zst.new tensorboard/run_0001/x wandb/x metrics.sqlite-wal
metrics.sqlite-shm""".split()
VERSIONS = ["adapter/versions/v0001/adapter_model.safetensors"]
LOGS = ["logs/train-000001.jsonl", "metrics.sqlite"]
EXPORTS = ["exports/Q8_0/base.gguf", "exports/vllm/vllm_launch.sh"]
HALF_EXPORTS = ["exports/.lock-Q8_0", "exports/.replaced-Q8_0/base.gguf", "exports/.staging-Q8_0/base.gguf"]
STORE = [*ALWAYS, *NEVER, *VERSIONS, *LOGS, *EXPORTS, *HALF_EXPORTS]


def planned(**flags: bool) -> PackPlan:
    wanted = {"include_exports": False, "include_logs": False} | flags
    return plan_members(STORE, current={None: 2}, **wanted)


@pytest.mark.parametrize(
    ("flags", "more"),
    [
        ((), ()),
        (("all_versions",), VERSIONS),
        (("include_logs",), LOGS),
        (("include_exports",), EXPORTS),
        (("all_versions", "include_logs", "include_exports"), [*VERSIONS, *LOGS, *EXPORTS]),
    ],
)
def test_what_travels(flags: tuple[str, ...], more: list[str]) -> None:
    plan = planned(**dict.fromkeys(flags, True))
    assert plan.members == tuple(sorted([*ALWAYS, *more]))
    left = [out.path.rstrip("/") for out in plan.left_out]
    for entry in set(STORE) - set(plan.members):
        assert any(entry == path or entry.startswith(f"{path}/") for path in left), entry


def test_named_adapters_have_versions_of_their_own() -> None:
    entries = [f"adapter/{name}/versions/v000{number}/x" for name in ("tone", "facts") for number in (1, 2)]
    pointers = [f"adapter/{name}/current.txt" for name in ("tone", "facts", "versions")]
    plan = plan_members(
        [*entries, *pointers], current={"tone": 1, "facts": 2}, include_exports=False, include_logs=False
    )
    assert plan.members == (
        "adapter/facts/current.txt", "adapter/facts/versions/v0002/x",
        "adapter/tone/current.txt", "adapter/tone/versions/v0001/x",
    )  # fmt: skip


def test_reasons_are_said_once_for_a_folder() -> None:
    left = {out.path: out.reason for out in planned().left_out}
    assert left["adapter/versions/v0001/"] == "an older version; only with --all-versions"
    assert left["adapter/versions/v0003-rejected/"] == "a version that was rejected"
    assert left["exports/"] == "only with --include-exports"
    assert left["metrics.sqlite"] == "only with --include-logs"
    assert left["replay/index.bin"] == left["tokenized-cache/"] == "made anew when it is needed"
    assert not any(path.startswith("exports/.") for path in left)


def test_words_for_private_material() -> None:
    assert len(private_kinds(planned(include_logs=True, include_exports=True))) == 8
    assert private_kinds(PackPlan(members=(), left_out=())) == ("the document with all its text",)


def test_content_types() -> None:
    kinds = [
        content_type(include_base=base, include_exports=exports) for base in (True, False) for exports in (True, False)
    ]
    assert kinds == ["full", "no-exports", "no-base", "minimal"]


@pytest.mark.parametrize("path", ["/home/mimi/notes.dlm", "C:\\Users\\mimi\\notes.dlm", "notes.dlm"])
def test_a_manifest_without_the_sender(path: str) -> None:
    accepted = LicenseAcceptance(accepted_at=A_MOMENT, license_url="https://x", license_spdx="MIT", via="cli_flag")
    export = ExportRecord(exported_at=A_MOMENT, target="ollama", quant="Q8_0", smoke_output_first_line="Hi Mimi")
    full = attrs.evolve(Manifest.new(ID, "smollm2-135m", None, path, A_MOMENT, accepted), exports=(export,))
    text = scrubbed_manifest(manifest_to_json(full), "manifest.json")
    assert "mimi" not in text.lower()
    scrubbed = manifest_from_json(text, "manifest.json")
    assert scrubbed.source_path == "notes.dlm"
    assert scrubbed.license_acceptance is None
    without: dict[str, Any] = {"source_path": None, "license_acceptance": None, "exports": ()}
    assert attrs.evolve(scrubbed, **without) == attrs.evolve(full, **without)


@pytest.mark.parametrize(
    "path",
    """tokenized-cache/x cache/x vl-cache/x preference/pending.json synth/pending.json replay/index.bin .lock
    metrics.sqlite-wal adapter/versions/v0001/training_state.pt adapter/versions/v0001/training_state.pt.sha256
    cache/base/x/pytorch_model.bin
    adapter/_checkpoint/c000001/x provenance.json foreign.json surprise/x exports/.replaced-Q8_0/x tensorboard/x
    """.split(),
)
def test_what_is_not_unpacked(path: str) -> None:
    assert is_dropped(path)


@pytest.mark.parametrize("path", [*ALWAYS, *LOGS, *EXPORTS, "cache/base/abc/model.safetensors"])
def test_what_is_unpacked(path: str) -> None:
    assert is_dropped(path) is None


GOOD = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"}


def test_ordinary_adapter_settings() -> None:
    assert adapter_settings_problem(json.dumps(GOOD)) is None
    own = {"parent_library": "transformers.models.llama.modeling_llama", "base_model_class": "LlamaForCausalLM"}
    assert adapter_settings_problem(json.dumps(GOOD | {"auto_mapping": own})) is None


@pytest.mark.parametrize(
    "change",
    [
        {"auto_map": {"AutoModel": "evil.py"}},
        {"auto_mapping": {"parent_library": "os", "base_model_class": "system"}},
        {"auto_mapping": {"parent_library": "transformers.models", "base_model_class": "x"}},
        {"auto_mapping": "evil"},
        {"megatron_config": {"x": 1}},
        {"megatron_core": "evil"},
        {"peft_type": "PROMPT_TUNING"},
        {"peft_type": None},
        {"base_model_name_or_path": "/home/victim/.ssh"},
        {"base_model_name_or_path": "../x"},
        {"base_model_name_or_path": "~/x"},
        {"base_model_name_or_path": "C:\\x"},
        {"base_model_name_or_path": "\\\\server\\x"},
        {"base_model_name_or_path": "a/../../b"},
        {"base_model_name_or_path": "https://evil.example/x"},
        {"base_model_name_or_path": 5},
        {"anything": 1},
    ],
)
def test_hostile_adapter_settings(change: dict[str, object]) -> None:
    assert adapter_settings_problem(json.dumps(GOOD | change))
