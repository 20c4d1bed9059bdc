"""Look at the machine: what is there, and how a common model would be trained on it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import attrs

from dlm.domain.compatibility import Dependency, dependencies
from dlm.domain.errors import DlmError
from dlm.domain.hardware import Capabilities
from dlm.domain.model_shape import ModelShape
from dlm.domain.plan import TrainingPlan
from dlm.domain.planning import PlanRequest, resolve_training_plan
from dlm.ports.hardware import HardwareProbe

REFERENCE_PARAMS = 1_500_000_000
"""The base that the suggested plan is for; its rows are 2,048 tokens long."""

_TELEMETRY = ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "TRANSFORMERS_NO_ADVISORY_WARNINGS")
_SILENCED = _TELEMETRY[:2]


@attrs.frozen(kw_only=True)
class DoctorReport:
    """The machine and what dlm would do on it. Exactly one of ``plan`` and ``plan_error`` is set.

    Args:
        plugins: (group, name) of what other packages add to dlm.
        telemetry: the variables that silence third-party telemetry, whether wandb is there, the Python version.
    """

    capabilities: Capabilities
    plan: TrainingPlan | None
    plan_error: str | None
    dependencies: tuple[Dependency, ...]
    plugins: tuple[tuple[str, str], ...]
    telemetry: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Give the object of ``dlm doctor --json``."""
        choices = self.plan.choices() if self.plan else {}
        return {
            "capabilities": {**self.capabilities.to_json(), "telemetry_posture": dict(self.telemetry)},
            "plan": self.plan.to_json() if self.plan else None,
            "plan_error": self.plan_error,
            "choices": {name: {"value": choice.value, "reason": choice.reason} for name, choice in choices.items()},
            "dependencies": [{**attrs.asdict(found), "remark": found.remark} for found in self.dependencies],
            "plugins": [{"group": group, "name": name} for group, name in self.plugins],
        }

    def to_text(self) -> str:
        """Give aligned lines for a person."""
        return "\n\n".join(
            [
                _aligned(_machine_lines(self.capabilities, self.telemetry)),
                "Libraries\n"
                + _aligned([(found.package, _version_of(found)) for found in self.dependencies], indent=2),
                *_plugin_block(self.plugins),
                _plan_block(self.plan, self.plan_error),
                "The same as data: dlm doctor --json",
            ]
        )


def doctor(
    *,
    hardware: HardwareProbe,
    versions: Mapping[str, str | None],
    environ: Mapping[str, str],
    plugins: tuple[tuple[str, str], ...] = (),
) -> DoctorReport:
    """Examine this machine. Needs no network, changes nothing; a refused plan is part of the report, no error.

    Args:
        versions: installed version of each package, None when absent.
        plugins: (entry-point group, name) of what other packages offer.
    """
    capabilities = hardware.probe()
    plan, plan_error = _reference_plan(capabilities)
    return DoctorReport(
        capabilities=capabilities,
        plan=plan,
        plan_error=plan_error,
        dependencies=dependencies(versions),
        plugins=plugins,
        telemetry={
            **{name: environ.get(name, "<unset>") for name in _TELEMETRY},
            "wandb_installed": capabilities.has_wandb,
            "python_version": platform.python_version(),
        },
    )


def _reference_plan(capabilities: Capabilities) -> tuple[TrainingPlan | None, str | None]:
    try:
        return resolve_training_plan(capabilities, ModelShape.from_params(REFERENCE_PARAMS), PlanRequest()), None
    except DlmError as exc:
        return None, f"{exc.message}. {exc.hint}" if exc.hint else exc.message


Line = tuple[str, str]


def _aligned(lines: list[Line], indent: int = 0) -> str:
    width = max(len(label) for label, _ in lines) + 1
    return "\n".join(f"{'':{indent}}{label + ':':<{width}}  {value}" for label, value in lines)


