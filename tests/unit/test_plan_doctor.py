"""What ``dlm doctor`` reports."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from dlm.app.doctor import DoctorReport, doctor
from dlm.domain.hardware import Capabilities
from dlm.testing.hardware import LAPTOP, MAC, SERVER, FakeHardware, nvidia

CAPABILITY_KEYS = [
    "backend", "device_name", "sm", "rocm_arch", "vram_gb", "unified_memory_gb", "cpu_cores", "ram_gb",
    "supports_bf16", "supports_fp16", "has_flash_attention", "has_xformers", "has_bitsandbytes", "has_triton",
    "has_mlx", "torch_version", "accelerate_version", "cuda_version", "rocm_version", "platform",
    "determinism_class", "telemetry_posture",
]  # fmt: skip
PLAN_KEYS = {
    "precision", "attn_implementation", "use_qlora", "quant_compute_dtype", "micro_batch_size", "grad_accum",
    "effective_batch_size", "gradient_checkpointing", "est_peak_vram_gb", "est_step_seconds", "reason", "world_size",
}  # fmt: skip
TINY = attrs.evolve(LAPTOP, ram_gb=2.0, ram_free_gb=1.0)


def report(machine: Capabilities, **given: Any) -> DoctorReport:
    return doctor(
        hardware=FakeHardware(machine), **{"versions": {"torch": "2.13.0"}, "environ": {}, "plugins": (), **given}
    )


@pytest.mark.parametrize("machine", [LAPTOP, SERVER, MAC, nvidia()], ids=lambda machine: machine.device_name)
def test_json_has_the_documented_keys(machine: Capabilities) -> None:
    found = report(machine).to_json()
    assert json.loads(json.dumps(found)) == found
    assert list(found)[:3] == ["capabilities", "plan", "plan_error"]
    assert set(CAPABILITY_KEYS) <= set(found["capabilities"])
    assert set(found["plan"]) == PLAN_KEYS
    assert found["plan_error"] is None
    assert all(choice["reason"] for choice in found["choices"].values())


def test_sm_is_a_pair() -> None:
    assert report(nvidia(sm=(8, 6))).to_json()["capabilities"]["sm"] == [8, 6]


def test_a_refused_plan_is_reported_not_raised() -> None:
    found = report(TINY)
    assert found.plan is None
    assert found.to_json()["plan"] is None
    assert "GiB" in found.to_json()["plan_error"]
    assert found.to_json()["choices"] == {}
    assert "Plan refused" in found.to_text()
    assert "DLM_FORCE_PLAN=1" in found.to_text()


def test_telemetry_posture() -> None:
    silent = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    assert "Telemetry:       disabled" in report(LAPTOP, environ=silent).to_text()
    posture = report(LAPTOP, environ=silent).to_json()["capabilities"]["telemetry_posture"]
    assert posture["TRANSFORMERS_NO_ADVISORY_WARNINGS"] == "<unset>"
    assert posture["DO_NOT_TRACK"] == "1"
    assert "partial" in report(LAPTOP, environ={"DO_NOT_TRACK": "1"}).to_text()


def test_text_tells_the_machine_in_order() -> None:
    lines = report(nvidia()).to_text().splitlines()
    labels = [line.split(":")[0] for line in lines[:15]]
    assert labels == [
        "Backend", "Device 0", "Torch", "bitsandbytes", "FlashAttention", "xFormers", "Triton", "MLX inference",
        "accelerate", "CPU cores", "RAM", "Determinism", "Telemetry", "Platform", "",
    ]  # fmt: skip
    assert "SM 8.9" in lines[0]
    assert "driver 570.86.15" in lines[0]
    assert "(CUDA 12.8)" in lines[2]
    columns = {
        len(line.split(":")[0]) + len(line.split(":")[1]) - len(line.split(":")[1].lstrip()) for line in lines[:14]
    }
    assert len(columns) == 1


def test_text_of_a_machine_without_torch() -> None:
    bare = attrs.evolve(LAPTOP, torch_version=None, accelerate_version=None, ram_gb=0.0)
    text = report(bare, versions={}).to_text()
    assert "Torch:           not installed" in text
    assert "RAM:             unknown" in text
    assert "pip install 'torch>=" in text


def test_plugins_are_listed_by_group() -> None:
    plugins = (("dlm.judges", "mine"), ("dlm.trainers", "a"), ("dlm.judges", "other"))
    text = report(LAPTOP, plugins=plugins).to_text()
    assert "dlm.judges:" in text
    assert "mine, other" in text
    assert "Plugins" not in report(LAPTOP).to_text()
    assert report(LAPTOP, plugins=plugins).to_json()["plugins"][0] == {"group": "dlm.judges", "name": "mine"}


def test_slow_steps_are_told_in_minutes() -> None:
    assert " min for full-length rows" in report(attrs.evolve(LAPTOP, cpu_cores=4)).to_text()
    assert " s for full-length rows" in report(nvidia()).to_text()
