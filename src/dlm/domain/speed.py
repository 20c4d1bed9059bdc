"""How long a training step takes: an estimate from the machine's description, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from dlm.domain.hardware import Capabilities
from dlm.domain.memory import saved_bytes_per_token
from dlm.domain.model_shape import ModelShape, Targets
from dlm.domain.plan import Attention, Precision


@attrs.frozen
class Rates:
    """What a machine gets done per second in training.

    Args:
        flops: of the matrix products, as achieved, not as advertised.
        saved_bytes: activations written, read back and worked on element by element.
    """

    flops: float
    saved_bytes: float


def estimate_step_seconds(
    capabilities: Capabilities,
    shape: ModelShape,
    *,
    precision: Precision,
    kind: str,
    tokens: int,
    seq_len: int,
    checkpointing: bool,
    attention: Attention = "sdpa",
    targets: Targets = "auto",
    dropout: float = 0.05,
) -> float:
    """Estimate the seconds one process works on ``tokens`` tokens in rows of ``seq_len``.

    A frozen weight costs 2 operations per token forward and 2 backward (for its inputs; its own gradient is not
    needed); recomputing adds 2 more. Causal attention adds 6 per position looked at. Expect the truth within a factor
    of two on the CPUs measured, three elsewhere.
    """
    rates = rates_of(capabilities, precision)
    products = 4 * shape.active_params + 6 * seq_len * shape.attention_width * shape.layers
    saved = shape.layers * saved_bytes_per_token(
        shape, precision=precision, kind=kind, targets=targets, dropout=dropout, attention=attention, seq_len=seq_len
    )
    again = 1.5 if checkpointing else 1.0
    return tokens * again * (products / rates.flops + saved / rates.saved_bytes)


def rates_of(capabilities: Capabilities, precision: Precision) -> Rates:
    """Give the machine's rates in a precision."""
    if capabilities.backend == "cpu":
        return _cpu_rates(capabilities, precision)
    if capabilities.backend == "mps":
        return Rates(_MPS_FLOPS if precision == "fp32" else 2 * _MPS_FLOPS, _MPS_SAVED_BYTES)
    peak = _gpu_peak(capabilities)
    return Rates(_GPU_ACHIEVED * (peak if precision != "fp32" else peak / 8), _GPU_SAVED_BYTES)


_CPU_CORE_FLOPS: Mapping[str, float] = MappingProxyType(
    {"amx_bf16": 300e9, "avx512_bf16": 150e9, "arm_bf16": 80e9, "avx512": 100e9, "avx2": 40e9, "": 25e9}
)
"""Per core. ``amx_bf16`` and ``avx512`` (fp32) were measured on a 2-core AMX Xeon: whole LoRA steps reach 600 and 200
GFLOP/s in their matrix products, where bare products of large matrices reach 771 in bf16. The others are scaled from
these by the width of their units."""

_CPU_CORE_SAVED_BYTES = 0.35e9
"""Per core, same machine and steps: what is left of the step time after the matrix products."""

_MPS_FLOPS = 2e12
_MPS_SAVED_BYTES = 20e9
"""fp32, between a base M1 (2.6 TFLOP/s advertised) and an M3 Max (14), as achieved. Not measured by us."""

_GPU_PEAK: Mapping[str, float] = MappingProxyType(
    {
        "sm7.0": 112e12, "sm7.5": 65e12, "sm8.0": 312e12, "sm8.6": 71e12, "sm8.9": 165e12,
        "sm9.0": 989e12, "sm10.0": 2250e12, "sm12.0": 210e12,
        "gfx90a": 191e12, "gfx942": 1307e12, "gfx1100": 122e12, "gfx1201": 195e12,
    }
)  # fmt: skip
"""Dense 16-bit tensor peaks of the vendors' data sheets: V100, T4, A100, RTX 3090, RTX 4090, H100, B200, RTX 5090;
MI250X (one die), MI300X, RX 7900 XTX, RX 9070 XT."""
_GPU_PEAK_UNKNOWN = 30e12
_GPU_ACHIEVED = 0.3
_GPU_SAVED_BYTES = 150e9
"""Share of the peak and bytes per second that LoRA training usually reaches. Not measured by us."""


def _cpu_rates(capabilities: Capabilities, precision: Precision) -> Rates:
    features = capabilities.cpu_features
    wanted = ("amx_bf16", "avx512_bf16", "arm_bf16") if precision == "bf16" else ("avx512", "avx2")
    best = next((name for name in wanted if name in features), "")
    cores = max(1, capabilities.cpu_cores)
    return Rates(cores * _CPU_CORE_FLOPS[best], cores * _CPU_CORE_SAVED_BYTES)


def _gpu_peak(capabilities: Capabilities) -> float:
    if capabilities.backend == "rocm":
        return _GPU_PEAK.get(capabilities.rocm_arch or "", _GPU_PEAK_UNKNOWN)
    if capabilities.sm is None:
        return _GPU_PEAK_UNKNOWN
    major, minor = capabilities.sm
    return _GPU_PEAK.get(f"sm{major}.{minor}", _GPU_PEAK.get(f"sm{major}.0", _GPU_PEAK_UNKNOWN))