def _machine_lines(machine: Capabilities, telemetry: Mapping[str, Any]) -> list[Line]:
    return [
        ("Backend", _backend(machine)),
        *((f"Device {index}", _device(machine, index)) for index in range(len(machine.devices))),
        ("Torch", _torch(machine)),
        ("bitsandbytes", _yes(machine.has_bitsandbytes)),
        ("FlashAttention", _yes(machine.has_flash_attention)),
        ("xFormers", _yes(machine.has_xformers)),
        ("Triton", _yes(machine.has_triton)),
        ("MLX inference", "yes (prompting only; training uses PyTorch)" if machine.has_mlx else "no"),
        ("accelerate", machine.accelerate_version or "not installed"),
        (
            "CPU cores",
            str(machine.cpu_cores) + (f" ({', '.join(machine.cpu_features)})" if machine.cpu_features else ""),
        ),
        ("RAM", f"{machine.ram_gb:.1f} GiB, {machine.ram_free_gb:.1f} free" if machine.ram_gb else "unknown"),
        ("Determinism", machine.determinism_class),
        ("Telemetry", _telemetry(telemetry)),
        ("Platform", f"{machine.platform}, Python {telemetry['python_version']}"),
    ]


def _backend(machine: Capabilities) -> str:
    parts = [machine.rocm_arch or ""]
    if machine.sm and machine.backend == "cuda":
        parts.append(f"SM {machine.sm[0]}.{machine.sm[1]}")
    if machine.vram_gb is not None:
        parts.append(f"{machine.vram_gb:.1f} GiB of GPU memory free")
    if machine.unified_memory_gb is not None:
        parts.append(f"{machine.unified_memory_gb:.1f} GiB of unified memory")
    if machine.driver_version:
        parts.append(f"driver {machine.driver_version}")
    return ", ".join([f"{machine.backend}, {machine.device_name}", *(part for part in parts if part)])


def _device(machine: Capabilities, index: int) -> str:
    device = machine.devices[index]
    return f"{device.name}, {device.free_gb:.1f} of {device.total_gb:.1f} GiB free"


def _torch(machine: Capabilities) -> str:
    if machine.torch_version is None:
        return "not installed"
    runtimes = (("CUDA", machine.cuda_version), ("ROCm", machine.rocm_version))
    return " ".join([machine.torch_version, *(f"({name} {version})" for name, version in runtimes if version)])


def _telemetry(telemetry: Mapping[str, Any]) -> str:
    off = all(telemetry[name] == "1" for name in _SILENCED)
    summary = "disabled" if off else "partial: dlm itself sends nothing, other libraries might"
    return f"{summary} ({', '.join(f'{name}={telemetry[name]}' for name in _TELEMETRY)})"


def _version_of(found: Dependency) -> str:
    return f"{found.installed} ({found.remark})" if found.installed else found.remark


def _plugin_block(plugins: tuple[tuple[str, str], ...]) -> list[str]:
    if not plugins:
        return []
    groups: dict[str, list[str]] = {}
    for group, name in plugins:
        groups.setdefault(group, []).append(name)
    return ["Plugins\n" + _aligned([(group, ", ".join(names)) for group, names in groups.items()], indent=2)]


def _plan_block(plan: TrainingPlan | None, error: str | None) -> str:
    base = f"a base of {REFERENCE_PARAMS / 1e9:g} B parameters"
    if plan is None:
        return f"Plan refused for {base}: {error}"
    labels = {
        "precision": "precision",
        "attn_implementation": "attention",
        "micro_batch_size": "micro_batch",
        "grad_accum": "grad_accum",
        "gradient_checkpointing": "grad_ckpt",
        "sequence_len": "sequence_len",
    }
    choices = plan.choices()
    lines = [
        ("adapter", "qlora" if plan.use_qlora.value else "lora"),
        *((label, str(choices[name])) for name, label in labels.items()),
        ("effective batch", f"{plan.effective_batch_size} rows"),
        ("peak memory", f"about {plan.est_peak_vram_gb:.1f} GiB"),
        ("step time", f"about {_duration(plan.est_step_seconds)} for full-length rows"),
    ]
    return f"Suggested plan for {base}, rows of up to {plan.sequence_len.value} tokens\n{_aligned(lines, indent=2)}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _yes(claim: bool) -> str:
    return "yes" if claim else "no"
