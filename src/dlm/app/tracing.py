"""How far a run can be repeated on a machine, for its log and its lock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlm.domain.hardware import Capabilities, DeterminismClass
from dlm.domain.lock import HardwareTier


def determinism(capabilities: Capabilities) -> tuple[DeterminismClass, tuple[str, ...], Mapping[str, Any]]:
    """Give the class, what a person should know, and the switches the trainer sets."""
    flags = {"deterministic_algorithms": True, "warn_only": True, "cudnn_benchmark": False}
    notes = {
        "strong": (),
        "best-effort": ("the same machine repeats a run to small differences",),
        "advisory": ("the same machine and versions repeat a run exactly; another CPU may differ in the last digits",),
    }[capabilities.determinism_class]
    return capabilities.determinism_class, notes, flags


def hardware_tier(capabilities: Capabilities) -> HardwareTier:
    """Give the class of machine recorded in ``dlm.lock``."""
    if capabilities.backend == "cuda":
        return "cuda-sm80+" if capabilities.sm and capabilities.sm[0] >= 8 else "cuda-sm<80"
    return capabilities.backend
