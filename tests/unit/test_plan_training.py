"""The training plan: what is chosen on which machine, what is refused, and what the refusal says."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.base_models import BaseSpec
from dlm.domain.base_rows import BASES
from dlm.domain.errors import HardwareError, UsageError
from dlm.domain.hardware import Capabilities, Device
from dlm.domain.memory import GIB
from dlm.domain.model_shape import ModelShape
from dlm.domain.plan import TrainingPlan
from dlm.domain.planning import PlanRequest, budget_of, resolve_training_plan
from dlm.domain.refusals import NamedAdapter, refuse_adapter_set, refuse_multi_gpu
from dlm.testing.hardware import LAPTOP, MAC, SERVER, nvidia

AMD = attrs.evolve(nvidia(bitsandbytes=False), backend="rocm", rocm_arch="gfx1100", sm=None)
MACHINES = [LAPTOP, SERVER, MAC, nvidia(), nvidia(gb=80, sm=(9, 0)), nvidia(gb=16, sm=(7, 5)), AMD]


def a_base(**changed: Any) -> BaseSpec:
    return BaseSpec(
        **{
            "key": "test-base",
            "hf_id": "org/test",
            "revision": "a" * 40,
            "architecture": "LlamaForCausalLM",
            "params": 1_500_000_000,
            "size_gb_fp16": 3.0,
            "modality": "text",
            "context_length": 8192,
            "recommended_seq_len": 2048,
            "template": "chatml",
            "gguf_arch": "llama",
            "tokenizer_pre": "llama",
            "target_modules": ("q_proj",),
            "license_spdx": "MIT",
            "license_url": None,
            **changed,
        }
    )


def plan(machine: Capabilities, params: int = 135_000_000, **wishes: Any) -> TrainingPlan:
    force = wishes.pop("force", False)
    spec = wishes.pop("spec", None)
    world_size = wishes.pop("world_size", 1)
    shape = ModelShape.from_params(params)
    return resolve_training_plan(machine, shape, PlanRequest(**wishes), spec=spec, world_size=world_size, force=force)


def refused(machine: Capabilities, params: int = 135_000_000, **wishes: Any) -> HardwareError:
    with pytest.raises(HardwareError) as caught:
        plan(machine, params, **wishes)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("machine", "precision"),
    [
        (LAPTOP, "fp32"),
        (SERVER, "bf16"),
        (MAC, "fp32"),
        (nvidia(), "bf16"),
        (nvidia(sm=(7, 5)), "fp16"),
        (AMD, "bf16"),
        (attrs.evolve(AMD, supports_bf16=False), "fp16"),
    ],
)
def test_precision_by_machine(machine: Capabilities, precision: str) -> None:
    assert plan(machine).precision.value == precision


def test_attention_and_device() -> None:
    assert plan(LAPTOP).attn_implementation.value == "sdpa"
    fast = attrs.evolve(nvidia(), has_flash_attention=True)
    assert plan(fast).attn_implementation.value == "flash_attention_2"
    assert [plan(machine).device for machine in (LAPTOP, MAC, AMD)] == ["cpu", "mps", "cuda"]


def test_explicit_values_are_obeyed() -> None:
    chosen = plan(SERVER, micro_batch_size=3, grad_accum=5, precision="fp32")
    assert (chosen.micro_batch_size.value, chosen.grad_accum.value, chosen.precision.value) == (3, 5, "fp32")
    assert chosen.effective_batch_size == 15
    assert chosen.micro_batch_size.reason == "the document sets it"


@pytest.mark.parametrize(("rows", "accum"), [(1, 8), (2, 4), (3, 2), (8, 1), (16, 1)])
def test_accumulation_makes_up_the_usual_batch(rows: int, accum: int) -> None:
    assert plan(SERVER, micro_batch_size=rows, longest_row_tokens=64).grad_accum.value == accum


@given(st.integers(1, 64), st.sampled_from(MACHINES))
def test_a_wanted_batch_is_met_exactly(batch_rows: int, machine: Capabilities) -> None:
    assert plan(machine, batch_rows=batch_rows, longest_row_tokens=128).effective_batch_size == batch_rows


def test_recomputing_is_the_last_resort() -> None:
    roomy = plan(SERVER, longest_row_tokens=128)
    assert roomy.gradient_checkpointing.value is False
    assert roomy.micro_batch_size.value > 1
    tight = plan(SERVER, 3_000_000_000)
    assert tight.gradient_checkpointing.value is True
    explicit = plan(SERVER, micro_batch_size=16, sequence_len=512)
    assert explicit.gradient_checkpointing.value is True


@given(
    st.sampled_from(MACHINES),
    st.sampled_from([135_000_000, 360_000_000, 500_000_000, 1_500_000_000]),
    st.integers(64, 4096),
    st.sampled_from(["lora", "dora"]),
)
def test_auto_plans_stay_inside_the_budget_or_say_so(
    machine: Capabilities, params: int, longest: int, adapter: str
) -> None:
    budget = budget_of(machine)
    assert budget.limit is not None
    assert budget.working is not None
    wishes: dict[str, Any] = {"sequence_len": 4096, "longest_row_tokens": longest, "adapter": adapter}
    forced = plan(machine, params, force=True, **wishes)
    if forced.est_peak_vram_gb * GIB > budget.limit:
        assert refused(machine, params, **wishes).code == "hardware.does-not-fit"
        return
    chosen = plan(machine, params, **wishes)
    assert chosen == forced
    assert chosen.est_peak_vram_gb * GIB <= budget.limit * 1.0001
    if chosen.micro_batch_size.value > 1:
        assert chosen.est_peak_vram_gb * GIB <= budget.working * 1.0001
    assert chosen.est_step_seconds > 0
    assert all(choice.reason for choice in chosen.choices().values())


@given(st.sampled_from([LAPTOP, SERVER]), st.integers(64, 2048), st.floats(1.0, 4.0))
def test_more_memory_never_means_smaller_batches(machine: Capabilities, longest: int, more: float) -> None:
    def rows(found: Capabilities) -> int:
        chosen = plan(found, longest_row_tokens=longest)
        return chosen.micro_batch_size.value if not chosen.gradient_checkpointing.value else 0

    bigger = attrs.evolve(machine, ram_gb=machine.ram_gb * more, ram_free_gb=machine.ram_free_gb * more)
    assert rows(bigger) >= rows(machine)


def test_unknown_memory_plans_one_row() -> None:
    chosen = plan(attrs.evolve(LAPTOP, ram_gb=0.0, ram_free_gb=0.0), 8_000_000_000)
    assert chosen.micro_batch_size.value == 1
    assert "does not say" in chosen.micro_batch_size.reason


def test_sequence_length_is_capped_by_the_base() -> None:
    assert plan(SERVER, sequence_len=4096, spec=a_base(context_length_effective=1024)).sequence_len.value == 1024
    assert plan(SERVER, sequence_len=512, spec=a_base()).sequence_len.value == 512


def test_known_rows_are_planned_for_as_they_are() -> None:
    known = plan(SERVER, longest_row_tokens=100)
    assert known.sequence_len.value == 2048
    assert "100 tokens" in known.sequence_len.reason
    assert known.est_peak_vram_gb < plan(SERVER, micro_batch_size=known.micro_batch_size.value).est_peak_vram_gb


def test_no_refusal_by_size_on_a_cpu() -> None:
    chosen = plan(SERVER, 3_000_000_000, longest_row_tokens=256)
    assert chosen.est_step_seconds > 10


def test_what_does_not_fit_is_refused_with_something_that_does() -> None:
    error = refused(LAPTOP, 8_000_000_000, spec=a_base(key="big-base"))
    assert error.code == "hardware.does-not-fit"
    assert "big-base" in error.message
    assert "1.5 B" in (error.hint or "")
    assert "DLM_FORCE_PLAN=1" in (error.hint or "")
    assert plan(LAPTOP, 1_500_000_000, sequence_len=512).micro_batch_size.value >= 1


def test_a_too_large_explicit_batch_points_to_auto() -> None:
    assert "micro_batch_size: auto" in (refused(LAPTOP, micro_batch_size=64).hint or "")


def test_the_hinted_sequence_length_works() -> None:
    card = nvidia(gb=4.5)
    error = refused(card, 1_500_000_000, sequence_len=32768, micro_batch_size=1)
    assert "training.sequence_len: " in (error.hint or "")
    hinted = int((error.hint or "").split("training.sequence_len: ")[1].split(",")[0])
    assert plan(card, 1_500_000_000, sequence_len=hinted).micro_batch_size.value == 1


def test_qlora_is_hinted_where_it_helps() -> None:
    error = refused(nvidia(gb=12.0), 8_000_000_000)
    assert "training.adapter: qlora" in (error.hint or "")
    assert plan(nvidia(gb=12.0), 8_000_000_000, adapter="qlora").use_qlora.value is True


def test_a_mac_refuses_what_its_memory_cannot_hold_unless_forced() -> None:
    assert refused(MAC, 8_000_000_000).code == "hardware.does-not-fit"
    assert plan(MAC, 8_000_000_000, force=True).device == "mps"


def test_qlora_plan() -> None:
    chosen = plan(nvidia(), 3_000_000_000, adapter="qlora")
    assert chosen.use_qlora.value is True
    assert chosen.quant_compute_dtype == "bf16"
    assert plan(nvidia(), adapter="lora").quant_compute_dtype is None


@pytest.mark.parametrize("machine", [LAPTOP, MAC, AMD])
@pytest.mark.parametrize("force", [False, True])
def test_qlora_needs_nvidia(machine: Capabilities, force: bool) -> None:
    error = refused(machine, adapter="qlora", force=force)
    assert error.code == "hardware.qlora-needs-cuda"
    assert "adapter: lora" in (error.hint or "")


def test_qlora_needs_bitsandbytes() -> None:
    assert refused(nvidia(bitsandbytes=False), adapter="qlora").code == "hardware.qlora-needs-bitsandbytes"


def test_bf16_needs_hardware() -> None:
    for machine in (LAPTOP, MAC, nvidia(sm=(7, 5))):
        assert refused(machine, precision="bf16", force=True).code == "hardware.no-bf16"


def test_fp16_on_a_cpu_is_refused_and_on_a_mac_warned_about() -> None:
    assert refused(SERVER, precision="fp16", force=True).code == "hardware.no-fp16"
    assert "NaN" in plan(MAC, precision="fp16").precision.reason


def test_8bit_optimizers_need_a_gpu() -> None:
    assert refused(SERVER, optimizer="paged_adamw_8bit").code == "hardware.optimizer-needs-cuda"
    assert plan(nvidia(), optimizer="adamw_bnb_8bit").device == "cuda"


@pytest.mark.parametrize(
    ("machine", "modality", "allowed"),
    [
        (SERVER, "vision-language", False),
        (nvidia(gb=11.9), "vision-language", True),
        (nvidia(gb=8), "vision-language", False),
        (MAC, "vision-language", True),
        (MAC, "audio-language", False),
        (nvidia(gb=24), "audio-language", True),
    ],
)
def test_media_bases_have_floors(machine: Capabilities, modality: Any, allowed: bool) -> None:
    spec = next(row for row in BASES.values() if row.modality == modality)
    if allowed:
        assert plan(machine, spec=spec)
    else:
        assert refused(machine, spec=spec).code == "hardware.media-needs-gpu"
        assert plan(machine, spec=spec, force=True)


def test_world_size() -> None:
    with pytest.raises(UsageError):
        plan(nvidia(), world_size=0)
    for machine in (MAC, AMD):
        assert refused(machine, world_size=2).code == "hardware.multi-gpu"
    assert plan(nvidia(), world_size=2, micro_batch_size=2, grad_accum=2).effective_batch_size == 8
    assert budget_of(SERVER, 2).limit == (budget_of(SERVER).limit or 0) // 2


def test_gpus_of_different_kinds_are_refused() -> None:
    card = nvidia().devices[0]
    mixed = attrs.evolve(nvidia(), devices=(card, Device(name="Other", total_gb=8, free_gb=8, sm=(7, 5))))
    with pytest.raises(HardwareError, match=r"7\.5, 8\.9"):
        refuse_multi_gpu(mixed, 2)
    with pytest.raises(HardwareError):
        refuse_multi_gpu(LAPTOP, 2)
    refuse_multi_gpu(mixed, 1)
    refuse_multi_gpu(attrs.evolve(nvidia(), devices=(card, card)), 2)


def test_several_qlora_adapters_must_fit_together() -> None:
    many = [NamedAdapter(name=f"a{index}", kind="qlora", r=64) for index in range(4)]
    with pytest.raises(HardwareError, match="a0, a1, a2, a3"):
        refuse_adapter_set(nvidia(gb=24), 8_000_000_000, many)
    refuse_adapter_set(nvidia(gb=80), 8_000_000_000, many)
    refuse_adapter_set(nvidia(gb=8), 8_000_000_000, [NamedAdapter(name="a", kind="lora", r=8)] * 3)
    with pytest.raises(HardwareError, match="NVIDIA"):
        refuse_adapter_set(LAPTOP, 1, [many[0], NamedAdapter(name="b", kind="lora", r=8)])


def test_the_record_has_the_keys_of_the_run_log() -> None:
    assert list(plan(SERVER).to_json()) == [
        "precision",
        "attn_implementation",
        "use_qlora",
        "micro_batch_size",
        "grad_accum",
        "gradient_checkpointing",
        "quant_compute_dtype",
        "effective_batch_size",
        "est_peak_vram_gb",
        "est_step_seconds",
        "reason",
        "world_size",
    ]
